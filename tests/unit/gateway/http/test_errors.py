"""Errors of calls in HTTP's form."""

from __future__ import annotations

import pytest

from zetcd.errors import Code
from zetcd.gateway.grpc import Status
from zetcd.gateway.http.errors import error_body, http_status, stream_error


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.CANCELED, 499),
        (Code.UNKNOWN, 500),
        (Code.INVALID_ARGUMENT, 400),
        (Code.NOT_FOUND, 404),
        (Code.PERMISSION_DENIED, 403),
        (Code.UNAUTHENTICATED, 401),
        (Code.RESOURCE_EXHAUSTED, 429),
        (Code.FAILED_PRECONDITION, 400),
        (Code.OUT_OF_RANGE, 400),
        (Code.UNIMPLEMENTED, 501),
        (Code.UNAVAILABLE, 503),
        (Code.DEADLINE_EXCEEDED, 504),
        (Code.DATA_LOSS, 500),
    ],
)
def test_every_code_has_a_status(code: Code, status: int) -> None:
    assert http_status(code) == status


def test_no_code_is_left_out() -> None:
    assert all(http_status(code) for code in Code)


def test_bodies() -> None:
    status = Status(Code.NOT_FOUND, 'no "x"')
    assert error_body(status) == rb'{"error":"no \"x\"","code":5,"message":"no \"x\""}'
    assert stream_error(status) == b'{"error":{"code":5,"message":"no \\"x\\""}}'

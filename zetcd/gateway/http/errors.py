"""Responsible for how an error of a call looks in HTTP: its status and its body, as grpc-gateway's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from zetcd.errors import Code
from zetcd.gateway.grpc import Status

_STATUSES: Final[Mapping[Code, int]] = {
    Code.OK: 200,
    Code.CANCELED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


def http_status(code: Code) -> int:
    """Return the status of an answer that is an error."""
    return _STATUSES[code]


def error_body(status: Status) -> bytes:
    """Return the body of an answer that is an error."""
    # `error` is what etcd had up to 3.5; clients of both look at what they know.
    text, code = status.message, int(status.code)
    return msgspec.json.encode({"error": text, "code": code, "message": text})


def stream_error(status: Status) -> bytes:
    """Return the line that ends a stream with an error."""
    fields = {"code": int(status.code), "message": status.message}
    return msgspec.json.encode({"error": fields})

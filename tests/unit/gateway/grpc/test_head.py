"""What headers of requests say, and which are refused how."""

from __future__ import annotations

import hpack
import pytest

from tests.unit.gateway.grpc.peer import UNARY
from zetcd.gateway.grpc.head import MALFORMED, Head, Refusal, parse_timeout, read_head
from zetcd.gateway.grpc.hpack import Field
from zetcd.gateway.grpc.routes import HeadReader

GOOD: list[Field] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", UNARY.path.encode()),
    (b":authority", b"host:1"),
    (b"content-type", b"application/grpc+proto"),
    (b"te", b"trailers"),
]
METHODS = {UNARY.path.encode(): UNARY}


def replaced(name: bytes, value: bytes) -> list[Field]:
    return [(key, value if key == name else old) for key, old in GOOD]


def without(name: bytes) -> list[Field]:
    return [each for each in GOOD if each[0] != name]


def refusal_of(fields: list[Field]) -> dict[str, str]:
    refusal = read_head(fields, METHODS)
    assert isinstance(refusal, Refusal)
    assert refusal.block is not None
    return {str(k): str(v) for k, v in hpack.Decoder().decode(refusal.block, raw=False)}


def test_metadata_is_what_is_not_of_the_protocols() -> None:
    head = read_head(
        [
            *GOOD,
            *((b"grpc-encoding", b"gzip"), (b"grpc-accept-encoding", b"gzip")),
            *((b"token", b"one"), (b"token", b"two"), (b"hasleader", b"true")),
            *((b"a-bin", b"AAE"), (b"b-bin", b"%"), (b"content-length", b"7")),
        ],
        METHODS,
    )
    assert isinstance(head, Head)
    assert head.method is UNARY
    assert head.authority == "host:1"
    assert head.is_gzip
    assert head.content_length == 7
    assert [name for name, _ in head.metadata] == ["token", "token", "hasleader", "a-bin", "b-bin"]
    assert head.get("token") == "one"
    assert head.get("absent") is None
    assert head.get_binary("a-bin") == b"\x00\x01"
    assert head.get_binary("b-bin") is None


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(without(b":method"), id="no method"),
        pytest.param(without(b":path"), id="no path"),
        pytest.param(without(b":scheme"), id="no scheme"),
        pytest.param(replaced(b":path", b""), id="empty path"),
        pytest.param([*GOOD[1:], GOOD[0]], id="pseudo-header after a field"),
        pytest.param([GOOD[0], *GOOD], id="pseudo-header twice"),
        pytest.param([(b":status", b"200"), *GOOD], id="pseudo-header of answers"),
        pytest.param([*GOOD, (b"Upper", b"x")], id="upper case"),
        pytest.param([*GOOD, (b"", b"x")], id="no name"),
        pytest.param([*GOOD, (b"a b", b"x")], id="blank in a name"),
        pytest.param([*GOOD, (b"a", b"x\ny")], id="line feed in a value"),
        pytest.param([*GOOD, (b"a", b"x\x00")], id="NUL in a value"),
        pytest.param([*GOOD, (b"a", b" x")], id="blank before a value"),
        pytest.param([*GOOD, (b"connection", b"close")], id="connection"),
        pytest.param([*GOOD, (b"transfer-encoding", b"chunked")], id="transfer-encoding"),
        pytest.param(replaced(b"te", b"gzip"), id="te"),
        pytest.param([*GOOD, (b"content-length", b"-1")], id="negative length"),
        pytest.param([*GOOD, (b"content-length", b"1" * 20)], id="huge length"),
        pytest.param(
            [*GOOD, (b"content-length", b"1"), (b"content-length", b"2")], id="two lengths"
        ),
    ],
)
def test_malformed_requests_are_reset(fields: list[Field]) -> None:
    assert read_head(fields, METHODS) is MALFORMED


def test_what_is_not_grpc_is_answered_as_http() -> None:
    assert refusal_of(replaced(b"content-type", b"text/plain"))[":status"] == "415"
    assert refusal_of(replaced(b"content-type", b"application/grpcx"))[":status"] == "415"
    assert refusal_of(without(b"content-type"))[":status"] == "415"
    answer = refusal_of(replaced(b":method", b"GET"))
    assert (answer[":status"], answer["allow"]) == ("405", "POST")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"/t.T/Missing", "unknown method Missing for service t.T"),
        (b"/t.Other/Unary", "unknown service t.Other"),
        (b"/", "malformed method name: %22"),
        (b"Unary", "malformed method name"),
    ],
)
def test_unknown_methods_are_unimplemented(path: bytes, text: str) -> None:
    answer = refusal_of(replaced(b":path", path))
    assert answer["grpc-status"] == "12"
    assert answer["grpc-message"].startswith(text.replace("%22", '"'))


def test_unknown_encodings_are_unimplemented_and_told_which_are_known() -> None:
    answer = refusal_of([*GOOD, (b"grpc-encoding", b"snappy")])
    assert answer["grpc-status"] == "12"
    assert answer["grpc-message"].endswith('grpc-encoding "snappy"')
    assert answer["grpc-accept-encoding"] == "identity,gzip"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((b"1H", 3600.0), (b"2M", 120.0), (b"3S", 3.0), (b"4m", 0.004), (b"5u", 5e-6)),
        *((b"99999999n", 0.099999999), (b"0S", 0.0)),
        *((b"", None), (b"1", None), (b"S", None), (b"123456789S", None), (b"-1S", None)),
        *((b"1 S", None), (b"1s", None), (b"\xb2S", None)),
    ],
)
def test_timeouts(value: bytes, seconds: float | None) -> None:
    assert parse_timeout(value) == pytest.approx(seconds)


def test_equal_fields_give_the_same_head_whatever_the_timeout() -> None:
    reader = HeadReader(METHODS, 16_384)
    first, timeout = reader.read([*GOOD, (b"grpc-timeout", b"1S"), (b"a", b"b")])
    second, other_timeout = reader.read([*GOOD, (b"grpc-timeout", b"2S"), (b"a", b"b")])
    third, no_timeout = reader.read([*GOOD, (b"a", b"c")])
    assert first is second
    assert third is not first
    assert (timeout, other_timeout, no_timeout) == (1.0, 2.0, None)


def test_a_header_list_too_large_is_resource_exhausted() -> None:
    refusal, _ = HeadReader(METHODS, 1000).read([*GOOD, (b"a", b"b" * 1000)])
    assert isinstance(refusal, Refusal)
    assert refusal.block is not None
    assert b"grpc-status\x018" in refusal.block


def test_the_keeping_of_heads_is_bounded() -> None:
    reader = HeadReader(METHODS, 16_384)
    for number in range(5000):
        reader.read([*GOOD, (b"a", b"%d" % number)])
    assert len(reader._heads) <= 2048

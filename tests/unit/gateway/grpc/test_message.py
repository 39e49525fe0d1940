"""Length-prefixed messages: taken whole, limited, decompressed within limits."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from tests.unit.gateway.grpc.peer import message
from zetcd.errors import Code
from zetcd.gateway.grpc.message import BadMessage, take_message

LIMIT = 1000


def status_of(octets: bytes, *, is_gzip: bool = False) -> tuple[Code, str]:
    with pytest.raises(BadMessage) as caught:
        take_message(bytearray(octets), LIMIT, is_gzip=is_gzip)
    return caught.value.status.code, caught.value.status.message


def test_messages_come_out_in_order_and_rests_stay() -> None:
    assembly = bytearray(message(b"one") + message(b"") + message(b"three")[:-1])
    assert take_message(assembly, LIMIT, is_gzip=False) == b"one"
    assert take_message(assembly, LIMIT, is_gzip=False) == b""
    assert take_message(assembly, LIMIT, is_gzip=False) is None
    assembly += b"e"
    assert take_message(assembly, LIMIT, is_gzip=False) == b"three"
    assert not assembly


def test_a_message_too_large_is_known_by_its_prefix() -> None:
    code, text = status_of(message(b"x" * (LIMIT + 1))[:5])
    assert code is Code.RESOURCE_EXHAUSTED
    assert text == "grpc: received message larger than max (1001 vs. 1000)"
    assert take_message(bytearray(message(b"x" * LIMIT)), LIMIT, is_gzip=False) == b"x" * LIMIT


def test_gzip() -> None:
    plain = b"a" * LIMIT
    assembly = bytearray(message(gzip.compress(plain), flag=1) + message(b"plain"))
    assert take_message(assembly, LIMIT, is_gzip=True) == plain
    assert take_message(assembly, LIMIT, is_gzip=True) == b"plain"


def test_a_gzip_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(b"\x00" * 500_000)
    assert len(bomb) < LIMIT
    code, text = status_of(message(bomb, flag=1), is_gzip=True)
    assert code is Code.RESOURCE_EXHAUSTED
    assert "after decompression" in text


def test_a_bomb_costs_no_more_memory_than_the_limit() -> None:
    assembly = bytearray(message(gzip.compress(b"\x00" * 50_000_000), flag=1))
    tracemalloc.start()
    try:
        with pytest.raises(BadMessage):
            take_message(assembly, 200_000, is_gzip=True)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("octets", "is_gzip", "text"),
    [
        (message(gzip.compress(b"a"), flag=1), False, "compressed flag set with identity"),
        (message(b"a", flag=2), True, "unexpected payload format 2"),
        (message(b"no gzip", flag=1), True, "failed to decompress"),
        (message(gzip.compress(b"a" * 100)[:-3], flag=1), True, "failed to decompress"),
        (message(gzip.compress(b"a") + b"more", flag=1), True, "failed to decompress"),
        (message(b"", flag=1), True, "failed to decompress"),
    ],
    # Compressed octets hold the time of day, and names of tests must not.
    ids=["not agreed", "unknown flag", "no gzip", "cut short", "more after it", "empty"],
)
def test_other_bad_messages_are_internal_errors(octets: bytes, is_gzip: bool, text: str) -> None:
    code, found = status_of(octets, is_gzip=is_gzip)
    assert code is Code.INTERNAL
    assert text in found

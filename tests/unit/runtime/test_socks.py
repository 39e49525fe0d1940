"""The beginning of SOCKS5, as libzmq speaks it, in pieces of any size."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zetcd.runtime.socks import SUCCEEDED, SocksRequest, SocksTarget, reply

GREETING = bytes((5, 1, 0))
#: As libzmq 4.3 sends it.
REQUEST = bytes((5, 1, 0, 3, 6)) + b"ab.raf" + bytes((9, 0x4C))


def feed(*pieces: bytes) -> tuple[bytes, SocksTarget | None]:
    request = SocksRequest()
    return b"".join(map(request.feed, pieces)), request.target


@given(st.lists(st.integers(0, len(REQUEST)), max_size=4))
def test_a_request_may_come_in_pieces(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(REQUEST)]
    pieces = [REQUEST[a:b] for a, b in itertools.pairwise(ends)]
    answer, target = feed(GREETING[:1], GREETING[1:], *pieces)
    assert answer == bytes((5, 0))
    assert target == ("ab.raf", 2380)


def test_addresses_are_understood() -> None:
    assert feed(GREETING, bytes((5, 1, 0, 1, 10, 0, 0, 1, 0, 80)))[1] == ("10.0.0.1", 80)
    assert feed(GREETING, bytes((5, 1, 0, 4, *bytes(15), 1, 0, 80)))[1] == ("::1", 80)


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ((b"GET / HTTP/1.1\r\n",), "not SOCKS5"),
        ((bytes((4, 1)),), "not SOCKS5"),
        ((bytes((5, 1, 2)),), "authenticated"),
        ((GREETING, bytes((5, 2, 0, 1, 0))), "something else than a connection"),
        ((GREETING, bytes((5, 1, 0, 9, 0))), "kind 9"),
        ((GREETING, REQUEST + b"x"), "more than it may"),
    ],
)
def test_everything_else_is_refused(pieces: tuple[bytes, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        feed(*pieces)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_nothing_else_happens_whatever_comes(pieces: list[bytes]) -> None:
    try:
        feed(*pieces)
    except ValueError:
        return


def test_a_reply_is_what_libzmq_waits_for() -> None:
    assert reply(SUCCEEDED) == bytes((5, 0, 0, 1, 0, 0, 0, 0, 0, 0))

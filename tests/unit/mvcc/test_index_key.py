"""Keys of any length find their place in an index of short keys."""

from zetcd.mvcc.backend import KEY_BYTES_MAX
from zetcd.mvcc.index_key import LONG_BYTES, PLAIN_BYTES_MAX, index_key, scan_bounds

HEAD = b"h" * PLAIN_BYTES_MAX


def test_a_short_key_is_its_own_index_key() -> None:
    assert index_key(HEAD) == HEAD


def test_a_long_key_is_never_taken_for_a_short_one() -> None:
    place = index_key(HEAD + b"x")
    assert len(place) == LONG_BYTES
    assert PLAIN_BYTES_MAX < LONG_BYTES <= KEY_BYTES_MAX
    assert place.startswith(HEAD)
    assert place != index_key(HEAD + b"y")


def test_long_keys_lie_between_their_head_and_the_next_short_key() -> None:
    for tail in (b"\0", b"\xff" * 1000):
        assert HEAD < index_key(HEAD + tail) < HEAD[:-1] + b"i"


def test_bounds_of_short_keys_are_the_keys() -> None:
    assert scan_bounds(b"a", b"b") == (b"a", b"b")
    assert scan_bounds(b"a", b"\0") == (b"a", None)


def test_bounds_inside_a_group_take_the_whole_group() -> None:
    start, stop = scan_bounds(HEAD + b"a", HEAD + b"b")
    assert stop is not None
    for tail in (b"", b"\0", b"zzz", b"\xff" * 99):
        assert start <= index_key(HEAD + tail) < stop
    assert stop < HEAD[:-1] + b"i"

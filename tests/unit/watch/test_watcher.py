"""What a create request means."""

from __future__ import annotations

import pytest

from zetcd.messages.watch import WatchCreateRequest, WatchFilter
from zetcd.watch.watcher import KeyRange, Variant, variant_of, watched_range


@pytest.mark.parametrize(
    ("key", "range_end", "inside", "outside"),
    [
        (b"a", b"", [b"a"], [b"", b"aa", b"b"]),
        (b"a", b"b", [b"a", b"a\xff"], [b"", b"b"]),
        (b"b", b"\0", [b"b", b"\xff\xff"], [b"a"]),
        (b"", b"", [b"\0", b"a", b"\xff"], []),
        (b"", b"\0", [b"\0", b"a", b"\xff"], []),
        (b"", b"b", [b"\0", b"a"], [b"b"]),
    ],
)
def test_watched_range(
    key: bytes, range_end: bytes, inside: list[bytes], outside: list[bytes]
) -> None:
    key_range = watched_range(key, range_end)
    assert all(key_range.contains(each) for each in inside)
    assert not any(key_range.contains(each) for each in outside)
    assert not key_range.is_empty


@pytest.mark.parametrize("range_end", [b"a", b"b"])
def test_a_range_that_ends_where_it_begins_or_before_is_empty(range_end: bytes) -> None:
    assert KeyRange(b"b", range_end).is_empty


def test_variant_of() -> None:
    both = (WatchFilter.NODELETE, WatchFilter.NOPUT)
    assert variant_of(WatchCreateRequest(1, b"a")) == Variant(True, True, False, False)
    request = WatchCreateRequest(1, b"a", filters=both, prev_kv=True, fragment=True)
    assert variant_of(request) == Variant(False, False, True, True)

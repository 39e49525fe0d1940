"""A view finds live keys at any revision that is not compacted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import cast

import pytest

from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import Compacted, FutureRev
from zetcd.messages.kv import KeyValue
from zetcd.mvcc.backend import ReadTable
from zetcd.mvcc.index_key import PLAIN_BYTES_MAX, index_key

HEAD = b"h" * PLAIN_BYTES_MAX


@pytest.fixture
def store() -> SmallStore:
    store = SmallStore()
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    store.put(b"a", b"3")
    store.delete(b"b")
    return store


def test_a_key_is_read_as_it_was(store: SmallStore) -> None:
    with store.view() as view:
        assert view.get(b"a") == KeyValue(b"a", 2, 4, 2, b"3")
        assert view.get(b"a", 3) == KeyValue(b"a", 2, 2, 1, b"1")
        assert view.get(b"a", 1) is None
        assert view.get(b"b") is None
        assert view.get(b"b", 4) == KeyValue(b"b", 3, 3, 1, b"2")
        assert view.get(b"c") is None


def test_live_keys_are_those_without_tombstone(store: SmallStore) -> None:
    with store.view() as view:
        assert [key for key, _ in view.live(b"a", b"z")] == [b"a"]
        assert [key for key, _ in view.live(b"a", b"z", 4)] == [b"a", b"b"]
        assert [key for key, _ in view.live(b"a", b"\0", 2)] == [b"a"]
        assert list(view.live(b"b", b"a")) == []


class CountedIndex:
    """Passes on what is scanned, and counts it."""

    def __init__(self, index: ReadTable) -> None:
        self._index = index
        self.count = 0

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        for item in self._index.scan(start, stop):
            self.count += 1
            yield item


@pytest.mark.parametrize("revision", [None, 91])
@pytest.mark.parametrize("key", [b"k", HEAD + b"1"])
def test_no_more_keys_are_read_than_are_taken(revision: int | None, key: bytes) -> None:
    """A list of three keys must not read a million into memory."""
    store = SmallStore()
    for number in range(30):
        store.put(b"k%02d" % number, b"")
        store.put(HEAD + b"1%02d" % number, b"")
    for number in range(30):
        store.put(b"l%02d" % number, b"")
    with store.view() as view:
        counted = CountedIndex(view.index)
        view.index = cast(ReadTable, counted)
        assert len(list(islice(view.live(key, b"z", revision), 3))) == 3
        assert counted.count <= 31


def test_revisions_are_current_known_or_refused(store: SmallStore) -> None:
    store.compact(3)
    with store.view() as view:
        assert view.resolve_revision(0) is None
        assert view.resolve_revision(-5) is None
        assert view.resolve_revision(3) == 3
        with pytest.raises(Compacted):
            view.resolve_revision(2)
        with pytest.raises(FutureRev):
            view.resolve_revision(6)


def test_keys_only_keeps_the_lease_and_drops_the_value() -> None:
    store = SmallStore()
    store.put(b"a", b"value", 7)
    with store.view() as view:
        found = list(view.live(b"a", b""))
        assert view.kvs(found, keys_only=True) == (KeyValue(b"a", 2, 2, 1, b"", 7),)


def test_long_keys_come_in_the_order_of_whole_keys() -> None:
    store = SmallStore()
    tails = [b"", b"b", b"a" * 2000, b"a", b"c", *(b"d%d" % number for number in range(8))]
    places = [index_key(HEAD + tail) for tail in sorted(tails)]
    # Else the order of the index would already be right, and nothing would have to sort.
    assert places != sorted(places)
    for tail in tails:
        store.put(HEAD + tail, tail)
    store.put(HEAD[:-1] + b"i", b"after")
    with store.view() as view:
        keys = [key for key, _ in view.live(b"h", b"i")]
        assert keys == [*sorted(HEAD + tail for tail in tails), HEAD[:-1] + b"i"]
        # Bounds inside the group.
        keys = [key for key, _ in view.live(HEAD + b"a", HEAD + b"c")]
        assert keys == [HEAD + b"a", HEAD + b"a" * 2000, HEAD + b"b"]
        assert view.whole_key(index_key(HEAD + b"b")) == HEAD + b"b"
        assert view.whole_key(b"plain") == b"plain"

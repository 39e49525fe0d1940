"""Changes by revision, whole revisions at a time."""

from __future__ import annotations

import pytest

from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import Compacted
from zetcd.messages.kv import EventType
from zetcd.mvcc.history import previous, read_history


@pytest.fixture
def store() -> SmallStore:
    store = SmallStore()
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    store.delete(b"a", b"z")
    store.put(b"a", b"4")
    return store


def test_a_revision_is_never_torn(store: SmallStore) -> None:
    with store.view() as view:
        first = read_history(view, 4, events_max=1, bytes_max=1000)
        assert [each.revision for each in first.revisions] == [4]
        assert [event.type for event in first.revisions[0].events] == [EventType.DELETE] * 2
        assert first.next_revision == 5
        rest = read_history(view, 5, events_max=1, bytes_max=1000)
        assert [each.revision for each in rest.revisions] == [5]
        assert rest.next_revision == 6
        assert read_history(view, 6, events_max=1, bytes_max=1000) == ((), 6)


def test_bytes_end_a_slice_too(store: SmallStore) -> None:
    with store.view() as view:
        assert len(read_history(view, 0, events_max=99, bytes_max=1).revisions) == 1
        assert len(read_history(view, 0, events_max=99, bytes_max=1000).revisions) == 4


def test_a_future_start_has_nothing_yet(store: SmallStore) -> None:
    with store.view() as view:
        assert read_history(view, 9, events_max=9, bytes_max=1000) == ((), 9)


def test_the_compact_revision_itself_can_be_read(store: SmallStore) -> None:
    store.compact(4)
    with store.view() as view:
        found = read_history(view, 4, events_max=99, bytes_max=1000)
        assert [each.revision for each in found.revisions] == [4, 5]
        assert len(found.revisions[0].events) == 2
        with pytest.raises(Compacted):
            read_history(view, 3, events_max=99, bytes_max=1000)


def test_the_key_before_a_change(store: SmallStore) -> None:
    with store.view() as view:
        before = previous(view, b"a", 4)
        assert before is not None
        assert before.value == b"1"
        assert previous(view, b"a", 5) is None
        assert previous(view, b"a", 2) is None
    store.compact(4)
    with store.view() as view:
        assert previous(view, b"b", 4) is None

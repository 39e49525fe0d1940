"""Puts and deletes: revisions, versions, leases."""

from __future__ import annotations

import pytest

from tests.unit.mvcc.small_store import SmallStore
from zetcd.messages.kv import DeleteRangeRequest, Event, EventType, KeyValue, PutRequest


def test_the_first_change_is_revision_two() -> None:
    changes = SmallStore().put(b"a", b"1")
    assert changes is not None
    assert changes.revision == 2
    assert changes.events == (Event(EventType.PUT, KeyValue(b"a", 2, 2, 1, b"1")),)


def test_the_same_value_again_is_a_new_revision() -> None:
    store = SmallStore()
    store.put(b"a", b"1")
    changes = store.put(b"a", b"1")
    assert changes is not None
    assert changes.events[0].kv == KeyValue(b"a", 2, 3, 2, b"1")


def test_a_key_that_was_deleted_starts_over() -> None:
    store = SmallStore()
    store.put(b"a")
    store.delete(b"a")
    changes = store.put(b"a")
    assert changes is not None
    assert changes.events[0].kv == KeyValue(b"a", 4, 4, 1)


def test_deleting_nothing_takes_no_revision() -> None:
    store = SmallStore()
    assert store.delete(b"a", b"z") is None
    assert store.state.current_revision == 1


def test_a_delete_of_a_range_is_one_revision_in_key_order() -> None:
    store = SmallStore()
    for key in (b"c", b"a", b"b"):
        store.put(key)
    changes = store.delete(b"a", b"\0")
    assert changes is not None
    assert changes.revision == 5
    assert [event.kv for event in changes.events] == [
        KeyValue(key, 0, 5) for key in (b"a", b"b", b"c")
    ]


def test_prev_kv_is_the_key_before() -> None:
    store = SmallStore()
    store.put(b"a", b"1")
    with store.writer() as writer:
        assert writer.execute_put(PutRequest(b"a", b"2", prev_kv=True)) == KeyValue(
            b"a", 2, 2, 1, b"1"
        )
        assert writer.revision == 3
        writer.end()
        deleted, prev_kvs = writer.execute_delete_range(DeleteRangeRequest(b"a", prev_kv=True))
        assert deleted == 1
        assert prev_kvs == (KeyValue(b"a", 2, 3, 2, b"2"),)
        writer.end()


def test_fields_to_ignore_stay() -> None:
    store = SmallStore()
    store.put(b"a", b"1", 7)
    with store.writer() as writer:
        writer.execute_put(PutRequest(b"a", b"", 8, ignore_value=True))
        writer.end()
        assert writer.view.get(b"a") == KeyValue(b"a", 2, 3, 2, b"1", 8)
        writer.execute_put(PutRequest(b"a", b"2", ignore_lease=True))
        writer.end()
        assert writer.view.get(b"a") == KeyValue(b"a", 2, 4, 3, b"2", 8)


def test_a_key_belongs_to_its_last_lease_only() -> None:
    store = SmallStore()
    store.put(b"a", b"", 7)
    store.put(b"a", b"", 7)
    with store.writer() as writer:
        assert writer.keys_of_lease(7) == [b"a"]
    store.put(b"a", b"", 8)
    with store.writer() as writer:
        assert writer.keys_of_lease(7) == []
        assert writer.keys_of_lease(8) == [b"a"]
    store.put(b"a")
    with store.writer() as writer:
        assert writer.keys_of_lease(8) == []


def test_deleting_a_key_detaches_it() -> None:
    store = SmallStore()
    store.put(b"a", b"", 7)
    store.delete(b"a")
    with store.writer() as writer:
        assert writer.keys_of_lease(7) == []


def test_the_keys_of_a_lease_go_in_one_revision_sorted_by_whole_keys() -> None:
    store = SmallStore()
    long_keys = [b"h" * 470 + tail for tail in (b"c", b"a", b"b")]
    for key in long_keys:
        store.put(key, b"", 7)
    with store.writer() as writer:
        assert writer.delete_keys_of_lease(7) == 3
        changes = writer.end()
    assert changes is not None
    assert [event.kv.key for event in changes.events] == sorted(long_keys)


def test_the_writer_insists_on_the_checks_of_its_callers() -> None:
    with SmallStore().writer() as writer, pytest.raises(AssertionError):
        writer.execute_put(PutRequest(b"missing", ignore_value=True))

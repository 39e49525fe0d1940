"""HashKV is the same wherever and however far history has been removed."""

from __future__ import annotations

import pytest

from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import Compacted, FutureRev
from zetcd.mvcc.hash import HashKV, HashResult


def filled() -> SmallStore:
    store = SmallStore()
    for number in range(12):
        store.put(b"%d" % (number % 3), b"v%d" % number)
    store.delete(b"0")
    store.delete(b"1")
    return store


def hash_of(store: SmallStore, revision: int = 0, records_max: int = 100) -> HashResult:
    cursor = HashKV(revision)
    while True:
        with store.backend.read() as transaction:
            result = cursor.step(transaction, records_max=records_max)
        if result is not None:
            return result


def test_slices_do_not_matter() -> None:
    store = filled()
    assert hash_of(store) == hash_of(store, records_max=1) == hash_of(store, records_max=14)


def test_it_depends_on_the_revision_and_on_content() -> None:
    store, other = filled(), filled()
    assert hash_of(store) == hash_of(other)
    assert hash_of(store, 14).hash != hash_of(store, 15).hash
    store.put(b"x", b"1")
    other.put(b"x", b"2")
    assert hash_of(store).hash != hash_of(other).hash
    assert hash_of(store, 15).hash == hash_of(other, 15).hash


def test_removal_does_not_matter() -> None:
    # A tombstone is exactly at the compact revision, another one is before it.
    quick, slow = filled(), filled()
    quick.compact(15)
    slow.schedule(15)
    expected = hash_of(quick)
    assert expected.compact_revision == 15
    while True:
        assert hash_of(slow, records_max=2) == expected
        if slow.step(records_max=2).is_finished:
            break
    assert hash_of(slow) == expected


def test_a_compaction_meanwhile_starts_the_hash_over() -> None:
    store = filled()
    cursor = HashKV(15)
    with store.backend.read() as transaction:
        assert cursor.step(transaction, records_max=5) is None
    store.compact(10)
    result = None
    while result is None:
        with store.backend.read() as transaction:
            result = cursor.step(transaction, records_max=5)
    assert result == hash_of(store, 15)
    assert result.compact_revision == 10


def test_revisions_that_cannot_be_read() -> None:
    store = filled()
    store.compact(10)
    assert hash_of(store, 10).hash_revision == 10
    with pytest.raises(Compacted):
        hash_of(store, 9)
    with pytest.raises(FutureRev):
        hash_of(store, 16)


def test_the_response_carries_all_three_revisions() -> None:
    store = filled()
    store.compact(10)
    result = hash_of(store, 12)
    response = result.response(raft_term=4)
    assert (response.header.revision, response.header.raft_term) == (15, 4)
    assert (response.compact_revision, response.hash_revision) == (10, 12)
    assert response.hash == result.hash

"""What compaction keeps, in how big steps, and across a restart."""

from __future__ import annotations

import pytest

from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import Compacted, FutureRev
from zetcd.mvcc.backend import Table
from zetcd.mvcc.compaction import is_compacting
from zetcd.mvcc.revision import unpack_key


def revisions_left(store: SmallStore) -> list[int]:
    with store.backend.read() as transaction:
        return [unpack_key(key)[0] for key, _ in transaction.table(Table.REV).scan(b"", None)]


def test_the_newest_change_of_each_key_stays() -> None:
    store = SmallStore()
    for key in (b"a", b"a", b"b", b"a"):  # Revisions 2 to 5.
        store.put(key)
    store.compact(4)
    assert revisions_left(store) == [3, 4, 5]
    with store.view() as view:
        assert view.get(b"a", 4) is not None


def test_a_tombstone_before_the_revision_goes_with_its_key() -> None:
    store = SmallStore()
    store.put(b"a")
    store.delete(b"a")
    store.put(b"b")
    store.compact(4)
    assert revisions_left(store) == [4]


def test_a_tombstone_at_the_revision_stays_until_the_next_compaction() -> None:
    store = SmallStore()
    store.put(b"a")
    store.delete(b"a")
    store.put(b"b")
    store.compact(3)
    assert revisions_left(store) == [3, 4]
    store.compact(4)
    assert revisions_left(store) == [4]


def test_the_current_revision_does_not_depend_on_surviving_keys() -> None:
    store = SmallStore()
    store.put(b"a")
    store.delete(b"a")
    store.put(b"b")
    store.delete(b"b")
    store.compact(5)
    store.put(b"c")
    store.compact(6)
    assert revisions_left(store) == [6]
    assert store.state.current_revision == 6


def test_past_and_future_are_refused() -> None:
    store = SmallStore()
    store.put(b"a")
    store.put(b"a")
    store.compact(2)
    for revision in (2, 1, 0, -1):
        with pytest.raises(Compacted):
            store.schedule(revision)
    with pytest.raises(FutureRev):
        store.schedule(4)


def test_history_is_unreadable_at_once_and_removed_in_steps() -> None:
    store = SmallStore()
    for _ in range(10):
        store.put(b"a")
    store.schedule(11)
    with store.view() as view, pytest.raises(Compacted):
        view.resolve_revision(10)
    assert len(revisions_left(store)) == 10
    step = store.step(records_max=4)
    assert not step.is_finished
    assert step.removed == 3
    # What is left is in the tables: the next step would be the same after a restart.
    assert is_compacting(store.state)
    steps = [store.step(records_max=4) for _ in range(2)]
    assert [each.is_finished for each in steps] == [False, True]
    assert revisions_left(store) == [11]
    assert store.step(records_max=4).removed == 0


def test_a_new_compaction_takes_an_unfinished_one_over() -> None:
    store = SmallStore()
    for _ in range(4):
        store.put(b"a")
    store.delete(b"a")
    store.put(b"b")
    store.schedule(4)
    store.step(records_max=1)
    store.compact(7)
    assert revisions_left(store) == [7]


def test_a_tombstone_that_an_unfinished_compaction_has_kept_goes_with_the_next() -> None:
    """Else members differ, depending on when the second one came."""
    store = SmallStore()
    store.put(b"a")
    store.delete(b"a")
    store.put(b"b")
    store.schedule(3)
    # The records at 2 and 3; that there is nothing behind them is not known yet.
    assert not store.step(records_max=2).is_finished
    store.compact(4)
    assert revisions_left(store) == [4]


def test_a_step_looks_at_the_changes_since_the_last_compaction_only() -> None:
    store = SmallStore()
    for number in range(20):
        store.put(b"%d" % number)
    store.compact(21)
    store.put(b"0")
    store.schedule(22)
    # Two records, the one at 21 and the one at 22, whatever the number of keys.
    assert store.step(records_max=3).is_finished
    assert len(revisions_left(store)) == 20


def test_a_step_may_end_within_a_revision() -> None:
    store = SmallStore()
    for key in (b"a", b"b", b"c"):
        store.put(key)
    store.delete(b"a", b"z")
    store.put(b"d")
    store.schedule(6)
    while not store.step(records_max=1).is_finished:
        pass
    assert revisions_left(store) == [6]

"""Ranges as etcd answers them; the property test has every combination of fields."""

from __future__ import annotations

import pytest

from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import Compacted
from zetcd.messages.kv import RangeRequest, RangeResponse, SortOrder, SortTarget
from zetcd.mvcc import range as range_module
from zetcd.mvcc import view as view_module
from zetcd.mvcc.index_key import PLAIN_BYTES_MAX
from zetcd.mvcc.range import ListCounts, RangeCursor, execute_range


@pytest.fixture
def store() -> SmallStore:
    store = SmallStore()
    for number in (3, 1, 2, 5, 4):
        store.put(b"k%d" % number, b"v%d" % (9 - number))
    return store


def ask(store: SmallStore, request: RangeRequest) -> RangeResponse:
    with store.view() as view:
        return execute_range(view, request, raft_term=6)


def keys(response: RangeResponse) -> list[bytes]:
    return [kv.key for kv in response.kvs]


def test_a_limit_cuts_but_count_does_not(store: SmallStore) -> None:
    response = ask(store, RangeRequest(b"k", b"l", limit=2))
    assert keys(response) == [b"k1", b"k2"]
    assert response.more
    assert response.count == 5
    assert response.header.revision == 6
    assert response.header.raft_term == 6


def test_a_limit_that_is_just_enough_leaves_nothing(store: SmallStore) -> None:
    assert not ask(store, RangeRequest(b"k", b"l", limit=5)).more


def test_count_only_returns_no_keys_and_no_more(store: SmallStore) -> None:
    response = ask(store, RangeRequest(b"k", b"l", limit=2, count_only=True))
    assert (response.kvs, response.more, response.count) == ((), False, 5)


def test_descending_with_a_limit_returns_the_last_keys(store: SmallStore) -> None:
    request = RangeRequest(b"k", b"l", limit=2, sort_order=SortOrder.DESCEND)
    response = ask(store, request)
    assert keys(response) == [b"k5", b"k4"]
    assert response.more


@pytest.mark.parametrize(
    ("target", "first"),
    [
        (SortTarget.VALUE, b"k5"),
        (SortTarget.MOD, b"k3"),
        (SortTarget.CREATE, b"k3"),
        (SortTarget.VERSION, b"k1"),
    ],
)
def test_no_order_with_a_target_sorts_ascending(
    store: SmallStore, target: SortTarget, first: bytes
) -> None:
    response = ask(store, RangeRequest(b"k", b"l", sort_target=target))
    assert keys(response)[0] == first
    assert not response.more
    assert response.kvs[0].value


def test_a_limit_without_an_order_cuts_before_it_is_sorted(store: SmallStore) -> None:
    """As etcd: it takes one key more than the limit by name, sorts those and cuts again."""
    request = RangeRequest(b"k", b"l", limit=2, sort_target=SortTarget.VALUE)
    response = ask(store, request)
    assert keys(response) == [b"k3", b"k2"]
    assert (response.more, response.count) == (True, 5)
    ascending = RangeRequest(
        b"k", b"l", limit=2, sort_order=SortOrder.ASCEND, sort_target=SortTarget.VALUE
    )
    assert keys(ask(store, ascending)) == [b"k5", b"k4"]
    filtered = RangeRequest(b"k", b"l", limit=2, sort_target=SortTarget.VALUE, min_mod_revision=1)
    assert keys(ask(store, filtered)) == [b"k5", b"k4"]


def test_sorting_by_value_works_without_returning_values(store: SmallStore) -> None:
    request = RangeRequest(b"k", b"l", sort_target=SortTarget.VALUE, keys_only=True)
    response = ask(store, request)
    assert keys(response) == [b"k5", b"k4", b"k3", b"k2", b"k1"]
    assert {kv.value for kv in response.kvs} == {b""}


def test_filters_do_not_change_the_count(store: SmallStore) -> None:
    response = ask(store, RangeRequest(b"k", b"l", min_mod_revision=3, max_mod_revision=4))
    assert keys(response) == [b"k1", b"k2"]
    assert response.count == 5
    assert not response.more


def test_a_cursor_stays_at_its_revision_while_the_store_moves(store: SmallStore) -> None:
    cursor = RangeCursor(RangeRequest(b"k", b"l"))
    with store.view() as view:
        first = cursor.next_chunk(view, keys_max=2, bytes_max=1000)
    assert [kv.key for kv in first.kvs] == [b"k1", b"k2"]
    assert not first.is_last
    store.put(b"k35")
    store.delete(b"k4")
    with store.view() as view:
        rest = cursor.next_chunk(view, keys_max=10, bytes_max=1000)
    assert [kv.key for kv in rest.kvs] == [b"k3", b"k4", b"k5"]
    assert (rest.is_last, rest.count, rest.more) == (True, 5, False)
    assert cursor.revision == 6


def test_a_cursor_whose_revision_is_compacted_says_so(store: SmallStore) -> None:
    cursor = RangeCursor(RangeRequest(b"k", b"l"))
    with store.view() as view:
        cursor.next_chunk(view, keys_max=2, bytes_max=1000)
    store.put(b"k9")
    store.compact(7)
    with store.view() as view, pytest.raises(Compacted):
        cursor.next_chunk(view, keys_max=2, bytes_max=1000)


def test_a_chunk_ends_at_its_bytes_but_has_a_key(store: SmallStore) -> None:
    cursor = RangeCursor(RangeRequest(b"k", b"l"))
    with store.view() as view:
        assert len(cursor.next_chunk(view, keys_max=9, bytes_max=8).kvs) == 2
        assert len(cursor.next_chunk(view, keys_max=9, bytes_max=1).kvs) == 1


@pytest.mark.interpreted
def test_a_cursor_counts_on_in_steps_beyond_its_limit(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_module, "COUNT_STEP_KEYS_MAX", 2)
    cursor = RangeCursor(RangeRequest(b"k", b"l", limit=1))
    with store.view() as view:
        chunks = [cursor.next_chunk(view, keys_max=9, bytes_max=1000) for _ in range(3)]
    assert [len(chunk.kvs) for chunk in chunks] == [1, 0, 0]
    assert [chunk.is_last for chunk in chunks] == [False, False, True]
    assert (chunks[-1].count, chunks[-1].more) == (5, True)


@pytest.mark.interpreted
def test_the_next_page_need_not_be_counted_again(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_module, "COUNT_STEP_KEYS_MAX", 1)
    counts = ListCounts()
    page(store, RangeRequest(b"k", b"l", limit=2), counts)
    # What is written meanwhile is not in a list at an older revision.
    store.put(b"k45")
    store.delete(b"k5")
    second = RangeRequest(b"k2\0", b"l", limit=2, revision=6)
    assert page(store, second, counts) == ([b"k3", b"k4"], 3, True, 1)
    # At another revision all is counted anew: k45 instead of k5, in a step for each key and one more.
    newest = RangeRequest(b"k2\0", b"l", limit=1)
    names, count, more, steps = page(store, newest, counts)
    assert (names, count, more) == ([b"k3"], 3, True)
    assert steps > 2
    last = RangeRequest(b"k4\0", b"l", limit=2, revision=6)
    assert page(store, last, counts) == ([b"k5"], 1, False, 1)


def test_a_list_that_is_asked_for_again_need_not_be_counted_again(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_module, "COUNT_STEP_KEYS_MAX", 1)
    counts = ListCounts()
    request = RangeRequest(b"k", b"l", limit=1)
    *first, steps = page(store, request, counts)
    assert first == [[b"k1"], 5, True]
    assert steps > 1
    assert page(store, request, counts) == (*first, 1)


def page(
    store: SmallStore, request: RangeRequest, counts: ListCounts
) -> tuple[list[bytes], int, bool, int]:
    """Return keys, count and ``more`` of a range, and in how many steps it was read."""
    cursor = RangeCursor(request, counts)
    names: list[bytes] = []
    for steps in range(1, 100):
        with store.view() as view:
            chunk = cursor.next_chunk(view, keys_max=9, bytes_max=1000)
        names += [kv.key for kv in chunk.kvs]
        if chunk.is_last:
            return names, chunk.count, chunk.more, steps
    raise AssertionError("it does not end")


@pytest.mark.parametrize("revision", [0, 5, 7])
def test_counting_agrees_with_listing_whatever_was_deleted(
    store: SmallStore, revision: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "_COUNT_BATCH_KEYS", 2)
    long = b"k" + b"y" * PLAIN_BYTES_MAX
    for key in (long + b"1", long + b"2", b"k2", b"l1"):
        store.put(key)
    store.delete(b"k3")
    store.delete(long + b"2")
    bounds = (b"a", b"k", b"k2\0", b"k9", long, long + b"2", b"l", b"m", b"\0")
    with store.view() as view:
        for key in bounds[:-1]:
            for end in (*bounds, b""):
                expected = len(list(view.live(key, end, revision or None)))
                assert view.count(key, end, revision or None) == expected, (key, end)


def test_a_cursor_refuses_what_must_be_sorted() -> None:
    assert not RangeCursor.can_read(RangeRequest(b"k", b"l", sort_order=SortOrder.DESCEND))
    assert not RangeCursor.can_read(RangeRequest(b"k", b"l", min_mod_revision=3))
    assert RangeCursor.can_read(RangeRequest(b"k", b"l", sort_order=SortOrder.ASCEND))

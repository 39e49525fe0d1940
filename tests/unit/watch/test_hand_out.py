"""Batches to synced watchers: what is merged, what is bounded, what is noticed."""

from __future__ import annotations

from tests.unit.watch.stage import Stage, events_of
from zetcd.messages.node import EventBatch
from zetcd.messages.watch import WatchCreateRequest, WatchCredit


def watching(key: bytes = b"a", **options: float) -> Stage:
    stage = Stage(**options)
    stage.say(WatchCreateRequest(1, key))
    stage.settle()
    return stage


def test_batches_of_one_turn_are_merged() -> None:
    stage = watching()
    for _ in range(5):
        stage.put(b"a")
    (response,) = stage.turn()
    assert [event.kv.mod_revision for event in response.events] == [2, 3, 4, 5, 6]
    assert response.header.revision == 6


def test_a_turn_hands_out_a_bounded_number_of_revisions() -> None:
    stage = watching(sync_revisions_max=2)
    for _ in range(5):
        stage.put(b"a")
    counts = []
    while stage.hub.queue:
        assert stage.hub.next_timer(stage.now) == stage.now
        counts += [len(response.events) for response in stage.turn()]
    assert counts == [2, 2, 1]


def test_a_batch_seen_twice_is_told_once() -> None:
    stage = watching()
    item = stage.store.commit((b"a", b"1"))
    assert item is not None
    for _ in range(3):
        stage.hub.step(stage.store.batch(item))
    assert events_of(stage.settle(), 0) == [(2, b"a")]


def test_a_queue_beyond_its_limit_is_read_from_the_store() -> None:
    stage = watching(queue_bytes_max=100)
    for _ in range(20):
        stage.put(b"a")
    assert stage.hub.queue_bytes <= 100
    assert [revision for revision, _ in events_of(stage.settle(), 0)] == list(range(2, 22))
    assert stage.store.reads_count > 0


def test_an_installed_snapshot_is_a_gap() -> None:
    stage = watching()
    stage.store.commit((b"a", b"1"))
    stage.store.commit((b"a", b"2"))
    stage.hub.step(EventBatch((), 3, 0, raft_term=4))
    (response,) = stage.settle()
    assert [event.kv.value for event in response.events] == [b"1", b"2"]
    assert response.header.raft_term == 4


def test_victims_batches_are_bounded() -> None:
    stage = Stage(victim_bytes_max=1000)
    for _ in range(10):
        stage.say(WatchCreateRequest(1, b"a"))
    stage.settle()
    stage.hub.gateways[0].sessions[1].streams[1].credit_messages = 0
    stage.credit[0, 1, 1][0] = 0
    stage.put(b"a", b"x" * 300)
    stage.settle()
    counts = stage.hub.watchers_count
    assert (counts["victim"], counts["unsynced"]) == (2, 8)
    stage.say(WatchCredit(1, 100, 100_000))
    responses = stage.settle()
    assert all(events_of(responses, watch_id) == [(2, b"a")] for watch_id in range(10))


def test_a_batch_known_to_be_late_is_not_taken_for_lost() -> None:
    """The store is ahead at a check, but the batch comes before the next one."""
    stage = watching(stale_interval=0.5)
    stage.advance(0.6)
    item = stage.store.commit((b"a", b"1"))
    assert item is not None
    assert stage.advance(0.6) == []
    stage.hub.step(stage.store.batch(item))
    assert len(stage.advance(0.6)) == 1
    assert stage.store.reads_count == 0


def test_a_response_cut_in_two_is_resumed_after_what_was_sent() -> None:
    """Old victims give up what is left of their batch, and only that."""
    for hesitates in (False, True):
        stage = watching(sync_bytes_max=100)
        # Two revisions in one batch, which prev_kv makes too large for one response.
        stage.say(WatchCreateRequest(1, b"b", prev_kv=True))
        stage.put(b"b", b"x" * 200)
        stage.settle()
        stage.put(b"b", b"y")
        stage.put(b"b", b"z" * 200)
        stream = stage.hub.gateways[0].sessions[1].streams[1]
        stream.credit_messages, stage.credit[0, 1, 1][0] = 1, 1
        first = stage.turn()
        assert [revision for revision, _ in events_of(first, 1)] == [3]
        assert stage.hub.watchers_count["victim"] == 1
        rest = stage.advance(2.0) if hesitates else []
        assert stage.hub.watchers_count["victim"] == (0 if hesitates else 1)
        stage.say(WatchCredit(1, 10, 10))
        rest += stage.settle()
        assert [revision for revision, _ in events_of(rest, 1)] == [4]

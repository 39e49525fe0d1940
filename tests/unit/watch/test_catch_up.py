"""Rounds over the store: bounded, fair, complete."""

from __future__ import annotations

from tests.unit.watch.stage import Stage, events_of
from zetcd.messages.watch import WatchCreateRequest, WatchCredit


def test_one_read_serves_all_watchers_in_its_window() -> None:
    stage = Stage()
    for _ in range(3):
        stage.put(b"a")
    stage.settle()
    for _ in range(100):
        stage.say(WatchCreateRequest(1, b"a", start_revision=2))
    stage.turn()
    assert stage.store.reads_count == 1
    assert stage.hub.watchers_count["synced"] == 100


def test_a_round_is_bounded_in_revisions_bytes_and_watchers() -> None:
    stage = Stage(sync_revisions_max=2, sync_watchers_max=3)
    for _ in range(6):
        stage.put(b"a")
    stage.settle()
    for _ in range(5):
        stage.say(WatchCreateRequest(1, b"a", start_revision=2))
    with_events = [response for response in stage.turn() if response.events]
    assert [len(response.events) for response in with_events] == [2, 2, 2]
    assert [response.header.revision for response in with_events] == [3, 3, 3]
    rest = with_events + stage.settle()
    expected = [(revision, b"a") for revision in range(2, 8)]
    assert all(events_of(rest, watch_id) == expected for watch_id in range(5))


def test_large_revisions_end_a_round_early() -> None:
    stage = Stage(sync_bytes_max=1000)
    for _ in range(4):
        stage.put(b"a", b"x" * 900)
    stage.settle()
    stage.say(WatchCreateRequest(1, b"a", start_revision=2))
    responses = [response for response in stage.settle() if response.events]
    assert [len(response.events) for response in responses] == [2, 2]


def test_thousands_of_watchers_of_one_stream_do_not_delay_another() -> None:
    stage = Stage(sync_watchers_max=16)
    for _ in range(50):
        stage.put(b"a")
    stage.settle()
    for at in range(2000):
        stage.say(WatchCreateRequest(1, b"a", start_revision=2 + at % 50))
    stage.say(WatchCredit(1, 60_000, 1 << 25))
    stage.turn()
    stage.fresh.clear()
    stage.say(WatchCreateRequest(2, b"a", start_revision=2), session_id=2)
    turns = 0
    while not any(key[1] == 2 and response.events for key, response in stage.fresh):
        stage.turn()
        turns += 1
    assert turns <= 2
    assert stage.hub.watchers_count["unsynced"] > 1000


def test_watchers_at_different_places_take_turns() -> None:
    """One far behind does not hold up the others, nor they it."""
    stage = Stage(sync_revisions_max=5, sync_watchers_max=4)
    for _ in range(100):
        stage.put(b"a")
    stage.settle()
    stage.say(WatchCreateRequest(1, b"a", start_revision=2))
    stage.say(WatchCreateRequest(1, b"a", start_revision=98))
    for _ in range(3):
        stage.turn()
    assert stage.hub.watchers_count["synced"] == 1
    responses = [response for _, response in stage.fresh] + stage.settle()
    assert [revision for revision, _ in events_of(responses, 0)] == list(range(2, 102))
    assert [revision for revision, _ in events_of(responses, 1)] == list(range(98, 102))


def test_nothing_is_read_for_a_client_that_stopped() -> None:
    stage = Stage()
    stage.say(WatchCreateRequest(1, b"a"))
    stage.settle()
    stage.hub.gateways[0].sessions[1].streams[1].credit_messages = 0
    stage.credit[0, 1, 1][0] = 0
    for _ in range(10):
        stage.put(b"a")
        stage.advance(2.0)
    assert stage.store.reads_count == 0
    assert stage.hub.next_timer(stage.now) is None


def test_a_store_that_is_behind_is_waited_for() -> None:
    stage = Stage(catch_up_retry_interval=0.1)
    stage.put(b"a")
    stage.settle()
    # Apply rebuilds the store from the log.
    stage.store.current_revision = 1
    stage.say(WatchCreateRequest(1, b"a", start_revision=2))
    assert [response.created for response in stage.turn()] == [True]
    assert stage.hub.next_timer(stage.now) == stage.now + 0.1
    stage.store.current_revision = 2
    assert events_of(stage.advance(0.2), 0) == [(2, b"a")]


def test_credit_that_ends_within_a_round_moves_only_those_who_were_served() -> None:
    stage = Stage()
    for _ in range(3):
        stage.put(b"a")
    stage.settle()
    for _ in range(3):
        stage.say(WatchCreateRequest(1, b"a", start_revision=2))
    stream = stage.hub.gateways[0].sessions[1].streams[1]
    # The answers have left; one response with events may follow.
    stream.credit_messages = 1
    stage.turn()
    assert stage.hub.watchers_count == {"synced": 1, "unsynced": 2, "victim": 0}
    stage.say(WatchCredit(1, 100, 100))
    stage.settle()
    responses = [response for _, response in stage.fresh]
    for watch_id in range(3):
        assert [revision for revision, _ in events_of(responses, watch_id)] == [2, 3, 4]

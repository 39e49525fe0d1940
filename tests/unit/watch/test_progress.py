"""Progress notifications, beyond the scenarios in testdata/watch."""

from __future__ import annotations

from tests.unit.watch.stage import Stage
from zetcd.messages.watch import WatchCancelRequest, WatchCreateRequest, WatchProgressRequest
from zetcd.watch.progress import INTERVAL_MIN, JITTER, TIMERS_PER_TURN_MAX


def test_the_interval_has_jitter_and_a_floor() -> None:
    stage = Stage(progress_interval=0.001)
    for _ in range(50):
        stage.say(WatchCreateRequest(1, b"a", progress_notify=True))
    dues = [due for due, _, _ in stage.hub.progress_timers]
    assert min(dues) >= INTERVAL_MIN
    assert max(dues) <= INTERVAL_MIN * (1 + JITTER)
    assert len(set(dues)) > 1


def test_timers_of_removed_watchers_do_not_pile_up() -> None:
    stage = Stage(progress_interval=600)
    for _ in range(3 * TIMERS_PER_TURN_MAX):
        stage.say(WatchCreateRequest(1, b"a", progress_notify=True))
        stage.say(
            WatchCancelRequest(1, stage.hub.gateways[0].sessions[1].streams[1].next_watch_id - 1)
        )
        stage.turn()
        stage.credit[0, 1, 1][0] += 2
        stage.hub.gateways[0].sessions[1].streams[1].credit_messages += 2
        stage.fresh.clear()
    assert len(stage.hub.progress_timers) <= TIMERS_PER_TURN_MAX + 1
    assert stage.hub.progress_watchers_count == 0


def test_progress_comes_after_the_events_it_covers() -> None:
    stage = Stage()
    stage.say(WatchCreateRequest(1, b"a"))
    stage.settle()
    stage.say(WatchProgressRequest(1))
    stage.put(b"a")
    first, second = stage.settle()
    assert [event.kv.mod_revision for event in first.events] == [2]
    assert (second.watch_id, second.header.revision) == (-1, 2)


def test_many_requests_of_a_turn_get_one_answer() -> None:
    stage = Stage()
    stage.say(WatchCreateRequest(1, b"a"))
    stage.settle()
    for _ in range(5):
        stage.say(WatchProgressRequest(1))
    assert len(stage.settle()) == 1

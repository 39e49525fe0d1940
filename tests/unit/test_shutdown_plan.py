"""The order of a stop: who is asked when, and when waiting ends."""

from __future__ import annotations

import pytest

from zetcd.messages.node import ActorRole
from zetcd.shutdown_plan import ActorKey, ShutdownPlan

RAFT: ActorKey = (ActorRole.RAFT, 0)
WAL: ActorKey = (ActorRole.WAL, 0)
APPLY: ActorKey = (ActorRole.APPLY, 0)
WATCH: ActorKey = (ActorRole.WATCH, 0)
GATEWAYS: tuple[ActorKey, ...] = ((ActorRole.GATEWAY, 0), (ActorRole.GATEWAY, 1))
ALL = (RAFT, WAL, APPLY, WATCH, *GATEWAYS)


def asked(plan: ShutdownPlan, now: float) -> tuple[ActorKey, ...]:
    return tuple(request.actor for request in plan.advance(now))


def test_each_stage_begins_when_the_one_before_has_ended() -> None:
    plan = ShutdownPlan(ALL, 10.0, 2.0)
    assert asked(plan, 10.0) == GATEWAYS
    plan.exited(GATEWAYS[0])
    assert asked(plan, 10.01) == ()
    plan.exited(GATEWAYS[1])
    assert asked(plan, 10.02) == (RAFT,)
    plan.exited(RAFT)
    assert asked(plan, 10.03) == (APPLY, WATCH)
    plan.exited(APPLY)
    plan.exited(WATCH)
    assert asked(plan, 10.04) == (WAL,)
    assert not plan.is_done()
    plan.exited(WAL)
    assert plan.is_done()
    assert plan.to_kill(100.0) == ()


def test_what_carries_the_words_of_others_stops_last() -> None:
    relay: ActorKey = (ActorRole.PEER_TLS, 0)
    plan = ShutdownPlan((*ALL, relay), 10.0, 2.0)
    for stage in (GATEWAYS, (RAFT,), (APPLY, WATCH), (WAL,)):
        assert asked(plan, 10.0) == stage
        for each in stage:
            plan.exited(each)
    assert not plan.is_done()
    assert asked(plan, 10.0) == (relay,)
    plan.exited(relay)
    assert plan.is_done()


def test_a_stage_that_does_not_end_gives_way() -> None:
    plan = ShutdownPlan(ALL, 10.0, 2.0)
    assert asked(plan, 10.0) == GATEWAYS
    assert plan.next_timer() == pytest.approx(10.5)
    assert asked(plan, 10.5) == (RAFT,)
    assert plan.next_timer() == pytest.approx(11.3)
    assert asked(plan, 11.3) == (APPLY, WATCH)
    assert asked(plan, 11.7) == (WAL,)
    assert plan.to_kill(11.8) == ()
    assert plan.next_timer() == pytest.approx(11.9)
    assert plan.to_kill(11.9) == tuple(sorted(ALL))


def test_raft_is_told_how_long_it_has() -> None:
    plan = ShutdownPlan([RAFT], 10.0, 2.0)
    (request,) = plan.advance(10.0)
    assert request.actor == RAFT
    assert request.drain_seconds == pytest.approx(1.3)


def test_stages_without_a_process_are_passed_over() -> None:
    plan = ShutdownPlan([WAL], 10.0, 2.0)
    assert asked(plan, 10.0) == (WAL,)


def test_without_drain_time_all_are_asked_and_killed_at_once() -> None:
    plan = ShutdownPlan(ALL, 10.0, 0.0)
    assert sorted(asked(plan, 10.0)) == sorted(ALL)
    assert plan.to_kill(10.0) == tuple(sorted(ALL))

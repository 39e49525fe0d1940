"""Rounds begin while leading, spread in time; what came of them is counted by kind."""

from __future__ import annotations

import random

import pytest

from zetcd.divergence import Comparison, Outcome, RoundResult, Schedule
from zetcd.divergence.schedule import JITTER_SHARE, REPEAT_PAUSE_SECONDS, REPETITIONS_MAX

PASSED = RoundResult(9, Comparison(Outcome.EQUAL), (), 3)
FAILED = RoundResult(9, Comparison(Outcome.EQUAL), ((2, "it did not answer"),), 2)
SPOILT = RoundResult(9, Comparison(Outcome.INCOMPARABLE), (), 3)
DIFFERENT = RoundResult(9, Comparison(Outcome.DIFFERENT, (3,)), (), 3)


def schedule(interval: float = 60.0) -> Schedule:
    return Schedule(interval, random.Random(1))


def test_nobody_but_the_leader_begins_rounds() -> None:
    plan = schedule()
    assert plan.next_at == float("inf")
    plan.lead(100.0)
    assert 100 + 60 * (1 - JITTER_SHARE) <= plan.next_at <= 100 + 60 * (1 + JITTER_SHARE)
    plan.stop()
    assert plan.next_at == float("inf")


def test_rounds_are_spread() -> None:
    plan, times = schedule(), []
    for _ in range(20):
        plan.lead(0.0)
        times.append(plan.next_at)
    assert len(set(times)) == 20


def test_an_interval_of_zero_means_never() -> None:
    plan = schedule(0.0)
    plan.lead(100.0)
    assert plan.next_at == float("inf")


@pytest.mark.parametrize(
    ("result", "passed", "failed", "different", "last"),
    [
        (PASSED, 1, 0, 0, "passed at revision 9, 3 members"),
        (FAILED, 0, 1, 0, "failed at revision 9: 0000000000000002: it did not answer"),
        (DIFFERENT, 0, 0, 1, "DIFFERENT at revision 9, member 0000000000000003"),
    ],
)
def test_results_are_counted_by_kind(
    result: RoundResult, passed: int, failed: int, different: int, last: str
) -> None:
    plan = schedule()
    plan.lead(0.0)
    plan.finished(result, 100.0)
    tally = plan.tally
    assert (tally.passed, tally.failed, tally.different) == (passed, failed, different)
    assert tally.last == last
    assert plan.next_at >= 100 + 60 * (1 - JITTER_SHARE)


def test_a_spoilt_round_is_repeated_soon_and_counts_as_failed_only_in_the_end() -> None:
    plan = schedule()
    plan.lead(0.0)
    for _ in range(REPETITIONS_MAX):
        plan.finished(SPOILT, 100.0)
        assert plan.next_at == 100.0 + REPEAT_PAUSE_SECONDS
        assert plan.tally.failed == 0
    plan.finished(SPOILT, 100.0)
    assert plan.tally.failed == 1
    assert plan.tally.last == "failed at revision 9: compact revisions differ"
    assert plan.next_at > 100.0 + REPEAT_PAUSE_SECONDS


def test_a_member_alone_has_nothing_to_compare() -> None:
    plan = schedule()
    plan.skip(100.0)
    assert plan.next_at > 100.0
    assert (plan.tally.passed, plan.tally.last) == (0, "alone")

"""Tokens are spent, come back with time, and are never more than the burst."""

from __future__ import annotations

from zetcd.gateway.grpc.allowance import Allowance


def test_a_burst_then_the_rate() -> None:
    allowance = Allowance(per_second=10, burst=3)
    assert [allowance.spend(1, 100.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.spend(1, 100.25) for _ in range(3)] == [True, True, False]
    assert [allowance.spend(1, 1000.0) for _ in range(4)] == [True, True, True, False]


def test_earned_tokens_end_at_the_burst() -> None:
    allowance = Allowance(per_second=0, burst=2)
    assert allowance.spend(2, 0.0)
    allowance.earn(100)
    assert [allowance.spend(1, 0.0) for _ in range(3)] == [True, True, False]


def test_time_that_stands_still_or_goes_back_gives_nothing() -> None:
    allowance = Allowance(per_second=10, burst=1)
    assert allowance.spend(1, 100.0)
    assert not allowance.spend(1, 50.0)
    assert not allowance.spend(1, 100.0)

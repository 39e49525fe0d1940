"""Clocks: only monotonic time, and one that a test moves."""

from __future__ import annotations

import pytest

from zetcd.runtime.clock import Clock, ManualClock, SystemClock


def test_the_system_clock_never_goes_back() -> None:
    clock: Clock = SystemClock()
    times = [clock.now() for _ in range(1_000)]
    assert times == sorted(times)


def test_a_manual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock(5.0)
    assert clock.now() == clock.now() == 5.0
    clock.advance(0.25)
    clock.advance(0.0)
    assert clock.now() == 5.25


def test_a_manual_clock_refuses_to_go_back() -> None:
    with pytest.raises(AssertionError):
        ManualClock().advance(-1)

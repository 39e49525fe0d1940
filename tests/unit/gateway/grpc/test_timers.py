"""Deadlines fall due once, in order, never early, and at most one slot late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zetcd.gateway.grpc.timers import TimerWheel


def test_nothing_is_due_and_nothing_is_next() -> None:
    wheel: TimerWheel[str] = TimerWheel()
    assert wheel.next_due() is None
    assert wheel.take_due(1e9) == []


def test_removed_items_are_neither_due_nor_next() -> None:
    wheel: TimerWheel[str] = TimerWheel()
    slot = wheel.add(1, "a", 10.0, 0.0)
    wheel.add(2, "b", 20.0, 0.0)
    wheel.remove(1, slot)
    next_due = wheel.next_due()
    assert next_due is not None
    assert next_due >= 20.0
    assert wheel.take_due(30.0) == ["b"]
    wheel.remove(2, slot)


@given(
    st.lists(st.floats(0, 200_000), min_size=1, max_size=50),
    st.floats(0, 1_000_000),
)
def test_items_fall_due_after_their_time_and_soon(distances: list[float], start: float) -> None:
    wheel: TimerWheel[float] = TimerWheel()
    for key, distance in enumerate(distances):
        wheel.add(key, start + distance, start + distance, start)
    taken: list[float] = []
    while (now := wheel.next_due()) is not None:
        assert now >= start
        due = wheel.take_due(now)
        assert due
        for at in due:
            grain = 0.11 if at - start < 60 else 2 if at - start < 3600 else 61
            assert at <= now + 0.001
            assert now <= at + grain
        taken += due
    assert sorted(taken) == sorted(start + distance for distance in distances)


def test_far_deadlines_do_not_need_a_slot_each() -> None:
    wheel: TimerWheel[int] = TimerWheel()
    for key in range(20_000):
        wheel.add(key, key, 3600.0 + key * 0.5, 0.0)
    assert len(wheel._slots) < 500

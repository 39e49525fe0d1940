"""The open loop: every operation is due once, at its time, however late somebody asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.schedule import OpenLoop


def test_operations_are_due_at_even_distances() -> None:
    loop = OpenLoop(rate=4, start=10.0, until=11.0)
    assert loop.take_due(9.9) == []
    assert loop.take_due(10.3) == [10.0, 10.25]
    assert loop.next_due == 10.5
    assert loop.take_due(20.0) == [10.5, 10.75]
    assert loop.next_due is None


def test_a_late_look_gets_the_times_that_were_meant_not_the_time_of_the_look() -> None:
    loop = OpenLoop(rate=100, start=0.0, until=1.0)
    loop.take_due(0.105)
    # For half a second nobody looked: each of those operations has waited, and all of it counts.
    taken = loop.take_due(0.605)
    assert len(taken) == 50
    assert taken[0] == pytest.approx(0.11)
    assert max(0.605 - due for due in taken) == pytest.approx(0.495)


@given(
    st.floats(min_value=0.5, max_value=10_000),
    st.lists(st.floats(min_value=0, max_value=2), max_size=30),
)
def test_all_operations_are_handed_out_once_whenever_one_looks(
    rate: float, looks: list[float]
) -> None:
    loop = OpenLoop(rate=rate, start=0.0, until=1.0)
    taken = [due for look in [*sorted(looks), 5.0] for due in loop.take_due(look)]
    assert taken == [number / rate for number in range(len(taken))]
    assert taken[-1] < 1.0 <= len(taken) / rate


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(ValueError, match="rate must be positive, not 0"):
        OpenLoop(rate=0, start=0, until=1)

"""Counting into buckets."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from zetcd.metrics import Histogram


def test_a_bucket_holds_what_is_at_most_its_bound() -> None:
    histogram = Histogram([1, 2, 4])
    for value in (0, 1, 1.5, 2, 4, 5):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1, 1]
    assert histogram.sum == 13.5


@given(st.lists(st.floats(0, 1e6)), st.lists(st.integers(0, 10**6), unique=True).map(sorted))
def test_nothing_is_lost(values: list[float], bounds: list[int]) -> None:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    assert sum(histogram.counts) == len(values)
    for position, bound in enumerate(bounds):
        below = sum(histogram.counts[: position + 1])
        assert below == sum(value <= bound for value in values)
        assert bisect_left(bounds, bound) == position

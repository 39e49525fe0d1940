"""Latencies in buckets: bounded error, merging, and percentiles that few values cannot carry."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from bench.histogram import Buckets, Histogram, bounds_of, bucket_of


@given(st.integers(min_value=0, max_value=2**62))
def test_every_value_lies_in_its_bucket_which_is_narrow(value: int) -> None:
    low, high = bounds_of(bucket_of(value))
    assert low <= value <= high
    assert high - low <= max(0, value / 128)


@given(st.integers(min_value=0, max_value=4_000))
def test_buckets_follow_each_other_without_gap(bucket: int) -> None:
    assert bounds_of(bucket)[1] + 1 == bounds_of(bucket + 1)[0]
    assert bucket_of(bounds_of(bucket)[0]) == bucket


def test_percentiles_are_those_of_the_sorted_values_to_a_hundredth() -> None:
    rng = random.Random(1)
    values = sorted(int(rng.lognormvariate(8, 1)) for _ in range(20_000))
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    for share in (0.5, 0.9, 0.99, 0.999):
        exact = values[int(len(values) * share) - 1]
        found = histogram.percentile(share)
        assert found is not None
        assert abs(found - exact) <= exact * 0.01 + 1


def test_a_percentile_with_fewer_than_ten_values_beyond_it_is_not_known() -> None:
    histogram = Histogram()
    for _ in range(999):
        histogram.record(5)
    assert histogram.percentile(0.99) is None
    histogram.record(5)
    assert histogram.percentile(0.99) == 5
    assert histogram.percentile(0.999) is None
    assert histogram.value_at(0.999) == 5


def test_an_empty_histogram_has_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None
    assert Histogram().value_at(0.5) == 0


def test_no_percentile_is_more_than_the_greatest_value() -> None:
    histogram = Histogram()
    histogram.record(1_000_001)
    assert histogram.value_at(1.0) == 1_000_001


def test_negative_values_count_as_nothing() -> None:
    histogram = Histogram()
    histogram.record(-3)
    assert histogram.buckets() == Buckets(((0, 1),), 0)


@given(st.lists(st.integers(min_value=0, max_value=10**7)), st.integers(min_value=0, max_value=50))
def test_parts_merged_are_the_whole(values: list[int], cut: int) -> None:
    whole, first, second = Histogram(), Histogram(), Histogram()
    for number, value in enumerate(values):
        whole.record(value)
        (first if number < cut else second).record(value)
    merged = Histogram.merged([first.buckets(), second.buckets()])
    assert merged.buckets() == whole.buckets()
    assert merged.count == len(values)

"""Sets of ranges against the dumbest model: a list of ranges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.property.store_model import in_range
from zetcd.mvcc.interval import IntervalSet

short = st.binary(min_size=1, max_size=2)
ranges = st.lists(st.tuples(short, st.one_of(st.just(b""), st.just(b"\0"), short)), max_size=8)


@given(ranges, ranges, st.lists(short, min_size=1))
def test_covers_what_any_of_its_ranges_covers(
    first: list[tuple[bytes, bytes]], second: list[tuple[bytes, bytes]], keys: list[bytes]
) -> None:
    left, right = IntervalSet(), IntervalSet()
    for key, range_end in first:
        left.add(key, range_end)
    for key, range_end in second:
        right.add(key, range_end)
    left.update(right)
    for key in keys:
        covered = any(in_range(key, start, end) for start, end in first + second)
        assert left.covers(key) is covered


def test_an_empty_set_covers_nothing() -> None:
    assert not IntervalSet().covers(b"a")

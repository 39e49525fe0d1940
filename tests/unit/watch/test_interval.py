"""Ranges in blocks; the property test compares with a linear scan."""

from __future__ import annotations

import pytest

from zetcd.watch.interval import BLOCK_MAX, IntervalList, prefix_end


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"a\xff\xff", b"b"), (b"\xff", b"\0"), (b"", b"\0")],
)
def test_prefix_end(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end


def test_blocks_split_and_vanish() -> None:
    intervals: IntervalList[int] = IntervalList()
    count = 5 * BLOCK_MAX
    for number in range(count):
        start = number.to_bytes(2, "big")
        intervals.add(start, start + b"\xff", number)
        intervals.check()
    assert len(intervals) == count
    assert intervals.containing(b"\x01\x00x") == [256]
    for number in reversed(range(count)):
        start = number.to_bytes(2, "big")
        intervals.remove(start, start + b"\xff")
    intervals.check()
    assert len(intervals) == 0
    assert intervals.containing(b"\x01\x00x") == []


def test_many_ranges_with_the_same_start_span_blocks() -> None:
    intervals: IntervalList[int] = IntervalList()
    ends = [b"b" + number.to_bytes(2, "big") for number in range(3 * BLOCK_MAX)]
    for end in ends:
        intervals.add(b"a", end, 0)
    intervals.check()
    assert len(intervals.containing(b"aa")) == len(ends)
    for end in ends:
        intervals.remove(b"a", end)
        intervals.check()


def test_an_empty_range_and_an_unknown_one_are_defects() -> None:
    intervals: IntervalList[int] = IntervalList()
    with pytest.raises(AssertionError):
        intervals.add(b"b", b"a", 0)
    intervals.add(b"a", b"c", 0)
    with pytest.raises(AssertionError):
        intervals.remove(b"a", b"b")

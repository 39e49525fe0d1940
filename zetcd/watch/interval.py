"""Responsible for finding the ranges that contain a key without looking at all ranges.

`IntervalList` holds ranges sorted by start, cut into blocks; each block knows its largest end. A
query visits the blocks that start at or before the key and skips each whose ends are all at or
before the key: n / 128 cheap comparisons and the blocks that may match, and no balancing code.
Prefix ranges, which is what nearly all watches are, do not come here (`watcher_group`).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Ranges in a block at most; near the square root of the largest number expected to be cheap
#: (10,000).
BLOCK_MAX: Final = 128


def prefix_end(prefix: bytes) -> bytes:
    r"""Return the end of the range of all keys that start with ``prefix``; b"\0" if there is none.

    >>> prefix_end(b"ab"), prefix_end(b"a\xff"), prefix_end(b"\xff")
    (b'ac', b'b', b'\x00')
    """
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else b"\0"


class _Block(Generic[T]):
    """A run of neighbouring ranges; ``entries`` is sorted, ``end_max`` is the largest end in it."""

    __slots__ = ("end_max", "entries")

    def __init__(self, entries: list[tuple[bytes, bytes, T]]) -> None:
        self.entries = entries
        self.end_max = max(entry[1] for entry in entries)


class IntervalList(Generic[T]):
    """A map from non-empty ranges [start, end), each at most once, to values.

    Invariants
        - Blocks are not empty, hold at most `BLOCK_MAX` ranges and follow each other in order.
        - ``_starts[i]`` is the first start of block i.
    """

    __slots__ = ("_blocks", "_starts")

    def __init__(self) -> None:
        """Start without ranges."""
        self._blocks: list[_Block[T]] = []
        self._starts: list[bytes] = []

    def __len__(self) -> int:
        return sum(len(block.entries) for block in self._blocks)

    def add(self, start: bytes, end: bytes, value: T) -> None:
        """Add [start, end), which must not be there yet."""
        assert start < end
        if not self._blocks:
            self._blocks.append(_Block([(start, end, value)]))
            self._starts.append(start)
            return
        at = self._block_for(start, end)
        block = self._blocks[at]
        insort(block.entries, (start, end, value), key=_order)
        block.end_max = max(block.end_max, end)
        self._starts[at] = block.entries[0][0]
        if len(block.entries) > BLOCK_MAX:
            self._split(at)

    def remove(self, start: bytes, end: bytes) -> None:
        """Remove [start, end), which must be there."""
        at = self._block_for(start, end)
        entries = self._blocks[at].entries
        position = bisect_right(entries, (start, end), key=_order) - 1
        assert entries[position][:2] == (start, end)
        del entries[position]
        if entries:
            self._blocks[at] = _Block(entries)
            self._starts[at] = entries[0][0]
        else:
            del self._blocks[at]
            del self._starts[at]

    def containing(self, key: bytes) -> list[T]:
        """Return the values of all ranges that contain ``key``, ordered by start, then end."""
        found: list[T] = []
        for block in self._blocks[: bisect_right(self._starts, key)]:
            if block.end_max > key:
                found += [value for start, end, value in block.entries if start <= key < end]
        return found

    def check(self) -> None:
        """Assert the invariants."""
        flat = [_order(entry) for block in self._blocks for entry in block.entries]
        assert flat == sorted(set(flat))
        assert self._starts == [block.entries[0][0] for block in self._blocks]
        for block in self._blocks:
            assert len(block.entries) <= BLOCK_MAX
            assert block.end_max == max(end for _, end, _ in block.entries)

    def _block_for(self, start: bytes, end: bytes) -> int:
        """Return the last block whose first range is at or before [start, end), or the first."""
        at = max(0, bisect_right(self._starts, start) - 1)
        # Blocks may begin with the same start; the ends then decide.
        while at > 0 and _order(self._blocks[at].entries[0]) > (start, end):
            at -= 1
        return at

    def _split(self, at: int) -> None:
        entries = self._blocks[at].entries
        middle = len(entries) // 2
        halves = [_Block(entries[:middle]), _Block(entries[middle:])]
        self._blocks[at : at + 1] = halves
        self._starts[at : at + 1] = [half.entries[0][0] for half in halves]


def _order(entry: tuple[bytes, bytes, T]) -> tuple[bytes, bytes]:
    return entry[0], entry[1]

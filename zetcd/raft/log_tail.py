"""Responsible for the newest entries of the log, the only ones in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zetcd.messages.raft import LogEntry
    from zetcd.scalars import Index

#: Counted for each entry beside its data: an empty entry is not free, in memory or on the wire.
ENTRY_OVERHEAD_BYTES: Final = 32


def entries_bytes(entries: Sequence[LogEntry]) -> int:
    """Return the bytes that ``entries`` count against every limit."""
    return sum([len(entry.data) for entry in entries]) + ENTRY_OVERHEAD_BYTES * len(entries)


def limit_bytes(entries: Sequence[LogEntry], bytes_max: int) -> Sequence[LogEntry]:
    """Return the longest head of ``entries`` within ``bytes_max``, but at least one entry."""
    total = 0
    for place, entry in enumerate(entries):
        total += len(entry.data) + ENTRY_OVERHEAD_BYTES
        if total > bytes_max and place > 0:
            return entries[:place]
    return entries


class LogTail:
    """Consecutive entries ``[first_index, next_index)``.

    Invariant: ``bytes_total`` is the sum over the entries held.
    """

    __slots__ = ("_entries", "bytes_total", "first_index")

    def __init__(self, entries: Sequence[LogEntry], *, next_index: Index) -> None:
        """Start with ``entries``, which end just before ``next_index``."""
        self._entries: list[LogEntry] = list(entries)
        self.first_index: Index = next_index - len(entries)
        self.bytes_total = entries_bytes(entries)

    @property
    def next_index(self) -> Index:
        """One behind the last entry held."""
        return self.first_index + len(self._entries)

    def append(self, entries: Sequence[LogEntry], bytes_count: int) -> None:
        """Add ``entries`` at the end; their size is ``bytes_count``."""
        assert entries[0].index == self.next_index, "entries must follow the log"
        self._entries.extend(entries)
        self.bytes_total += bytes_count

    def slice(self, low: Index, high: Index) -> list[LogEntry]:
        """Return the entries ``[low, high)``, all of which must be held."""
        first = self.first_index
        assert first <= low <= high <= first + len(self._entries), "not held in memory"
        return self._entries[low - first : high - first]

    def truncate_from(self, index: Index) -> None:
        """Drop ``index`` and everything behind it; if nothing is left, continue at ``index``."""
        if index <= self.first_index:
            self.restart(index)
            return
        dropped = self._entries[index - self.first_index :]
        self.bytes_total -= entries_bytes(dropped)
        del self._entries[index - self.first_index :]

    def restart(self, next_index: Index) -> None:
        """Drop everything and continue at ``next_index``."""
        self._entries.clear()
        self.bytes_total = 0
        self.first_index = next_index

    def trim(self, bytes_max: int, *, through: Index) -> None:
        """Drop the oldest entries, none behind ``through``, until ``bytes_max`` are left."""
        count = 0
        droppable = through - self.first_index + 1
        for entry in self._entries:
            if self.bytes_total <= bytes_max or count >= droppable:
                break
            self.bytes_total -= len(entry.data) + ENTRY_OVERHEAD_BYTES
            count += 1
        del self._entries[:count]
        self.first_index += count

    def drop_before(self, index: Index) -> None:
        """Drop the entries before ``index``, which is at most `next_index`."""
        if index > self.first_index:
            count = index - self.first_index
            self.bytes_total -= entries_bytes(self._entries[:count])
            del self._entries[:count]
            self.first_index = index

    def check(self) -> None:
        """Assert the invariants."""
        indexes = [entry.index for entry in self._entries]
        assert indexes == list(range(self.first_index, self.next_index)), (
            "entries must be consecutive"
        )
        assert self.bytes_total == entries_bytes(self._entries)

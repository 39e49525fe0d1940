"""Responsible for what the log means after replay, and for where on disk an entry is.

Must never hold entries: memory grows with the number of terms and with one position per 64 KiB of
log.

Invariants
    - ``first_index <= last_index + 1``; an empty log has ``first_index == last_index + 1``.
    - Term runs are ascending in index and in term.
    - Positions ascend in index and in location. From the position found for an index on, the entry
      with that index and the term the log has there is found by reading forward.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

from zetcd.errors import InvariantViolation, WalCorruption
from zetcd.messages.raft import ConfState, HardState, SnapshotMetadata
from zetcd.messages.storage import TermRun
from zetcd.scalars import Index, Term
from zetcd.wal.record import CheckpointRecord, EntriesRecord, HardStateRecord, Record

#: Bytes of log between two remembered positions; a read scans at most this far to find its entry.
POSITION_SPACING_BYTES: Final = 64 * 1024

EMPTY_SNAPSHOT: Final = SnapshotMetadata(0, 0, ConfState())


class Location(NamedTuple):
    """Where a batch starts."""

    #: Segment number.
    segment: int
    #: Byte offset in the segment.
    offset: int


class LogIndex:
    """The log without its entries. Whoever reads or writes a batch replays it here.

    Invariants as in the module docstring; `check` asserts them.
    """

    __slots__ = (
        "_position_indexes",
        "_position_offsets",
        "_position_segments",
        "_run_indexes",
        "_run_terms",
        "first_index",
        "hard_state",
        "last_index",
        "previous_term",
        "snapshot",
    )

    def __init__(self, *, first_index: Index = 1, previous_term: Term = 0) -> None:
        """Start as an empty log whose next entry is ``first_index``."""
        #: Lowest index that is on disk.
        self.first_index = first_index
        #: Highest index of the log.
        self.last_index = first_index - 1
        #: Term of the entry before ``first_index``, 0 if unknown or none.
        self.previous_term = previous_term
        self.hard_state = HardState()
        #: Newest checkpoint mark; index 0 = none.
        self.snapshot = EMPTY_SNAPSHOT
        self._run_indexes: array[int] = array("Q")
        self._run_terms: array[int] = array("Q")
        self._position_indexes: array[int] = array("Q")
        self._position_segments: array[int] = array("Q")
        self._position_offsets: array[int] = array("Q")

    # --- replay --------------------------------------------------------------------------------

    def replay(
        self, records: Iterable[Record], location: Location, *, ends_at: Index | None = None
    ) -> int:
        """Take over the records of the batch at ``location``; return how many entries they hold.

        Args:
            records: of the batch.
            location: of the batch.
            ends_at: where the log ended when the batch was written, None if it is being written.

        Raises:
            WalCorruption: they do not continue the log.
        """
        count, mark = 0, None
        for record in records:
            if type(record) is EntriesRecord:
                self._append(record, location)
                count += record.entries_count
            elif type(record) is HardStateRecord:
                self._set_hard_state(record.hard_state)
            elif type(record) is CheckpointRecord:
                mark = record.snapshot
                self._mark(mark)
        if ends_at is not None and ends_at != self.last_index:
            if mark is None or mark.index != ends_at or mark.index >= self.first_index:
                raise WalCorruption(f"the log should end at {ends_at}, not at {self.last_index}")
            # The log contradicted the mark in an entry whose segment is deleted; what is left of it
            # above the mark went with that entry.
            self._replace(mark)
        return count

    def _append(self, record: EntriesRecord, location: Location) -> None:
        first, term, count, _ = record
        if first == 0 or first > self.last_index + 1 or count == 0:
            raise WalCorruption(
                f"{count} entries from index {first} do not continue the log, "
                f"which ends at {self.last_index}"
            )
        if first <= self.hard_state.commit:
            raise WalCorruption(
                f"entries from index {first} replace committed ones "
                f"(up to {self.hard_state.commit})"
            )
        if first <= self.last_index:
            self._truncate(first)
        if term < self.last_term:
            raise WalCorruption(
                f"entries from index {first} have term {term} after term {self.last_term}"
            )
        if not self._run_terms or self._run_terms[-1] != term:
            self._run_indexes.append(first)
            self._run_terms.append(term)
        if self._is_position_due(location):
            self._position_indexes.append(first)
            self._position_segments.append(location.segment)
            self._position_offsets.append(location.offset)
        self.last_index = first + count - 1

    def _truncate(self, first: Index) -> None:
        """Forget everything at ``first`` and above."""
        while self._run_indexes and self._run_indexes[-1] >= first:
            self._run_indexes.pop()
            self._run_terms.pop()
        while self._position_indexes and self._position_indexes[-1] >= first:
            self._drop_last_position()
        if first < self.first_index:
            # Segments before this one are deleted, and the suffix that this overwrites reached into
            # them.
            self.first_index = first
            self.previous_term = 0
        self.last_index = first - 1

    def _drop_last_position(self) -> None:
        self._position_indexes.pop()
        self._position_segments.pop()
        self._position_offsets.pop()

    def _is_position_due(self, location: Location) -> bool:
        if not self._position_indexes or self._position_segments[-1] != location.segment:
            return True
        return location.offset - self._position_offsets[-1] >= POSITION_SPACING_BYTES

    def _set_hard_state(self, state: HardState) -> None:
        if state.term < self.hard_state.term:
            raise WalCorruption(
                f"hard state goes back from term {self.hard_state.term} to {state.term}"
            )
        self.hard_state = state

    def _mark(self, snapshot: SnapshotMetadata) -> None:
        """Take over a checkpoint mark; one that the log does not contain replaces it (Raft §7)."""
        if snapshot.index < self.snapshot.index:
            raise WalCorruption(
                f"checkpoint mark goes back from index {self.snapshot.index} to {snapshot.index}"
            )
        known_term = self.term_of(snapshot.index)
        self.snapshot = snapshot
        if snapshot.index > self.last_index or known_term not in {None, snapshot.term}:
            self._replace(snapshot)
        elif snapshot.index == self.first_index - 1:
            self.previous_term = snapshot.term

    def _replace(self, snapshot: SnapshotMetadata) -> None:
        """Become the empty log that follows ``snapshot``."""
        del self._run_indexes[:], self._run_terms[:]
        del self._position_indexes[:], self._position_segments[:], self._position_offsets[:]
        self.first_index = snapshot.index + 1
        self.last_index = snapshot.index
        self.previous_term = snapshot.term

    # --- reading -------------------------------------------------------------------------------

    @property
    def last_term(self) -> Term:
        """Term of the last entry, or of the point before an empty log."""
        return self._run_terms[-1] if self._run_terms else self.previous_term

    def term_of(self, index: Index) -> Term | None:
        """Return the term of the entry at ``index``, None if the log does not know it."""
        if index == self.snapshot.index:
            return self.snapshot.term
        if not self.first_index <= index <= self.last_index:
            return None
        return self._run_terms[bisect_right(self._run_indexes, index) - 1]

    def term_runs(self) -> tuple[TermRun, ...]:
        """Return the terms of the log from `start` on."""
        start, _ = self.start()
        if start > self.last_index:
            return ()
        begin = bisect_right(self._run_indexes, start) - 1
        return tuple(
            TermRun(max(start, self._run_indexes[at]), self._run_terms[at])
            for at in range(begin, len(self._run_indexes))
        )

    def start(self) -> tuple[Index, Term]:
        """Return the first index that can be read and the term before it, which must be known.

        The entry before ``first_index`` is on no disk any more. Where its term is unknown too, the log
        counts as beginning one entry later.
        """
        first = self.first_index
        if first == 1:
            return 1, 0
        if self.snapshot.index == first - 1:
            return first, self.snapshot.term
        if self.previous_term or first > self.last_index:
            return first, self.previous_term
        return first + 1, self.term_of(first) or 0

    def locate(self, index: Index) -> Location:
        """Return a batch from which reading forward finds the entry at ``index``."""
        at = bisect_right(self._position_indexes, index) - 1
        if at < 0 or index > self.last_index:
            raise InvariantViolation(f"index {index} has no position")
        return Location(self._position_segments[at], self._position_offsets[at])

    def tail_index(self, bytes_max: int, ends: dict[int, int]) -> Index:
        """Return the index of the first position within ``bytes_max`` of the end of the log.

        Args:
            bytes_max: bytes of log.
            ends: where the batches of each segment end, by segment number.
        """
        assert self._position_indexes, "the log has no entries"
        last = len(self._position_indexes) - 1
        distance = 0
        segment = max(ends)
        for at in range(last, -1, -1):
            while segment > self._position_segments[at]:
                distance += ends[segment]
                segment -= 1
            if distance + ends[segment] - self._position_offsets[at] > bytes_max:
                return self._position_indexes[min(at + 1, last)]
        return self._position_indexes[0]

    # --- release -------------------------------------------------------------------------------

    def release(self, segment: int) -> None:
        """Forget the positions before ``segment``, because the segments before it are deleted."""
        keep = 0
        while keep < len(self._position_segments) and self._position_segments[keep] < segment:
            keep += 1
        del self._position_indexes[:keep], self._position_segments[:keep]
        del self._position_offsets[:keep]
        first = self._position_indexes[0] if self._position_indexes else self.last_index + 1
        self.previous_term = self.term_of(first - 1) or self.previous_term
        self.first_index = first

    # --- invariants ----------------------------------------------------------------------------

    def check(self) -> None:
        """Assert the invariants of the module docstring."""
        assert self.first_index <= self.last_index + 1
        assert list(self._run_indexes) == sorted(set(self._run_indexes))
        assert list(self._run_terms) == sorted(set(self._run_terms))
        assert list(self._position_indexes) == sorted(set(self._position_indexes))
        places = list(zip(self._position_segments, self._position_offsets, strict=True))
        assert places == sorted(places)
        if self.last_index >= self.first_index:
            assert self._position_indexes[0] <= self.first_index
            assert self._run_indexes[0] <= self.first_index

    def check_recovered(self) -> None:
        """Check the whole log once recovery has replayed it.

        Raises:
            WalCorruption: committed entries are missing.
        """
        if self.hard_state.commit > self.last_index:
            raise WalCorruption(
                f"the log ends at index {self.last_index} but index "
                f"{self.hard_state.commit} was committed"
            )
        if self.first_index > self.snapshot.index + 1:
            raise WalCorruption(
                f"the log begins at index {self.first_index} but the newest checkpoint is at "
                f"{self.snapshot.index}: the segments between are missing"
            )
        if self.hard_state.term < self.last_term:
            raise WalCorruption(
                f"the log ends with term {self.last_term} but raft was at "
                f"term {self.hard_state.term}"
            )

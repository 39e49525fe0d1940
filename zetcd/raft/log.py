"""Responsible for the replicated log as one member sees it: terms, cursors, newest entries.

Positions, in ascending order where all of them are apart::

      snapshot_index   compacted up to here
            │   applied     reported by apply
            │      │   applying    handed to apply
            │      │      │   committed   on a quorum
            │      │      │       │            last_index
    ────────┴──────┴──────┴───────┴────────────────┤
            .......[tail: entries in memory        ]
                                ▲       ▲
                             durable  handed       the own disk: has / was given

``durable`` and ``committed`` are independent: a leader commits through its followers' disks while
its own is still busy, and a follower may apply what the leader says is committed while its own disk
is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.raft.log_tail import LogTail, entries_bytes
from zetcd.raft.term_runs import TermRuns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zetcd.messages.raft import LogEntry, SnapshotMetadata
    from zetcd.raft.options import RaftStart
    from zetcd.scalars import Index, Term


class RaftLog:
    """The log of one member.

    Invariants:
        * ``snapshot_index <= committed <= last_index``; ``durable <= handed <= last_index``.
        * Committed entries are never truncated (Raft §5.3, Leader Append-Only and Log Matching).
        * ``applied <= applying <= committed``, except just after a restart: apply may hold entries
          that this disk has lost; they come back from the leader and are not handed out again.
        * The tail holds every entry behind ``min(durable, committed)`` written since the start.
    """

    __slots__ = (
        "_runs",
        "agreed",
        "applied",
        "applying",
        "committed",
        "durable",
        "handed",
        "last_index",
        "last_term",
        "snapshot_index",
        "snapshot_term",
        "tail",
        "tail_bytes_max",
        "uncommitted_bytes",
        "unstable_bytes",
    )

    def __init__(self, start: RaftStart, *, tail_bytes_max: int) -> None:
        """Build the log from what recovery found."""
        #: Everything up to here is compacted; 0 = nothing.
        self.snapshot_index: Index = start.snapshot.index
        self.snapshot_term: Term = start.snapshot.term
        if start.first_index:
            # The log reaches back behind the snapshot.
            assert start.first_index <= start.snapshot.index + 1, "the log has a gap"
            self.snapshot_index = start.first_index - 1
            self.snapshot_term = start.previous_term
        self.last_index: Index = start.last_index
        self._runs = TermRuns(start.term_runs)
        self.last_term: Term = self.snapshot_term
        if self.last_index > self.snapshot_index:
            self.last_term = self._runs.term_at(self.last_index)
        self.tail = LogTail(start.tail, next_index=start.last_index + 1)
        #: Beyond it, durable and committed entries leave the memory.
        self.tail_bytes_max = tail_bytes_max
        #: Given to the wal up to here.
        self.handed: Index = start.last_index
        #: Known to be on the own disk up to here.
        self.durable: Index = start.last_index
        self.committed: Index = self._initial_commit(start)
        self.applying: Index = start.applied_index
        if start.applied_index < self.snapshot_index:
            # What is missing is compacted: the snapshot is loaded first.
            self.applying = start.snapshot.index
        self.applied: Index = start.applied_index
        #: Follower: agrees with the leader's log up to here, durably or not; 0 = not known.
        self.agreed: Index = 0
        #: Bytes behind ``durable``.
        self.unstable_bytes = 0
        #: Bytes behind ``committed``, as far as they are in memory.
        self.uncommitted_bytes = self._tail_bytes_after(self.committed)
        self.trim()

    def _initial_commit(self, start: RaftStart) -> Index:
        """Return what is certainly committed: the durable hint, or what apply already has.

        The commit index is written to disk only beside something else, so apply may know better. It
        may also be ahead of the log, and even disagree with it: the disk can hold an old entry that
        an overwrite, applied but never written, was meant to replace. Only a matching term counts.
        """
        # A snapshot holds only what is committed.
        commit = min(max(start.hard_state.commit, start.snapshot.index), self.last_index)
        if self.term_at(start.applied_index) == start.applied_term:
            commit = max(commit, start.applied_index)
        return commit

    # --- reading --------------------------------------------------------------------------------

    @property
    def first_index(self) -> Index:
        """The first index that is not compacted (``last_index + 1`` for an empty log)."""
        return self.snapshot_index + 1

    def term_at(self, index: Index) -> Term | None:
        """Return the term at ``index``, None if it is compacted or behind the end of the log."""
        if index == self.last_index:
            return self.last_term
        if index > self.last_index or index < self.snapshot_index:
            return None
        if index == self.snapshot_index:
            return self.snapshot_term
        return self._runs.term_at(index)

    def is_up_to_date(self, last_index: Index, last_term: Term) -> bool:
        """Return whether a log that ends so is at least as up to date as this one (Raft §5.4.1)."""
        if last_term != self.last_term:
            return last_term > self.last_term
        return last_index >= self.last_index

    def find_conflict_by_term(self, index: Index, term: Term) -> tuple[Index, Term]:
        """Return the last position at or before ``index`` whose term is at most ``term``.

        Used on both sides of a refused append to skip a whole term at a time (Raft §5.3): whatever
        lies behind that position cannot agree with a log that has ``term`` at ``index``.

        Returns:
            The position and its term. The snapshot's position, if everything behind it is excluded:
            nothing is known before it. ``(index, 0)`` if ``index`` is compacted.
        """
        index = min(index, self.last_index)
        if index <= self.snapshot_index:
            return index, self.term_at(index) or 0
        index = self._runs.last_at_most(index, term)
        return index, self.term_at(index) or 0

    def agrees_with(self, entries: Sequence[LogEntry]) -> bool:
        """Return whether each of ``entries``, read from disk some time ago, is still in the log."""
        return all(self.term_at(entry.index) == entry.term for entry in entries)

    def take_unhanded(self) -> tuple[LogEntry, ...]:
        """Return the entries that the wal was not given yet; now it counts as given them."""
        if self.handed == self.last_index:
            return ()
        entries = tuple(self.tail.slice(self.handed + 1, self.last_index + 1))
        self.handed = self.last_index
        return entries

    # --- growing and shrinking ------------------------------------------------------------------

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Add ``entries`` right behind the end of the log."""
        if not entries:
            return
        assert entries[0].index == self.last_index + 1, "entries must follow the log"
        bytes_count = entries_bytes(entries)
        self.tail.append(entries, bytes_count)
        self.unstable_bytes += bytes_count
        self.uncommitted_bytes += bytes_count
        last = entries[-1]
        if last.term != self.last_term or not self._runs.terms:
            for entry in entries:
                self._runs.append(entry.index, entry.term)
        self.last_index = last.index
        self.last_term = last.term

    def try_merge(
        self, prev_index: Index, prev_term: Term, entries: Sequence[LogEntry]
    ) -> Index | None:
        """Make the log agree with a leader's ``entries`` behind ``prev_index`` (Raft §5.3).

        An existing suffix is removed only where it *conflicts*: an old, shorter message that
        arrives late must not take away what newer ones added.

        Returns:
            The last index that now agrees with the leader, None if ``prev_index`` does not match.
        """
        if self.term_at(prev_index) != prev_term:
            return None
        last_new = prev_index + len(entries)
        if prev_index == self.last_index:
            self.append(entries)
            return last_new
        for place, entry in enumerate(entries):
            if self.term_at(entry.index) != entry.term:
                if entry.index <= self.last_index:
                    self._truncate_from(entry.index)
                self.append(entries[place:])
                break
        return last_new

    def _truncate_from(self, index: Index) -> None:
        """Remove ``index`` and everything behind it, which a newer leader has replaced."""
        assert index > self.committed, f"entry {index} is committed and cannot be replaced"
        last_term = self.term_at(index - 1)
        assert last_term is not None
        self.tail.truncate_from(index)
        self._runs.truncate_from(index)
        self.last_index = index - 1
        self.last_term = last_term
        # What is written in their place counts as durable only once it is written: the wal handles
        # its messages in order, and an answer to an older one is told apart by its term.
        self.handed = min(self.handed, self.last_index)
        self.durable = min(self.durable, self.last_index)
        self.unstable_bytes = self._tail_bytes_after(self.durable)
        self.uncommitted_bytes = self._tail_bytes_after(self.committed)

    def restore(self, snapshot: SnapshotMetadata) -> None:
        """Replace the whole log by ``snapshot``."""
        assert snapshot.index > self.committed, "a snapshot must not undo what is committed"
        self.durable = min(self.durable, self.committed)
        self.snapshot_index = snapshot.index
        self.snapshot_term = snapshot.term
        self._runs.clear()
        self.tail.restart(snapshot.index + 1)
        self.last_index = snapshot.index
        self.last_term = snapshot.term
        self.handed = snapshot.index
        self.committed = snapshot.index
        self.applying = max(self.applying, snapshot.index)
        self.unstable_bytes = 0
        self.uncommitted_bytes = 0

    def compact(self, index: Index) -> Index:
        """Forget the log up to ``index``, or as far as it is applied and durable.

        Returns:
            The new ``snapshot_index``.
        """
        index = min(index, self.applied, self.durable, self.committed)
        if index <= self.snapshot_index:
            return self.snapshot_index
        term = self.term_at(index)
        assert term is not None
        self._runs.drop_before(index + 1)
        if index == self.last_index:
            self._runs.clear()
        self.tail.drop_before(index + 1)
        self.snapshot_index = index
        self.snapshot_term = term
        return index

    def trim(self) -> None:
        """Let durable and committed entries leave the memory if there are too many of them."""
        # An eighth of slack, so that the list is not shifted for every few entries.
        limit = self.tail_bytes_max
        if self.tail.bytes_total > limit + limit // 8:
            self.tail.trim(limit, through=min(self.durable, self.committed))

    def _tail_bytes_after(self, index: Index) -> int:
        """Return the bytes of the entries in memory behind ``index``."""
        tail = self.tail
        low = min(max(index + 1, tail.first_index), tail.next_index)
        return entries_bytes(tail.slice(low, tail.next_index))

    # --- cursors --------------------------------------------------------------------------------

    def commit_to(self, index: Index) -> bool:
        """Move ``committed`` up to ``index``; return whether it moved."""
        if index <= self.committed:
            return False
        assert index <= self.last_index, "cannot commit what is not in the log"
        tail = self.tail
        low = min(max(self.committed + 1, tail.first_index), index + 1)
        if low <= index:
            self.uncommitted_bytes -= entries_bytes(tail.slice(low, index + 1))
        self.committed = index
        self.trim()
        return True

    def note_durable(self, index: Index, term: Term) -> bool:
        """Note that the own disk has everything up to ``index``, whose term is ``term``.

        Returns:
            Whether ``durable`` moved; it does not if the entry has been replaced meanwhile.
        """
        if index <= self.durable or self.term_at(index) != term:
            return False
        low = max(self.durable + 1, self.tail.first_index)
        if low <= index:
            self.unstable_bytes -= entries_bytes(self.tail.slice(low, index + 1))
        self.durable = index
        self.trim()
        return True

    def check(self) -> None:
        """Assert the invariants."""
        assert self.snapshot_index <= self.committed <= self.last_index
        assert self.durable <= self.handed <= self.last_index
        assert self.applied <= self.applying
        assert self.tail.next_index == self.last_index + 1
        assert self.tail.first_index > self.snapshot_index
        assert self.unstable_bytes == self._tail_bytes_after(self.durable)
        assert self.uncommitted_bytes == self._tail_bytes_after(self.committed)
        runs = self._runs
        runs.check()
        assert bool(runs.firsts) == (self.last_index > self.snapshot_index)
        if runs.firsts:
            assert runs.firsts[0] == self.first_index, "term runs must begin where the log does"
            assert runs.firsts[-1] <= self.last_index
            assert runs.terms[0] >= self.snapshot_term
            assert runs.terms[-1] == self.last_term
        for entry in self.tail.slice(self.tail.first_index, self.tail.next_index):
            assert entry.term == self.term_at(entry.index), "tail and term runs disagree"
        self.tail.check()

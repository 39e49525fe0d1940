"""Responsible for handing committed entries to apply, in order and once, and for its reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.messages.raft import EntryType
from zetcd.messages.storage import LogRead, StorageApply
from zetcd.raft import membership
from zetcd.raft.log_tail import entries_bytes, limit_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zetcd.messages.raft import LogEntry, SnapshotMetadata
    from zetcd.messages.storage import ApplyState, LogReadResp
    from zetcd.raft.raft import Raft
    from zetcd.scalars import Index


class Applying:
    """What was handed to apply and has not come back.

    Invariant: ``bytes_total`` is the sum over ``sizes``, whose indexes ascend.
    """

    __slots__ = ("bytes_total", "read", "read_low", "sizes", "snapshot_to_load")

    def __init__(self) -> None:
        """Start with nothing handed out."""
        #: (last index, bytes) of each batch that is not yet reported as applied.
        self.sizes: list[tuple[Index, int]] = []
        self.bytes_total = 0
        #: ``low`` of the outstanding `LogRead` for apply; 0 = none.
        self.read_low: Index = 0
        #: The answer to it, until it is handed out.
        self.read: LogReadResp | None = None
        #: Snapshot that apply has to become before it goes on; None = none.
        self.snapshot_to_load: SnapshotMetadata | None = None

    def forget_batches(self) -> None:
        """Forget what was handed out: the apply that had it is gone."""
        self.sizes.clear()
        self.bytes_total = 0
        self.forget_read()

    def forget_read(self) -> None:
        """Forget what was read, or is being read: it is not what comes next any more."""
        self.read = None
        self.read_low = 0

    def check(self) -> None:
        """Assert the invariant."""
        indexes = [index for index, _ in self.sizes]
        assert indexes == sorted(indexes)
        assert self.bytes_total == sum(count for _, count in self.sizes)


def has_storage_apply(r: Raft) -> bool:
    """Return whether `take_storage_apply` would do anything."""
    return r.applying.snapshot_to_load is not None or _may_hand_out(r)


def _may_hand_out(r: Raft) -> bool:
    """Return whether the next committed entries can be handed out, or read from disk, now."""
    log = r.log
    if log.applying >= log.committed or r.applying.bytes_total >= r.options.applying_bytes_max:
        return False
    is_in_memory = log.applying + 1 >= log.tail.first_index
    return is_in_memory or r.applying.read is not None or r.applying.read_low == 0


def take_storage_apply(r: Raft) -> tuple[StorageApply | None, SnapshotMetadata | None]:
    """Return what apply has to do next: entries, and before them a snapshot to load."""
    snapshot, r.applying.snapshot_to_load = r.applying.snapshot_to_load, None
    if not _may_hand_out(r):
        return None, snapshot
    entries = _next_entries(r)
    if not entries:
        return None, snapshot
    log = r.log
    log.applying = entries[-1].index
    bytes_count = entries_bytes(entries)
    r.applying.bytes_total += bytes_count
    r.applying.sizes.append((log.applying, bytes_count))
    committed = log.committed
    for entry in entries:
        if entry.type == EntryType.CONF_CHANGE:
            membership.apply_change(r, entry)
            r.persistence.commit_wanted = entry.index
    return StorageApply(tuple(entries), committed), snapshot


def _next_entries(r: Raft) -> Sequence[LogEntry]:
    """Return the entries to hand out, from memory or from disk; none while they are read."""
    log = r.log
    low = log.applying + 1
    answer, r.applying.read = r.applying.read, None
    if low >= log.tail.first_index:
        held = log.tail.slice(low, log.committed + 1)
        return limit_bytes(held, r.options.apply_bytes_max)
    if answer is not None and answer.low == low:
        return answer.entries
    r.applying.read_low = low
    high = min(log.committed + 1, log.tail.first_index)
    r.log_reads.append(LogRead(0, low, high, r.options.apply_bytes_max))
    return ()


def handle_log_read(r: Raft, response: LogReadResp) -> None:
    """Keep the old entries that the wal has read for apply until they are handed out."""
    if response.low != r.applying.read_low:
        return
    r.applying.read_low = 0
    log = r.log
    entries = response.entries
    is_wanted = bool(entries) and response.low == log.applying + 1
    # Committed entries are never replaced, so this holds unless the wal read something else.
    if is_wanted and entries[-1].index <= log.committed and log.agrees_with(entries):
        r.applying.read = response


def note_applied(r: Raft, index: Index) -> None:
    """Note that apply is at ``index``."""
    log = r.log
    if index <= log.applied:
        return
    assert index <= log.applying, "applied what was never handed out"
    log.applied = index
    done = 0
    for last_index, bytes_count in r.applying.sizes:
        if last_index > index:
            break
        r.applying.bytes_total -= bytes_count
        done += 1
    del r.applying.sizes[:done]


def resume(r: Raft, state: ApplyState) -> None:
    """Begin again behind what a restarted apply still has.

    The membership is not taken back: what it contains (``conf_index``) is not applied to it twice.
    """
    log = r.log
    r.applying.forget_batches()
    log.applied = state.applied_index
    log.applying = state.applied_index
    if state.applied_index < log.snapshot_index:
        # The entries it lacks are compacted, which happens only behind a snapshot.
        assert r.snapshot is not None, "the log is compacted without a snapshot"
        r.applying.snapshot_to_load = r.snapshot
        log.applying = r.snapshot.index

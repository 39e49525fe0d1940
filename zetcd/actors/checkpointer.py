"""Responsible for making this member's checkpoints and for having the log mark them.

    LogSize ──► due? ──► copy of the store ──► hash and flush, slice by slice ──► name ──► CheckpointMark
                                                                                              │
    CheckpointsKept ◄── old checkpoints removed ◄── CheckpointMarked ◄── wal: mark durable ◄──┘
           └──► wal: segments gone that no checkpoint needs which is kept

Part of the snapshot actor. A checkpoint that an earlier process finished and had not marked is verified
and then marked. Must never remove a checkpoint that a restart may need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from zetcd.config import Config
from zetcd.errors import CorruptCheckpoint
from zetcd.messages.raft import SnapshotMetadata
from zetcd.messages.snapshot import CheckpointMark, CheckpointMarked, CheckpointsKept, LogSize
from zetcd.metrics import Histogram
from zetcd.mvcc.backend import ReadTransaction
from zetcd.mvcc.state import load_state
from zetcd.runtime.checkpoint_files import (
    CheckpointDraft,
    CheckpointFiles,
    CheckpointSource,
    Verification,
)
from zetcd.runtime.clock import Clock
from zetcd.scalars import Index
from zetcd.snapshot.checkpoint_format import CheckpointInfo, CheckpointName
from zetcd.snapshot.policy import LogGrowth, PolicyOptions, is_due


class CheckpointPauses(NamedTuple):
    """Seconds between one try and the next."""

    #: The store is looked at for its applied index at most this often.
    look: float = 1.0
    #: After a checkpoint that could not be made, the next is not tried before this long.
    after_failure: float = 30.0
    #: A mark that is not confirmed is sent again after this long; the log may not have come so far.
    mark_again: float = 5.0


#: Those of a member.
PAUSES = CheckpointPauses()


class CheckpointStore(CheckpointSource, Protocol):
    """A store of which checkpoints are made."""

    def read(self) -> ReadTransaction:
        """Begin a read transaction."""
        ...

    def copy_bytes(self) -> int:
        """Return how many bytes a copy would have now."""
        ...


class Checkpointer:
    """One checkpoint at a time, each in slices.

    The owner hands in what wal says and calls `advance` once a turn.
    """

    def __init__(
        self,
        config: Config,
        files: CheckpointFiles,
        *,
        clock: Clock,
        send_to_wal: Callable[[CheckpointMark | CheckpointsKept], bool],
        pauses: CheckpointPauses = PAUSES,
    ) -> None:
        """Look at what there is; `CheckpointFiles.prepare` has been called."""
        self._files = files
        self._clock = clock
        self._send = send_to_wal
        self._pauses = pauses
        self._options = PolicyOptions(
            entries_min=config.snapshot_count,
            log_bytes_min=config.snapshot.log_bytes_min,
            log_bytes_max=config.snapshot.log_bytes_max,
        )
        self._kept = config.snapshot.checkpoints_kept
        self._pause_seconds = files.slice_bytes / config.snapshot.write_bytes_per_second
        #: As wal said last; None = it has not said anything.
        self._log_size: LogSize | None = None
        self._applied_index: Index = 0
        self._is_forced = False
        self._draft: CheckpointDraft | None = None
        self._draft_began = 0.0
        self._verification: Verification | None = None
        #: Durable and not yet marked.
        self._unmarked: CheckpointInfo | None = None
        #: Index of the newest mark known of; that of a snapshot from another member may be newer than ours.
        self._marked_index: Index = 0
        #: Index of the newest mark for which wal was told what the kept checkpoints need; None = of none.
        self._told_mark: Index | None = None
        #: Checkpoints that turned out to be damaged: they count as missing.
        self._damaged: list[CheckpointName] = []
        self._newest: CheckpointInfo | None = None
        self._next_look = 0.0
        self._next_step = 0.0
        self._next_mark = 0.0
        self._made_count = 0
        self._failed_count = 0
        self._bytes_written = 0
        self._seconds_last = 0.0
        #: From the beginning of each checkpoint to its being durable.
        self.seconds = Histogram.of("etcd_debugging_snap_save_total_duration_seconds")
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger()

    # --- input -----------------------------------------------------------------------------------

    def wal_started(self) -> None:
        """Forget what a wal that is gone said."""
        self._log_size = None
        self._told_mark = None
        self._next_mark = 0.0

    def store_closes(self) -> None:
        """Give up a copy that is not whole: nobody keeps its pages from being used again."""
        if self._draft is not None and self._draft.is_copying:
            self._draft.close()
            self._draft = None

    def log_size(self, size: LogSize) -> None:
        """Note how much log there is since the newest mark."""
        self._log_size = size
        if size.marked_index != self._told_mark:
            # A wal that has marked one may have died before it could say so.
            self._note_mark(size.marked_index)

    def marked(self, marked: CheckpointMarked) -> None:
        """Note that a checkpoint counts; remove those, and the log, that nobody needs any more."""
        self._note_mark(marked.snapshot.index)

    def _note_mark(self, index: Index) -> None:
        self._marked_index = max(self._marked_index, index)
        if self._unmarked is not None and self._unmarked.snapshot.index <= index:
            self._unmarked = None
        damaged = self._damaged
        oldest = self._files.oldest_kept(marked_index=index, keep=self._kept, damaged=damaged)
        if oldest is not None:
            self._files.prune(oldest)
        if self._send(CheckpointsKept(0 if oldest is None else oldest.index)):
            self._told_mark = index

    def force(self) -> None:
        """Make a checkpoint now, whatever the policy says, unless there is nothing new."""
        self._is_forced = True

    # --- turns -----------------------------------------------------------------------------------

    def advance(self, store: CheckpointStore | None, now: float) -> None:
        """Do one slice of what is under way, or begin what is due."""
        if now < self._next_step:
            return
        if self._draft is not None:
            self._step_draft(self._draft, now)
        elif self._verification is not None:
            self._step_verification(self._verification, now)
        elif self._unmarked is not None:
            self._mark(self._unmarked, now)
        if store is not None and self._is_idle() and now >= self._next_look:
            self._look(store, now)

    def _is_idle(self) -> bool:
        return self._draft is None and self._verification is None and self._unmarked is None

    def _look(self, store: CheckpointStore, now: float) -> None:
        """Begin a checkpoint if one is due, or verify one that waits for its mark."""
        self._next_look = now + self._pauses.look
        size = self._log_size
        if size is None:
            return
        with store.read() as transaction:
            self._applied_index = load_state(transaction).consistent_index
        newest = self._newest = self._newest_info()
        index = 0 if newest is None else newest.snapshot.index
        if newest is not None and size.marked_index < index <= self._applied_index:
            self._verification = self._files.verification(newest.name)
            return
        growth = LogGrowth(
            self._applied_index,
            size.marked_index,
            size.bytes_since_mark,
            index,
            store.copy_bytes(),
        )
        is_wanted = self._is_forced and self._applied_index > index
        self._is_forced = False
        if is_wanted or is_due(growth, self._options):
            self._begin(store, now)

    def _newest_info(self) -> CheckpointInfo | None:
        """Return the newest checkpoint whose description can be read."""
        for name in reversed(self._files.names()):
            if name in self._damaged:
                continue
            try:
                return self._files.info(name)
            except CorruptCheckpoint as error:
                self._note_damaged(name, error)
        return None

    def _begin(self, store: CheckpointStore, now: float) -> None:
        self._draft_began = now
        try:
            self._draft = self._files.begin(store)
        except OSError as error:
            self._give_up(error, now)

    def _step_draft(self, draft: CheckpointDraft, now: float) -> None:
        try:
            info = draft.step()
        except OSError as error:
            self._give_up(error, now)
            return
        if info is None:
            # The store keeps the copied state until the copy is whole, so it takes half of a core. Not all of it: the
            # members of a cluster make their checkpoints at the same index, and often share a machine.
            took = self._clock.now() - now
            self._next_step = now + (2 * took if draft.is_copying else self._pause_seconds)
            return
        self._draft = None
        self._damaged = [name for name in self._damaged if name != info.name]
        self._made_count += 1
        self._bytes_written += info.trailer.file_bytes
        self._seconds_last = self._clock.now() - self._draft_began
        self.seconds.observe(self._seconds_last)
        self._log.info(
            "checkpoint made",
            index=info.snapshot.index,
            term=info.snapshot.term,
            bytes=info.trailer.file_bytes,
            seconds=round(self._seconds_last, 3),
        )
        self._newest = info
        self._offer(info)
        self._next_mark = 0.0

    def _give_up(self, error: OSError, now: float) -> None:
        """Do without this checkpoint: the disk may be full. The log is the truth, and it goes on."""
        if self._draft is not None:
            self._draft.close()
            self._draft = None
        self._files.discard_draft()
        self._failed_count += 1
        self._next_look = now + self._pauses.after_failure
        self._log.error("no checkpoint could be made", error=str(error), errno=error.errno)

    def _step_verification(self, verification: Verification, now: float) -> None:
        self._next_step = now + self._pause_seconds
        assert self._newest is not None, "only the newest checkpoint is verified"
        try:
            if verification.step():
                return
        except CorruptCheckpoint as error:
            self._note_damaged(self._newest.name, error)
        else:
            self._offer(self._newest)
        verification.close()
        self._verification = None

    def _offer(self, info: CheckpointInfo) -> None:
        """Let it be marked, unless a newer one is: then it may be gone already."""
        self._unmarked = info if info.snapshot.index > self._marked_index else None

    def _note_damaged(self, name: CheckpointName, error: CorruptCheckpoint) -> None:
        self._damaged.append(name)
        self._log.error("a checkpoint is damaged", checkpoint=str(name), error=str(error))

    def _mark(self, info: CheckpointInfo, now: float) -> None:
        """Ask wal for the mark, again and again: its log may have to catch up first."""
        if now >= self._next_mark:
            self._next_mark = now + self._pauses.mark_again
            self._send(CheckpointMark(info.snapshot))

    def wake_at(self) -> float:
        """Return when `advance` has something to do."""
        if self._draft is not None or self._verification is not None:
            return self._next_step
        return self._next_mark if self._unmarked is not None else self._next_look

    def newest(self) -> SnapshotMetadata | None:
        """Return the point of the log that the newest readable checkpoint stands for."""
        info = self._newest_info()
        return None if info is None else info.snapshot

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return what `zetcd status` shows of checkpoints; sorted."""
        newest, size = self._newest, self._log_size
        return (
            ("checkpoint_bytes", "0" if newest is None else str(newest.trailer.file_bytes)),
            ("checkpoint_index", "0" if newest is None else str(newest.snapshot.index)),
            ("checkpoint_seconds_last", f"{self._seconds_last:.1f}"),
            ("checkpoints_bytes_written", str(self._bytes_written)),
            ("checkpoints_failed", str(self._failed_count)),
            ("checkpoints_made", str(self._made_count)),
            ("is_checkpointing", str(self._draft is not None).lower()),
            ("log_bytes_since_mark", str(0 if size is None else size.bytes_since_mark)),
        )

    def close(self) -> None:
        """Give up what is under way."""
        if self._draft is not None:
            self._draft.close()
        if self._verification is not None:
            self._verification.close()

"""Responsible for what a member would find on its disk, were the power to fail everywhere now."""

from __future__ import annotations

from typing import NamedTuple

from tests.simulation.disk import only_what_is_sure
from tests.simulation.invariants.invariant import Observed
from zetcd.errors import CorruptCheckpoint
from zetcd.messages.raft import HardState, SnapshotMetadata
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.log_storage import open_log
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.scalars import Index, Term
from zetcd.snapshot.checkpoint_format import CheckpointInfo, CheckpointName

LOG_DIRECTORY = "/wal"


class DurableLog(NamedTuple):
    """The log that recovery would find."""

    hard_state: HardState
    #: Its newest mark; index 0 = none.
    mark: SnapshotMetadata
    #: Lowest index that can be read.
    first_index: Index
    last_index: Index
    #: (first index, term), ascending.
    runs: tuple[tuple[Index, Term], ...]

    def term_of(self, index: Index) -> Term:
        """Return the term of an entry, 0 if it is not there."""
        found = 0
        if self.first_index <= index <= self.last_index:
            for first, term in self.runs:
                if first <= index:
                    found = term
        return found


def durable_log(node: Observed, disk: MemoryFileSystem | None = None) -> DurableLog:
    """Return the log that is sure to be on a member's disk."""
    disk = only_what_is_sure(node.disk, LOG_DIRECTORY) if disk is None else disk
    log = open_log(disk, LOG_DIRECTORY, node.log_options())
    state = log.state()
    log.close()
    return DurableLog(
        state.hard_state,
        state.snapshot,
        log.first_index,
        log.last_index,
        tuple((run.first_index, run.term) for run in state.term_runs),
    )


def checkpoint_files(node: Observed) -> CheckpointFiles:
    """Return the checkpoints that are sure to be on a member's disk."""
    directory = node.config.snapshot_dir()
    disk = only_what_is_sure(node.disk, directory)
    return CheckpointFiles(disk, directory, node.config.cluster_id())


def durable_checkpoint(node: Observed, name: CheckpointName) -> CheckpointInfo | None:
    """Return a checkpoint, None if it is not there or not whole."""
    try:
        return checkpoint_files(node).verify(name)
    except (FileNotFoundError, CorruptCheckpoint):
        return None


def newest_checkpoint(node: Observed) -> CheckpointInfo | None:
    """Return the newest checkpoint that is whole, None if there is none."""
    files = checkpoint_files(node)
    for name in reversed(files.names()):
        try:
            return files.verify(name)
        except CorruptCheckpoint:
            continue
    return None

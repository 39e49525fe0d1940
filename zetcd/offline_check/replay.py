"""Responsible for making a store from a checkpoint and the log, beside the member's own.

Uses the state machine that apply uses, on a temporary LMDB file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from zetcd.apply import Applier, ApplierOptions, Identity, adopt, initialise
from zetcd.config.tree import MAP_BYTES_WITHOUT_QUOTA
from zetcd.lease import Lessor, LessorOptions
from zetcd.mvcc.backend import Backend
from zetcd.mvcc.hash import HashKV, HashResult
from zetcd.mvcc.state import StoreState
from zetcd.offline_check.log_check import LogContent, Progress
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.scalars import Index, Revision

#: Records of history removed, or hashed, in one transaction.
_RECORDS_PER_STEP: Final = 10_000
#: No member has this id: nobody waits for the answers, so none are built.
_NOBODY: Final = 0


class Replay:
    """A temporary store at some index of a log."""

    def __init__(
        self, log: LogContent, directory: Path, progress: Progress, *, is_restored: bool
    ) -> None:
        """Open what ``directory`` holds: a restored checkpoint, or nothing.

        Raises:
            DataDirMismatch: the checkpoint is of another cluster or version.
        """
        self._log = log
        self._progress = progress
        self.backend = LmdbBackend(directory, map_bytes=MAP_BYTES_WITHOUT_QUOTA)
        identity = Identity(log.cluster_id, log.member_id)
        if is_restored:
            adopt(self.backend, identity)
        else:
            initialise(self.backend, identity, ())
        lessor = Lessor(LessorOptions(ttl_seconds_min=1))
        self._applier = Applier(self.backend, lessor, ApplierOptions(_NOBODY))

    @property
    def state(self) -> StoreState:
        """How far the replay is."""
        return self._applier.state

    def advance(self, index: Index) -> None:
        """Execute the log up to ``index`` and finish every compaction.

        Raises:
            InvariantViolation: the entries make no sense.
            WalCorruption: the log cannot be read any more.
        """
        start = self.state.consistent_index
        if index <= start:
            return
        for entries in self._log.entries(start + 1, index + 1):
            self._applier.apply_entries(entries, now=0.0)
            self._progress("replayed entries", entries[-1].index - start, index - start)
        self._finish_compaction()

    def compact_to(self, revision: Revision) -> None:
        """Drop history that another store has dropped already."""
        self.state.compact_revision = max(self.state.compact_revision, revision)
        self._finish_compaction()

    def _finish_compaction(self) -> None:
        while self._applier.is_compacting:
            self._applier.compact_step(_RECORDS_PER_STEP)

    def close(self) -> None:
        """Close the temporary store."""
        self.backend.close()


def hash_of(backend: Backend, revision: Revision) -> HashResult:
    """Return the HashKV of a store at ``revision`` (0 = current).

    Raises:
        Compacted, FutureRev: the store does not hold the revision.
    """
    hashing = HashKV(revision)
    while True:
        with backend.read() as transaction:
            result = hashing.step(transaction, records_max=_RECORDS_PER_STEP)
        if result is not None:
            return result

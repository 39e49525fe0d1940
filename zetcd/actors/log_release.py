"""Responsible for how far the log on disk may go, of what the others have said; part of the wal actor.

    ===================  =====================================================  =============================
    said by              what may go                                            said with
    ===================  =====================================================  =============================
    the log itself       what a durable mark stands for                         the newest mark
    snapshot             what no kept checkpoint needs to be replayed           `CheckpointsKept`
    raft                 what no member needs that is being sent a snapshot     `LogRelease`
    ===================  =====================================================  =============================

Nothing goes before both have spoken. raft's word is void while it alone keeps more than ``[snapshot]
log-held-bytes-max``: a member that does not get on must not fill this one's disk.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from zetcd.config import Config, SnapshotConfig
from zetcd.runtime.log_storage import LogStorage
from zetcd.scalars import Index


class ReleaseOptions(NamedTuple):
    """What of the log is kept whoever says what."""

    #: Entries kept below the oldest kept checkpoint, for followers a little behind.
    catchup_entries: int = 0
    #: Bytes of log kept for nobody but a member that is being sent a snapshot.
    held_bytes_max: int = SnapshotConfig().log_held_bytes_max

    @staticmethod
    def of(config: Config) -> ReleaseOptions:
        """Return what a configuration says."""
        return ReleaseOptions(config.snapshot_catchup_entries, config.snapshot.log_held_bytes_max)


#: Those of a configuration that says nothing.
DEFAULT_RELEASE: Final = ReleaseOptions()


class LogReleaser:
    """Deletes segments one by one: each costs a turn of the disk."""

    def __init__(self, storage: LogStorage, options: ReleaseOptions) -> None:
        """Begin without anybody's word: nothing goes."""
        self._storage = storage
        self._options = options
        self._kept_index: Index = 0
        self._raft_index: Index = 0
        #: Segments may be left to delete.
        self.is_due = False

    def raft_started(self) -> None:
        """Forget the word of a raft that is gone."""
        self._raft_index = 0

    def checkpoints_kept(self, index: Index) -> None:
        """Take the word of snapshot: a restart needs what is above ``index``."""
        self._kept_index = index
        self.is_due = True

    def raft_releases(self, index: Index) -> None:
        """Take the word of raft: nobody is being sent what is at or below ``index``."""
        self._raft_index = index
        self.is_due = True

    @property
    def index(self) -> Index:
        """Up to where the log may go now."""
        storage = self._storage
        index = min(storage.snapshot.index, self._kept_index) - self._options.catchup_entries
        index, held_from = max(0, index), self._raft_index
        if storage.bytes_between(held_from, index) > self._options.held_bytes_max:
            return index
        return min(index, held_from)

    def step(self) -> bool:
        """Delete one segment; return whether there was one to delete."""
        self.is_due = self._storage.release(self.index, segments_max=1) > 0
        return self.is_due

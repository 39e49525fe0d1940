"""Responsible for the LMDB side of checkpoints: a hot copy of the store, and what the copy holds."""

from __future__ import annotations

from pathlib import Path

from zetcd.apply.tables import load_conf_state
from zetcd.messages.raft import SnapshotMetadata
from zetcd.mvcc.state import load_state
from zetcd.runtime.checkpoint_files import TablesDescription
from zetcd.runtime.lmdb_backend import LmdbBackend, LmdbCopy, LmdbReadTransaction


class LmdbSource:
    """A store that checkpoints are made of; implements `CheckpointSource`."""

    def __init__(self, backend: LmdbBackend, *, map_bytes: int) -> None:
        """Copy from ``backend``; ``map_bytes`` is what a copy may hold."""
        self._backend = backend
        self._map_bytes = map_bytes

    def read(self) -> LmdbReadTransaction:
        """Begin a read transaction."""
        return self._backend.read()

    def copy_bytes(self) -> int:
        """Return the bytes of the file, free pages included: they are copied too."""
        return self._backend.size().file_bytes

    def begin_copy(self) -> LmdbCopy:
        """See `CheckpointSource.begin_copy`; a read transaction for its whole length."""
        return self._backend.begin_copy()

    def describe(self, path: str) -> TablesDescription:
        """See `CheckpointSource.describe`."""
        return describe_tables(path, map_bytes=self._map_bytes)


def describe_tables(path: str, *, map_bytes: int) -> TablesDescription:
    """Return how far the tables in the LMDB file ``path`` are; nobody may be writing it."""
    backend = LmdbBackend(
        Path(path), map_bytes=map_bytes, readonly=True, has_writer=False, is_file=True
    )
    try:
        with backend.read() as transaction:
            state = load_state(transaction)
            return TablesDescription(
                SnapshotMetadata(
                    state.consistent_index, state.applied_term, load_conf_state(transaction)
                ),
                state.current_revision,
                state.compact_revision,
            )
    finally:
        backend.close()

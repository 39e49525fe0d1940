"""Responsible for making the data directory of a new cluster's member from a snapshot file.

Everything is made in a directory beside, which gets its name when all of it is on the disk: what has the
name of the data directory is whole.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from zetcd.actors.wal_actor import founding_append
from zetcd.apply import Identity, initialise
from zetcd.bolt import BoltReader
from zetcd.config import Config
from zetcd.errors import DataDirMismatch
from zetcd.etcd_snapshot import Import, ImportOptions
from zetcd.messages.cluster import Member
from zetcd.messages.raft import SnapshotMetadata
from zetcd.messages.storage import StorageAppend
from zetcd.mvcc.state import StoreState, save_state
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.lmdb_checkpoint import LmdbSource
from zetcd.runtime.log_storage import LogOptions, open_log

#: Term of the entries that every log begins with.
_FOUNDING_TERM: Final = 1
_SUFFIX: Final = ".restoring"


def restore(config: Config, reader: BoltReader, options: ImportOptions) -> StoreState:
    """Make ``config.data_dir`` of a snapshot file; returns where its store stands.

    Raises:
        DataDirMismatch: the directory is not empty.
        CorruptSnapshot: the file is damaged; nothing is left behind.
        OSError: the disk failed.
    """
    target = Path(config.data_dir)
    if target.exists() and any(target.iterdir()):
        raise DataDirMismatch(f"data-dir {str(target)!r} is not empty or could not be read")
    work = target.with_name(target.name + _SUFFIX)
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(mode=0o700, parents=True)
    try:
        state = _fill(config, work, reader, options)
        if target.exists():
            target.rmdir()
        work.rename(target)
        OSFileSystem().sync_directory(str(target.parent))
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return state


def _fill(config: Config, work: Path, reader: BoltReader, options: ImportOptions) -> StoreState:
    tables = work / "tables"
    tables.mkdir(mode=0o700)
    backend = LmdbBackend(tables, map_bytes=_map_bytes(config, reader))
    try:
        founders = [Member(each.id, each.name, each.peer_urls) for each in config.initial_members()]
        initialise(backend, Identity(config.cluster_id(), config.member_id()), tuple(founders))
        importing = Import(reader, backend, options)
        while (state := importing.step()) is None:
            pass
        state.consistent_index = len(founders)
        state.applied_term = _FOUNDING_TERM
        with backend.write() as transaction:
            save_state(transaction, state)
        snapshot = _checkpoint(config, work, backend)
    finally:
        backend.close()
    _log(config, work, snapshot)
    shutil.rmtree(tables)
    return state


def _map_bytes(config: Config, reader: BoltReader) -> int:
    """Return room for tables whose index etcd would have in memory."""
    return max(config.map_bytes(), 4 * reader.data_bytes)


def _checkpoint(config: Config, work: Path, backend: LmdbBackend) -> SnapshotMetadata:
    """Make the checkpoint that the member starts from."""
    files = CheckpointFiles(OSFileSystem(), str(work / "member" / "snap"), config.cluster_id())
    (work / "member").mkdir(mode=0o700)
    files.prepare()
    draft = files.begin(LmdbSource(backend, map_bytes=config.map_bytes()))
    while (info := draft.step()) is None:
        pass
    return info.snapshot


def _log(config: Config, work: Path, snapshot: SnapshotMetadata) -> None:
    """Make a log with the founders, as a first start does, and the mark of the checkpoint."""
    storage = open_log(
        OSFileSystem(),
        str(work / "wal"),
        LogOptions(
            cluster_id=config.cluster_id(),
            member_id=config.member_id(),
            segment_bytes=config.wal.segment_bytes,
        ),
    )
    try:
        storage.append([founding_append(config)])
        storage.append([StorageAppend(snapshot=snapshot)])
    finally:
        storage.close()

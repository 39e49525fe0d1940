"""The directories of a member that has stopped, made without starting one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lmdb

from zetcd.apply import Applier, ApplierOptions, Identity, initialise
from zetcd.lease import Lessor, LessorOptions
from zetcd.messages.codec import encode
from zetcd.messages.kv import CompactionRequest, DeleteRangeRequest, PutRequest
from zetcd.messages.lease import LeaseGrantRequest
from zetcd.messages.node import ActorRole, Origin, Proposal, ProposalBatch
from zetcd.messages.raft import (
    ConfChange,
    ConfChangeType,
    ConfState,
    EntryType,
    HardState,
    LogEntry,
    SnapshotMetadata,
)
from zetcd.messages.storage import StorageAppend
from zetcd.mvcc.backend import Table
from zetcd.offline_check import MemberPaths
from zetcd.runtime import lmdb_trust
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.lmdb_checkpoint import LmdbSource
from zetcd.runtime.log_storage import LogOptions, open_log

CLUSTER_ID, MEMBER_ID = 0xC1, 0xA1
MAP_BYTES = 64 * 1024 * 1024


def entry(index: int, *requests: Proposal, term: int = 1) -> LogEntry:
    """Return a log entry that holds one batch."""
    batch = ProposalBatch(Origin(MEMBER_ID, ActorRole.GATEWAY, 0, 1), index, requests)
    return LogEntry(EntryType.NORMAL, term, index, encode(batch))


def history() -> list[LogEntry]:
    """Return a log in which everything happens: puts, leases, deletes, a compaction."""
    member = LogEntry(
        EntryType.CONF_CHANGE, 1, 1, encode(ConfChange(ConfChangeType.ADD_NODE, MEMBER_ID))
    )
    requests: list[Sequence[Proposal]] = [
        (PutRequest(b"a", b"1"), PutRequest(b"b", b"2")),
        (LeaseGrantRequest(60, 7),),
        (PutRequest(b"leased", b"x", 7),),
        (PutRequest(b"a", b"3"), DeleteRangeRequest(b"b")),
        (CompactionRequest(5),),
        *[(PutRequest(b"key %d" % each, b"v" * 300),) for each in range(40)],
    ]
    return [member, *(entry(index, *each) for index, each in enumerate(requests, start=2))]


class MemberFiles:
    """Writes a log and a store; both may stand at different indexes."""

    def __init__(self, directory: Path) -> None:
        self.member_id = MEMBER_ID
        self.paths = MemberPaths.of_data_dir(directory / "data")
        self.paths.data_dir.mkdir(mode=0o700, parents=True)

    def write_log(
        self,
        entries: Sequence[LogEntry],
        commit: int,
        *,
        marks: Sequence[int] = (),
        released: int = 0,
    ) -> None:
        """Write a log; ``marks`` are indexes of checkpoints; what is up to ``released`` goes."""
        options = LogOptions(cluster_id=CLUSTER_ID, member_id=MEMBER_ID, segment_bytes=8192)
        storage = open_log(OSFileSystem(), str(self.paths.wal_dir), options)
        for each in entries:
            storage.append([StorageAppend((each,), HardState(1, 0, min(commit, each.index)))])
        for mark in marks:
            snapshot = SnapshotMetadata(mark, 1, ConfState((MEMBER_ID,)))
            storage.append([StorageAppend(snapshot=snapshot)])
        if released:
            storage.release(released)
        storage.close()

    def write_store(self, entries: Sequence[LogEntry], *, compacts: bool = True) -> None:
        lmdb_trust.open_directory(self.paths.store_dir, "nobody's boot")
        backend = LmdbBackend(self.paths.store_dir, map_bytes=MAP_BYTES)
        initialise(backend, Identity(CLUSTER_ID, self.member_id), ())
        applier = Applier(backend, Lessor(LessorOptions()), ApplierOptions(self.member_id))
        if entries:
            applier.apply_entries(entries, now=1.0)
        while compacts and applier.is_compacting:
            applier.compact_step(1)
        backend.sync()
        backend.close()
        lmdb_trust.mark_clean(self.paths.store_dir)

    def write_checkpoint(self, entries: Sequence[LogEntry], member_id: int = MEMBER_ID) -> Path:
        """Write a checkpoint of everything that ``entries`` lead to, made by some member."""
        made = MemberFiles(self.paths.data_dir.parent / f"maker{entries[-1].index}")
        made.member_id = member_id
        made.write_store(entries)
        backend = LmdbBackend(made.paths.store_dir, map_bytes=MAP_BYTES, readonly=True)
        files = CheckpointFiles(OSFileSystem(), str(self.paths.checkpoint_dir), CLUSTER_ID)
        files.prepare()
        draft = files.begin(LmdbSource(backend, map_bytes=MAP_BYTES))
        while (info := draft.step()) is None:
            pass
        backend.close()
        return self.paths.checkpoint_dir / str(info.name)

    def segments(self) -> list[Path]:
        return sorted(self.paths.wal_dir.glob("*.wal"))

    def flip_bit(self, path: Path, offset: int) -> None:
        content = bytearray(path.read_bytes())
        content[offset] ^= 0x10
        path.write_bytes(content)

    def put_into_store(self, table: Table, key: bytes, value: bytes | None) -> None:
        """Write behind the member's back; None deletes."""
        with (
            lmdb.open(str(self.paths.store_dir), max_dbs=8, map_size=MAP_BYTES) as environment,
            environment.begin(write=True) as transaction,
        ):
            database = environment.open_db(table.name.lower().encode(), transaction, create=False)
            if value is None:
                transaction.delete(key, db=database)
            else:
                transaction.put(key, value, db=database)

    def contents(self) -> dict[str, tuple[bytes, int]]:
        """Return every file with its content and when it was written."""
        return {
            str(path.relative_to(self.paths.data_dir)): (
                path.read_bytes(),
                path.stat().st_mtime_ns,
            )
            for path in sorted(self.paths.data_dir.rglob("*"))
            if path.is_file()
        }

"""A checkpoint that a peer sends: resumed where it was left, believed only as far as the disk has it."""

from __future__ import annotations

import hashlib

import pytest

from zetcd.errors import CorruptCheckpoint
from zetcd.messages.raft import ConfState, SnapshotMetadata
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.incoming_checkpoint import IncomingCheckpoint
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.snapshot.checkpoint_format import (
    CheckpointInfo,
    CheckpointName,
    Description,
    Trailer,
    encode_description,
    encode_trailer,
)
from zetcd.snapshot.receiving import NOTHING, Held, Received

CLUSTER_ID = 0xC1
NAME = CheckpointName(10, 1)
TABLES = bytes(range(256)) * 40


def whole() -> tuple[bytes, bytes]:
    """Return a checkpoint and its digest."""
    packed = encode_description(
        Description(CLUSTER_ID, SnapshotMetadata(10, 1, ConfState((1,))), 5, 0)
    )
    digest = hashlib.sha256(TABLES + packed).digest()
    return TABLES + packed + encode_trailer(Trailer(len(packed), len(TABLES), digest)), digest


def files_on(disk: MemoryFileSystem) -> CheckpointFiles:
    return CheckpointFiles(disk, "/snap", CLUSTER_ID, slice_bytes=1000)


def receive(incoming: IncomingCheckpoint, first: int, last: int) -> None:
    content, digest = whole()
    for offset in range(first, last, 500):
        incoming.append(Received(digest, offset, content[offset : min(offset + 500, last)]))


def verified(incoming: IncomingCheckpoint) -> None:
    while not incoming.verify(whole()[1]):
        pass


def named(disk: MemoryFileSystem) -> CheckpointInfo:
    return files_on(disk).verify(NAME)


def test_it_becomes_a_checkpoint_when_all_is_there_and_durable() -> None:
    disk = MemoryFileSystem()
    incoming = IncomingCheckpoint(files_on(disk), NAME)
    assert incoming.held == NOTHING
    receive(incoming, 0, len(whole()[0]))
    verified(incoming)
    incoming.finish()
    assert named(disk.crash(lambda _path, _page: False)).digest == whole()[1]


def test_the_next_process_goes_on_where_it_was_left() -> None:
    disk = MemoryFileSystem()
    receive(IncomingCheckpoint(files_on(disk), NAME), 0, 3000)
    incoming = IncomingCheckpoint(files_on(disk), NAME)
    assert incoming.held == Held(whole()[1], 3000)
    receive(incoming, 3000, len(whole()[0]))
    verified(incoming)
    incoming.finish()
    named(disk)


def test_what_belongs_to_another_snapshot_is_removed() -> None:
    disk = MemoryFileSystem()
    receive(IncomingCheckpoint(files_on(disk), NAME), 0, 3000)
    assert IncomingCheckpoint(files_on(disk), CheckpointName(11, 1)).held == NOTHING
    assert disk.list_names("/snap") == []


def test_what_a_power_loss_has_taken_from_the_middle_is_noticed() -> None:
    disk = MemoryFileSystem()
    receive(IncomingCheckpoint(files_on(disk), NAME), 0, len(whole()[0]))
    disk.sync_directory("/snap")
    left = disk.crash(lambda _path, page: page != 1)
    with pytest.raises(CorruptCheckpoint):
        verified(IncomingCheckpoint(files_on(left), NAME))


def test_what_a_failed_sync_has_lost_is_not_taken_from_the_cache() -> None:
    """The next sync succeeds and writes nothing: the kernel calls the lost pages clean."""
    disk = MemoryFileSystem()
    incoming = IncomingCheckpoint(files_on(disk), NAME)
    receive(incoming, 0, len(whole()[0]))
    verified(incoming)

    def forget(kind: str) -> None:
        if kind == "fdatasync":
            disk.before_call = None
            disk.forget_unsynced()
            raise OSError(5, "injected")

    disk.before_call = forget
    with pytest.raises(OSError, match="injected"):
        incoming.finish()
    with pytest.raises(CorruptCheckpoint):
        verified(IncomingCheckpoint(files_on(disk), NAME))


def test_after_a_restart_nothing_is_held() -> None:
    disk = MemoryFileSystem()
    incoming = IncomingCheckpoint(files_on(disk), NAME)
    receive(incoming, 0, 3000)
    incoming.restart()
    assert incoming.held == NOTHING
    assert disk.list_names("/snap") == []
    receive(incoming, 0, len(whole()[0]))
    verified(incoming)

"""Snapshots that clients save: made a slice at a time, read in parts, removed when nobody needs them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.bolt.files import reader_of
from tests.unit.mvcc.small_store import SmallStore
from zetcd.actors import backups
from zetcd.actors.backups import Backups
from zetcd.apply.tables import Identity, initialise
from zetcd.etcd_snapshot import status_of
from zetcd.messages.node import ActorRole, SnapshotPart, SnapshotRead
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.lmdb_checkpoint import LmdbSource
from zetcd.runtime.mailbox import Address

MAP_BYTES = 1 << 26
GATEWAY, OTHER = Address(ActorRole.GATEWAY, 0), Address(ActorRole.ETCD_GATEWAY, 0)


class Stage:
    def __init__(self, directory: Path) -> None:
        (directory / "db").mkdir()
        self.directory = directory / "snap"
        self.directory.mkdir()
        self.backend = LmdbBackend(directory / "db", map_bytes=MAP_BYTES)
        initialise(self.backend, Identity(1, 2), ())
        self.store = SmallStore(self.backend)
        self.source = LmdbSource(self.backend, map_bytes=MAP_BYTES)
        self.parts: list[tuple[Address, SnapshotPart]] = []
        self.now = 100.0
        self.backups = Backups(
            OSFileSystem(),
            str(self.directory),
            first_id=1000,
            map_bytes=MAP_BYTES,
            send=self._send,
        )

    def _send(self, to: Address, part: SnapshotPart) -> bool:
        self.parts.append((to, part))
        return True

    def read(self, snapshot_id: int, offset: int, sender: Address = GATEWAY) -> None:
        request = SnapshotRead(len(self.parts), snapshot_id, offset)
        self.backups.read(sender, request, self.source, self.now)

    def settle(self) -> SnapshotPart:
        """Work until there is nothing to do; return the last part."""
        while self.backups.wake_at() <= self.now:
            self.backups.advance(self.now)
        return self.parts[-1][1]

    def names(self) -> list[str]:
        return sorted(each.name for each in self.directory.iterdir())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    for number in range(400):
        stage.store.put(b"k%d" % number, bytes(3_000))
    yield stage
    stage.backups.close()
    assert stage.names() == []
    stage.backend.close()


def test_a_snapshot_is_what_the_store_held_when_it_was_asked_for(stage: Stage) -> None:
    stage.read(0, 0)
    # The first slice fixes the state.
    stage.backups.advance(stage.now)
    stage.store.put(b"later", b"1")
    part = stage.settle()
    assert part.snapshot_id == 1001
    content = part.blob
    while len(content) < part.total_bytes:
        stage.read(part.snapshot_id, len(content))
        part = stage.settle()
        assert len(part.blob) <= backups.PART_BYTES
        content += part.blob
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    assert status_of(reader_of(content[:-32])).revision == 401
    # What was read to the end is gone, and so is its file.
    assert stage.names() == []
    assert dict(stage.backups.facts()) == {"backups_made": "1", "backups_open": "0"}


def test_what_nobody_reads_on_is_removed(stage: Stage) -> None:
    stage.read(0, 0)
    part = stage.settle()
    assert len(stage.names()) == 1
    stage.now += backups.IDLE_SECONDS_MAX
    stage.settle()
    assert stage.names() == []
    stage.read(part.snapshot_id, len(part.blob))
    assert "not there any more" in stage.parts[-1][1].failure


def test_a_snapshot_is_its_readers_and_ends_with_it(stage: Stage) -> None:
    stage.read(0, 0)
    part = stage.settle()
    stage.read(part.snapshot_id, 0, OTHER)
    assert stage.parts[-1][0] == OTHER
    assert stage.parts[-1][1].failure
    stage.read(part.snapshot_id, part.total_bytes)
    assert "behind the end" in stage.parts[-1][1].failure
    stage.read(0, 0, OTHER)
    stage.settle()
    stage.backups.forget(GATEWAY)
    assert len(stage.names()) == 1


def test_there_are_only_so_many_and_none_without_a_store(stage: Stage) -> None:
    for _ in range(backups.BACKUPS_MAX + 1):
        stage.read(0, 0)
    assert "are being saved" in stage.parts[-1][1].failure
    stage.backups.read(GATEWAY, SnapshotRead(1, 0, 0), None, stage.now)
    assert "not there yet" in stage.parts[-1][1].failure


def test_a_disk_without_room_refuses_and_leaves_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.read(0, 0)
    stage.backups.advance(stage.now)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(backups, "Export", full)
    assert "no space" in stage.settle().failure
    assert stage.names() == []


def test_a_store_that_is_closed_ends_what_is_being_made(stage: Stage) -> None:
    stage.read(0, 0)
    stage.backups.advance(stage.now)
    stage.backups.store_closed("try again")
    assert stage.parts[-1][1].failure == "try again"
    assert stage.names() == []

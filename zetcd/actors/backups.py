"""Responsible for snapshots that clients save: made on request, kept while they are read.

    SnapshotRead ──► copy of the store's pages ──► etcd's buckets, a slice a turn ──► digest ──► SnapshotPart ...

Part of the snapshot actor. The copy of the pages holds up no page of the store for longer than a checkpoint
does; the rest works on the copy. One file is made at a time; those that are whole are kept until they have
been read to the end, or nobody has read on for a while.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from zetcd.etcd_snapshot import Export
from zetcd.messages.node import SnapshotPart, SnapshotRead
from zetcd.runtime.checkpoint_files import SLICE_BYTES, CheckpointSource
from zetcd.runtime.files import File, FileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.mailbox import Address
from zetcd.snapshot.checkpoint_format import PARTIAL_SUFFIX

#: Bytes of one part: what a gateway holds for a client that reads slowly.
PART_BYTES: Final = 256 * 1024
#: Files at once; each is as large as what the store holds.
BACKUPS_MAX: Final = 4
#: A file that nobody reads on is removed.
IDLE_SECONDS_MAX: Final = 60.0


@dataclass(slots=True)
class _Backup:
    """One file, and who reads it."""

    id: int
    reader: Address
    #: Does the work until the file is whole.
    steps: Iterator[None]
    used_at: float
    file: File | None = None
    #: Bytes with the digest; 0 = not whole yet.
    total_bytes: int = 0
    #: Requests that wait until it is.
    waiting: list[SnapshotRead] = field(default_factory=list)


class Backups:
    """The snapshots that clients of this member are saving."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: str,
        *,
        first_id: int,
        map_bytes: int,
        send: Callable[[Address, SnapshotPart], bool],
    ) -> None:
        """Start without files; what an earlier process left has been removed.

        Args:
            filesystem: Where files are.
            directory: Of the checkpoints.
            first_id: Above every id that an earlier process has given out.
            map_bytes: What a copy of the store may hold.
            send: Sends to a gateway.
        """
        self._filesystem = filesystem
        self._directory = directory
        self._last_id = first_id
        self._map_bytes = map_bytes
        self._send = send
        self._backups: dict[int, _Backup] = {}
        self._made_count = 0
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger()

    # --- requests -----------------------------------------------------------------------------------

    def read(
        self, sender: Address, request: SnapshotRead, source: CheckpointSource | None, now: float
    ) -> None:
        """Answer with a part; the one that a client begins with takes as long as the file does."""
        if not request.snapshot_id:
            self._begin(sender, request, source, now)
            return
        backup = self._backups.get(request.snapshot_id)
        if backup is None or backup.reader != sender:
            self._refuse(sender, request, "this snapshot is not there any more")
            return
        backup.used_at = now
        if backup.total_bytes:
            self._answer(backup, request)
        else:
            backup.waiting.append(request)

    def _begin(
        self, sender: Address, request: SnapshotRead, source: CheckpointSource | None, now: float
    ) -> None:
        if source is None:
            self._refuse(sender, request, "the store is not there yet")
            return
        if len(self._backups) >= BACKUPS_MAX:
            self._refuse(sender, request, f"{BACKUPS_MAX} snapshots are being saved")
            return
        self._last_id += 1
        backup = _Backup(self._last_id, sender, iter(()), now, waiting=[request])
        backup.steps = self._make(backup, source)
        self._backups[backup.id] = backup

    def forget(self, reader: Address) -> None:
        """Remove what a gateway that is gone was reading."""
        for backup in [each for each in self._backups.values() if each.reader == reader]:
            self._remove(backup)

    def store_closed(self, reason: str) -> None:
        """Give up what is still being made: its source is closed."""
        for backup in [each for each in self._backups.values() if not each.total_bytes]:
            self._give_up(backup, reason)

    # --- turns --------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Do a slice of the oldest file that is not whole."""
        for backup in [each for each in self._backups.values() if each.total_bytes]:
            if now >= backup.used_at + IDLE_SECONDS_MAX:
                self._remove(backup)
        making = next((each for each in self._backups.values() if not each.total_bytes), None)
        if making is None:
            return
        try:
            next(making.steps)
        except StopIteration:
            making.used_at = now
            waiting, making.waiting = making.waiting, []
            for request in waiting:
                self._answer(making, request)
        except OSError as error:
            self._give_up(making, str(error))

    def wake_at(self) -> float:
        """Return when `advance` has something to do, infinity = never without input."""
        return min(
            (
                each.used_at + IDLE_SECONDS_MAX if each.total_bytes else 0.0
                for each in self._backups.values()
            ),
            default=float("inf"),
        )

    def _make(self, backup: _Backup, source: CheckpointSource) -> Iterator[None]:
        """Make the file: pages, buckets, digest."""
        pages_path = self._path(backup, "pages")
        yield from self._copy_pages(pages_path, source)
        file = backup.file = self._filesystem.open(self._path(backup, "snapshot"), is_new=True)
        copy = LmdbBackend(
            Path(pages_path),
            map_bytes=self._map_bytes,
            readonly=True,
            has_writer=False,
            is_file=True,
        )
        try:
            with copy.read() as transaction:
                export = Export(transaction, file.pwrite)
                while (size := export.step()) is None:
                    yield
        finally:
            copy.close()
        self._filesystem.unlink(pages_path)
        digest = hashlib.sha256()
        for offset in range(0, size, SLICE_BYTES):
            digest.update(file.pread(min(SLICE_BYTES, size - offset), offset))
            yield
        file.pwrite(digest.digest(), size)
        backup.total_bytes = size + digest.digest_size
        self._made_count += 1
        self._log.info("snapshot made for a client", bytes=backup.total_bytes)

    def _copy_pages(self, path: str, source: CheckpointSource) -> Iterator[None]:
        """Copy the store as it is now, as fast as it goes: its pages are held up so long."""
        file = self._filesystem.open(path, is_new=True)
        copy = source.begin_copy()
        try:
            for offset in range(0, copy.bytes_total, SLICE_BYTES):
                file.pwrite(copy.pread(SLICE_BYTES, offset), offset)
                yield
        finally:
            copy.close()
            file.close()

    # --- answers ------------------------------------------------------------------------------------

    def _answer(self, backup: _Backup, request: SnapshotRead) -> None:
        assert backup.file is not None, "it is whole"
        size = min(PART_BYTES, backup.total_bytes - request.offset)
        if size <= 0:
            self._refuse(backup.reader, request, f"offset {request.offset} is behind the end")
            return
        blob = backup.file.pread(size, request.offset)
        self._send(
            backup.reader,
            SnapshotPart(request.request_id, backup.id, backup.total_bytes, blob),
        )
        if request.offset + size == backup.total_bytes:
            self._remove(backup)

    def _refuse(self, to: Address, request: SnapshotRead, failure: str) -> None:
        self._send(to, SnapshotPart(request.request_id, request.snapshot_id, failure=failure))

    def _give_up(self, backup: _Backup, reason: str) -> None:
        self._log.error("no snapshot could be made for a client", error=reason)
        for request in backup.waiting:
            self._refuse(backup.reader, request, reason)
        self._remove(backup)

    def _remove(self, backup: _Backup) -> None:
        del self._backups[backup.id]
        close = getattr(backup.steps, "close", None)
        if close is not None:
            close()
        if backup.file is not None:
            backup.file.close()
        names = self._filesystem.list_names(self._directory)
        for kind in ("pages", "snapshot"):
            path = self._path(backup, kind)
            if path.rpartition("/")[2] in names:
                self._filesystem.unlink(path)

    def _path(self, backup: _Backup, kind: str) -> str:
        return f"{self._directory}/backup-{backup.id}-{kind}{PARTIAL_SUFFIX}"

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return what `zetcd status` shows; sorted."""
        return (
            ("backups_made", str(self._made_count)),
            ("backups_open", str(len(self._backups))),
        )

    def close(self) -> None:
        """Remove everything."""
        for backup in list(self._backups.values()):
            self._remove(backup)

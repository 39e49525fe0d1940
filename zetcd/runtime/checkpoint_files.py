"""Responsible for checkpoint files: making, listing, verifying, restoring and removing them.

A checkpoint has its name only when all of it is durable: it is written under a name that ends in
``.partial``, synced, renamed, and then the directory is synced. So whatever has a checkpoint's name is
whole, unless the disk damaged it later; the digest tells.

Long work goes in slices, so that the caller stays responsive: `CheckpointDraft`, `Verification`.
Must never change a file that has its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from zetcd.errors import CorruptCheckpoint, DiskFailed
from zetcd.messages.raft import SnapshotMetadata
from zetcd.runtime.files import File, FileSystem
from zetcd.scalars import Index, Revision
from zetcd.snapshot.checkpoint_format import (
    INCOMING_PREFIX,
    PARTIAL_SUFFIX,
    TRAILER_BYTES,
    CheckpointInfo,
    CheckpointName,
    Description,
    Trailer,
    decode_description,
    decode_trailer,
    encode_description,
    encode_trailer,
    name_of,
    parse_name,
)

#: Bytes read, hashed or copied in one step, unless said otherwise: half a millisecond. What a step sends to the disk
#: delays the next fdatasync of the log (`python -m bench.checkpoint`).
SLICE_BYTES: Final = 512 * 1024
#: The file that LMDB keeps its tables in.
TABLES_NAME: Final = "data.mdb"
#: The copy of the store that a checkpoint is being made of.
_DRAFT_NAME: Final = f"own{PARTIAL_SUFFIX}"


class TablesDescription(NamedTuple):
    """What the tables in a copy of the store say of themselves."""

    snapshot: SnapshotMetadata
    revision: Revision
    compact_revision: Revision


class TablesCopy(Protocol):
    """The bytes of a store as it was at one moment, whatever is written to it meanwhile."""

    bytes_total: int

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``; fewer only at the end."""
        ...

    def close(self) -> None:
        """Let go of that moment."""
        ...


class CheckpointSource(Protocol):
    """A store that can be copied while it is written."""

    def begin_copy(self) -> TablesCopy:
        """Fix the state to be copied; blocks no writer. It should not be held for long."""
        ...

    def describe(self, path: str) -> TablesDescription:
        """Return what a copy holds, read from the copy itself."""
        ...


class CheckpointDraft:
    """A checkpoint that is being made; `step` until it returns the finished one.

    First the copy, soon, because the store must keep the copied state for so long. Then digest and disk.
    The caller spaces the steps; `is_copying` tells which they are.
    """

    def __init__(self, files: CheckpointFiles, source: CheckpointSource) -> None:
        """Fix the state of the store, and reserve the room that its copy needs."""
        self._files = files
        self._source = source
        self._path = files.path(_DRAFT_NAME)
        self._file = files.filesystem.open(self._path, is_new=True)
        self._copy: TablesCopy | None = None
        try:
            self._copy = source.begin_copy()
            self._tables_bytes = self._copy.bytes_total
            self._file.preallocate(self._tables_bytes)
        except OSError:
            self.close()
            raise
        self._description: Description | None = None
        self._offset = 0
        self._digest = hashlib.sha256()

    @property
    def is_copying(self) -> bool:
        """The store is still being read."""
        return self._copy is not None

    def step(self) -> CheckpointInfo | None:
        """Do the next slice; after the last one, finish the file and return what it is."""
        if self._copy is not None:
            self._step_copy(self._copy)
            return None
        if self._description is None:
            tables = self._source.describe(self._path)
            self._description = Description(
                self._files.cluster_id, tables.snapshot, tables.revision, tables.compact_revision
            )
        return self._step_digest(self._description)

    def _step_copy(self, copy: TablesCopy) -> None:
        chunk = copy.pread(self._files.slice_bytes, self._offset)
        self._file.pwrite(chunk, self._offset)
        self._offset += len(chunk)
        if self._offset >= self._tables_bytes:
            copy.close()
            self._copy = None
            self._offset = 0

    def _step_digest(self, description: Description) -> CheckpointInfo | None:
        """Hash a slice and send it to the disk: the log beside it must never have to wait for it all."""
        if self._offset < self._tables_bytes:
            size = min(self._files.slice_bytes, self._tables_bytes - self._offset)
            chunk = self._file.pread(size, self._offset)
            self._digest.update(chunk)
            self._file.drop_cache(self._offset, len(chunk))
            self._offset += len(chunk)
            return None
        return self._finish(description)

    def _finish(self, description: Description) -> CheckpointInfo:
        packed = encode_description(description)
        self._digest.update(packed)
        trailer = Trailer(len(packed), self._tables_bytes, self._digest.digest())
        self._file.pwrite(packed + encode_trailer(trailer), self._tables_bytes)
        self._file.fdatasync()
        self._file.close()
        name = name_of(description.snapshot)
        self._files.give_name(_DRAFT_NAME, name)
        return CheckpointInfo(name, description, trailer)

    def close(self) -> None:
        """Give up; what is left is removed at the next start or by the next draft."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None
        self._file.close()


class Verification:
    """Reads a checkpoint from its first byte to its last and compares the digest."""

    def __init__(self, file: File, info: CheckpointInfo, slice_bytes: int = SLICE_BYTES) -> None:
        """Verify ``file``, which `close` closes."""
        self._file = file
        self._info = info
        self._slice_bytes = slice_bytes
        self._offset = 0
        self._end = info.trailer.file_bytes - TRAILER_BYTES
        self._digest = hashlib.sha256()

    def step(self) -> bytes:
        """Read and hash a slice and return it; empty at the end, when the digest is right.

        Raises:
            CorruptCheckpoint: it is wrong, or the file is shorter than it was.
        """
        chunk = self._file.pread(min(self._slice_bytes, self._end - self._offset), self._offset)
        self._offset += len(chunk)
        if chunk:
            self._digest.update(chunk)
        elif self._offset < self._end or self._digest.digest() != self._info.digest:
            raise CorruptCheckpoint(f"{self._info.name}: the content fails its checksum")
        return chunk

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CheckpointFiles:
    """The checkpoints of one member in one directory."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: str,
        cluster_id: int,
        slice_bytes: int = SLICE_BYTES,
    ) -> None:
        """Look at ``directory``; nothing is touched before it is needed."""
        self.filesystem = filesystem
        self.directory = directory
        self.cluster_id = cluster_id
        #: Bytes of one step of whatever is long.
        self.slice_bytes = slice_bytes

    def prepare(self) -> None:
        """Make the directory, and remove what an interrupted process left half-written.

        The part of a snapshot that a peer was sending is kept: the transfer goes on from there.
        Only the process that makes checkpoints may call this.
        """
        self.filesystem.make_directory(self.directory)
        for name in self.filesystem.list_names(self.directory):
            if name.endswith(PARTIAL_SUFFIX) and not name.startswith(INCOMING_PREFIX):
                self.filesystem.unlink(self.path(name))
        # An earlier process may have died between a rename and this.
        self.filesystem.sync_directory(self.directory)

    def path(self, name: str) -> str:
        """Return the path of a file in the directory."""
        return f"{self.directory}/{name}"

    # --- reading ---------------------------------------------------------------------------------

    def names(self) -> tuple[CheckpointName, ...]:
        """Return the checkpoints, oldest first; none if there is no directory."""
        try:
            listed = self.filesystem.list_names(self.directory)
        except FileNotFoundError:
            return ()
        found = (parse_name(name) for name in listed)
        return tuple(sorted(name for name in found if name is not None))

    def open_for_reading(self, name: CheckpointName) -> File:
        """Open a checkpoint; it stays readable if it is removed meanwhile."""
        return self.filesystem.open(self.path(str(name)), is_read_only=True)

    def info(self, name: CheckpointName) -> CheckpointInfo:
        """Return what a checkpoint says of itself, without reading its tables.

        Raises:
            CorruptCheckpoint: trailer or description are damaged, or of another cluster.
        """
        file = self.open_for_reading(name)
        try:
            return read_info(file, name, self.cluster_id)
        finally:
            file.close()

    def verification(self, name: CheckpointName) -> Verification:
        """Begin to verify a checkpoint.

        Raises:
            CorruptCheckpoint: trailer or description are damaged, or of another cluster.
        """
        file = self.open_for_reading(name)
        try:
            return Verification(file, read_info(file, name, self.cluster_id), self.slice_bytes)
        except CorruptCheckpoint:
            file.close()
            raise

    def verify(self, name: CheckpointName) -> CheckpointInfo:
        """Read a whole checkpoint and return what it is.

        Raises:
            CorruptCheckpoint: it is damaged, or of another cluster.
        """
        verification = self.verification(name)
        try:
            while verification.step():
                pass
        finally:
            verification.close()
        return self.info(name)

    # --- making ----------------------------------------------------------------------------------

    def begin(self, source: CheckpointSource) -> CheckpointDraft:
        """Begin a checkpoint of ``source``; one at a time."""
        self.discard_draft()
        return CheckpointDraft(self, source)

    def discard_draft(self) -> None:
        """Remove what a draft that was given up has left."""
        if _DRAFT_NAME in self.filesystem.list_names(self.directory):
            self.filesystem.unlink(self.path(_DRAFT_NAME))

    def give_name(self, partial_name: str, name: CheckpointName) -> None:
        """Turn a partial file, whose content is durable and verified, into a checkpoint, durably.

        Raises:
            OSError: it does not have its name.
            DiskFailed: it has its name, and nobody knows for how long; nobody may count on it.
        """
        self.filesystem.rename(self.path(partial_name), self.path(str(name)))
        try:
            self.filesystem.sync_directory(self.directory)
        except OSError as error:
            raise DiskFailed(f"{self.directory}: {error}") from error

    # --- restoring and removing --------------------------------------------------------------------

    def restore(self, name: CheckpointName, store_directory: str) -> CheckpointInfo:
        """Put the tables of a checkpoint into an empty store directory, verifying them on the way.

        Not synced: a store is never trusted after an OS crash. The file gets the name that LMDB
        looks for only when all of it is there and its digest is right.

        Raises:
            CorruptCheckpoint: it is damaged; the store directory then has no tables.
        """
        info = self.info(name)
        partial = f"{store_directory}/{TABLES_NAME}{PARTIAL_SUFFIX}"
        verification = self.verification(name)
        target = self.filesystem.open(partial, is_new=True)
        try:
            offset, end = 0, info.trailer.tables_bytes
            while chunk := verification.step():
                if offset < end:
                    target.pwrite(chunk[: end - offset], offset)
                offset += len(chunk)
        except CorruptCheckpoint:
            self.filesystem.unlink(partial)
            raise
        finally:
            target.close()
            verification.close()
        self.filesystem.rename(partial, f"{store_directory}/{TABLES_NAME}")
        return info

    def oldest_kept(
        self, *, marked_index: Index, keep: int, damaged: Sequence[CheckpointName] = ()
    ) -> CheckpointName | None:
        """Return the oldest of the ``keep`` newest checkpoints that the log has marked.

        Those above the newest mark do not count: theirs may be on its way. Nor do those that are known
        to be damaged. None if there are fewer than ``keep``.
        """
        marked = [name for name in self.names() if name.index <= marked_index]
        whole = [name for name in marked if name not in damaged]
        return whole[-keep] if len(whole) >= keep else None

    def remove(self, name: CheckpointName) -> None:
        """Remove a checkpoint that is damaged, durably."""
        self.filesystem.unlink(self.path(str(name)))
        self.filesystem.sync_directory(self.directory)

    def prune(self, oldest: CheckpointName) -> int:
        """Remove the checkpoints that are older than ``oldest``; return how many went."""
        dispensable = [name for name in self.names() if name < oldest]
        for name in dispensable:
            self.filesystem.unlink(self.path(str(name)))
        if dispensable:
            self.filesystem.sync_directory(self.directory)
        return len(dispensable)


def read_info(file: File, name: CheckpointName, cluster_id: int) -> CheckpointInfo:
    """Return what an open checkpoint says of itself.

    Raises:
        CorruptCheckpoint: trailer or description are damaged, or of another cluster.
    """
    try:
        size = file.size()
        packed = file.pread(TRAILER_BYTES, max(0, size - TRAILER_BYTES))
        trailer = decode_trailer(packed, size)
        packed = file.pread(trailer.description_bytes, trailer.tables_bytes)
        return CheckpointInfo(name, decode_description(packed, name, cluster_id), trailer)
    except CorruptCheckpoint as error:
        raise CorruptCheckpoint(f"{name}: {error.detail}") from None

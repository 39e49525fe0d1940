"""Responsible for files and directories; the log's only door to the operating system.

Must never retry: whatever fails raises `OSError`, and the caller ends the process. After a failed
fdatasync Linux may call the pages clean although they are lost, so a second try would lie.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final, Protocol

#: Access rights of data directories and files: the owner's only.
DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600


class File(Protocol):
    """An open file."""

    def pwrite(self, content: bytes, offset: int) -> None:
        """Write all of ``content`` at ``offset``; not durable before `fdatasync`."""
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``; fewer only at the end of the file."""
        ...

    def fdatasync(self) -> None:
        """Make content and size durable."""
        ...

    def preallocate(self, size: int) -> None:
        """Make the file at least ``size`` bytes long and reserve them; new bytes read as zero."""
        ...

    def drop_cache(self, offset: int = 0, size: int = 0) -> None:
        """Let reads of a part (size 0 = to the end) come from the disk, as far as possible.

        What waits to be written there is handed to the disk, without waiting for it.
        """
        ...

    def size(self) -> int:
        """Return the bytes of the file."""
        ...

    def close(self) -> None:
        """Close the file; it must not be used afterwards."""
        ...


class FileSystem(Protocol):
    """Directories and files by path."""

    def make_directory(self, path: str) -> None:
        """Make ``path`` and its parents for the owner alone; fail if others may enter it."""
        ...

    def open(self, path: str, *, is_new: bool = False, is_read_only: bool = False) -> File:
        """Open an existing file, or make a new one that must not exist."""
        ...

    def list_names(self, directory: str) -> list[str]:
        """Return the names in ``directory``, sorted."""
        ...

    def rename(self, old_path: str, new_path: str) -> None:
        """Rename a file; durable after `sync_directory`."""
        ...

    def unlink(self, path: str) -> None:
        """Remove a file; durable after `sync_directory`."""
        ...

    def sync_directory(self, path: str) -> None:
        """Make the names in ``path`` durable."""
        ...

    def lock(self, path: str) -> File:
        """Take the exclusive lock ``path`` (made if missing) until the returned file is closed.

        Raises:
            BlockingIOError: another process holds it.
        """
        ...


class OSFile:
    """A file of the operating system."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        """Own ``descriptor``."""
        self._descriptor = descriptor

    def pwrite(self, content: bytes, offset: int) -> None:
        """Write all of ``content`` at ``offset``; not durable before `fdatasync`."""
        written = os.pwrite(self._descriptor, content, offset)
        if written != len(content):
            # Less than asked means that the disk is full or failing; the rest is not tried again.
            raise OSError(errno.ENOSPC, f"wrote {written} of {len(content)} bytes")

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``; fewer only at the end of the file."""
        content = os.pread(self._descriptor, size, offset)
        if len(content) == size or not content:
            return content
        parts = [content]
        position = offset + len(content)
        while position < offset + size:
            content = os.pread(self._descriptor, offset + size - position, position)
            if not content:
                break
            parts.append(content)
            position += len(content)
        return b"".join(parts)

    def fdatasync(self) -> None:
        """Make content and size durable."""
        os.fdatasync(self._descriptor)

    def preallocate(self, size: int) -> None:
        """Make the file at least ``size`` bytes long and reserve them; new bytes read as zero."""
        os.posix_fallocate(self._descriptor, 0, size)

    def drop_cache(self, offset: int = 0, size: int = 0) -> None:
        """Let reads of a part (size 0 = to the end) come from the disk, as far as possible.

        What waits to be written there is handed to the disk, without waiting for it.
        """
        os.posix_fadvise(self._descriptor, offset, size, os.POSIX_FADV_DONTNEED)

    def size(self) -> int:
        """Return the bytes of the file."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close the file; it must not be used afterwards."""
        os.close(self._descriptor)


class OSFileSystem:
    """The operating system's file system."""

    def make_directory(self, path: str) -> None:
        """Make ``path`` and its parents for the owner alone; fail if others may enter it.

        Raises:
            PermissionError: the directory exists and its group or others have rights on it.
        """
        directory = Path(path)
        missing = [each for each in (directory, *directory.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=DIRECTORY_MODE)
            self.sync_directory(str(each.parent))
        rights = stat.S_IMODE(directory.stat().st_mode)
        if rights & ~DIRECTORY_MODE:
            raise PermissionError(
                errno.EACCES,
                f"mode {rights:04o} lets others into the directory; mend: chmod 0700 {path}",
                path,
            )

    def open(self, path: str, *, is_new: bool = False, is_read_only: bool = False) -> OSFile:
        """Open an existing file, or make a new one that must not exist."""
        flags = os.O_CLOEXEC | (os.O_RDONLY if is_read_only else os.O_RDWR)
        if is_new:
            flags |= os.O_CREAT | os.O_EXCL
        return OSFile(os.open(path, flags, FILE_MODE))

    def list_names(self, directory: str) -> list[str]:
        """Return the names in ``directory``, sorted."""
        return sorted(entry.name for entry in Path(directory).iterdir())

    def rename(self, old_path: str, new_path: str) -> None:
        """Rename a file; durable after `sync_directory`."""
        Path(old_path).rename(new_path)

    def unlink(self, path: str) -> None:
        """Remove a file; durable after `sync_directory`."""
        Path(path).unlink()

    def sync_directory(self, path: str) -> None:
        """Make the names in ``path`` durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: str) -> OSFile:
        """Take the exclusive lock ``path`` (made if missing) until the returned file is closed.

        Raises:
            BlockingIOError: another process holds it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return OSFile(descriptor)

"""Responsible for a node's directories: private, owned, used by one supervisor at a time.

    <data-dir>/lock           held (flock) by the supervisor and everything it forked
    <data-dir>/incarnation    the last incarnation number that may have been given out, ten digits
    <runtime-dir>/<actor>-<i> inbox of an actor
    <runtime-dir>/control     where the supervisor answers questions

Invariants
    - Nobody but the owner can enter either directory: sockets trust whoever reaches them.
    - The lock is inherited over fork on purpose. It is free only when the last process of the
      earlier supervisor is gone, so a new one can never meet an old actor on the same files.
    - An incarnation number is never given out twice for one data directory, even if the power fails:
      the log remembers whose batches it holds, so a gateway with an old number would be given old
      results when the log is replayed, and would grant leases with old ids.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from zetcd.errors import DataDirMismatch, DiskFailed
from zetcd.runtime.files import OSFileSystem

DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OPEN_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_LOCK_NAME: Final = "lock"
_INCARNATION_NAME: Final = "incarnation"
_INCARNATION_DIGITS: Final = 10
#: Incarnations are 32 bits in the mailbox's envelope.
INCARNATION_MAX: Final = (1 << 32) - 1
#: Numbers that one sync of the counter pays for: an actor's restart must not wait for a slow disk.
INCARNATIONS_RESERVED: Final = 256
#: The kernel needs a moment to end the actors of a supervisor that was killed.
LOCK_PATIENCE_SECONDS: Final = 3.0
_LOCK_PAUSE_SECONDS: Final = 0.02
#: Bytes a lock file may hold: the owner's pid.
_PID_BYTES_MAX: Final = 32


def make_private_directory(path: Path, key: str) -> None:
    """Make ``path`` (and its parents) for this user alone, or verify that it is so already.

    Args:
        path: the directory.
        key: name of the setting it comes from, for the error.

    Raises:
        DataDirMismatch: it exists and is not a directory, not this user's, or others may enter it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=DIRECTORY_MODE)
    except FileExistsError:
        _verify_private(path, key)
    except (PermissionError, NotADirectoryError) as error:
        raise DataDirMismatch(f"{key} {path} cannot be made: {error.strerror}") from error


def _verify_private(path: Path, key: str) -> None:
    # lstat: a link in a directory that others can write to could lead anywhere.
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise DataDirMismatch(f"{key} {path} is not a directory")
    if found.st_uid != os.geteuid():
        raise DataDirMismatch(
            f"{key} {path} belongs to user {found.st_uid}, not to {os.geteuid()}; "
            f"run as its owner, or: chown -R {os.geteuid()} {path}"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise DataDirMismatch(
            f"{key} {path} has mode {mode:04o}: others may enter it; type: chmod 700 {path}"
        )


def clear_sockets(runtime_dir: Path) -> None:
    """Remove the sockets of an earlier run; call it with the lock held."""
    for each in sorted(runtime_dir.iterdir()):
        if stat.S_ISSOCK(each.lstat().st_mode):
            each.unlink()


def remove_runtime_dir(runtime_dir: Path) -> None:
    """Remove the sockets, and the directory if nothing else is in it; with the lock held."""
    # Left behind, it does no harm: the next start clears it.
    with contextlib.suppress(OSError):
        clear_sockets(runtime_dir)
        runtime_dir.rmdir()


class DataDirectory:
    """The data directory of a running node, locked."""

    def __init__(self, path: Path, lock: int, counter: int) -> None:
        """Own two open descriptors: the lock and the incarnation counter."""
        self.path = path
        self._lock = lock
        self._counter = counter
        self._incarnation = 0
        #: Numbers up to here are durably taken, for this supervisor alone.
        self._reserved = 0

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        patience_seconds: float = LOCK_PATIENCE_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> DataDirectory:
        """Make or verify the directory and take its lock.

        Args:
            path: the directory.
            patience_seconds: how long to wait for the processes of an earlier supervisor to end.
            pause: waits that many seconds.

        Raises:
            DataDirMismatch: it is not private, or another supervisor uses it.
        """
        make_private_directory(path, "data-dir")
        lock = os.open(path / _LOCK_NAME, _OPEN_FLAGS, _FILE_MODE)
        attempts = 1 + int(patience_seconds / _LOCK_PAUSE_SECONDS)
        while not _try_lock(lock):
            attempts -= 1
            if attempts <= 0:
                owner = os.pread(lock, _PID_BYTES_MAX, 0).decode(errors="replace").strip()
                os.close(lock)
                raise DataDirMismatch(
                    f"data-dir {path} is in use by the supervisor with pid {owner or 'unknown'}"
                )
            pause(_LOCK_PAUSE_SECONDS)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        counter = os.open(path / _INCARNATION_NAME, _OPEN_FLAGS, _FILE_MODE)
        return cls(path, lock, counter)

    def next_incarnation(self) -> int:
        """Give out the next incarnation number, from 1.

        Raises:
            DataDirMismatch: the counter is not a number, or used up.
            DiskFailed: it could not be written or synced.
        """
        if self._incarnation == self._reserved:
            try:
                self._reserve()
            except OSError as error:
                raise DiskFailed(f"{self.path / _INCARNATION_NAME}: {error}") from error
        self._incarnation += 1
        return self._incarnation

    def _reserve(self) -> None:
        """Take the next numbers, durably, before any of them is given out.

        Written in place, ten bytes in one call: it needs no free space on the disk, and the death
        of a process cannot tear it.
        """
        content = os.pread(self._counter, _INCARNATION_DIGITS + 1, 0).strip(b"\0\n")
        # A power loss before the first sync may leave a file of the right length without content.
        last = 0 if not content else _parse(content, self.path)
        if last > INCARNATION_MAX - INCARNATIONS_RESERVED:
            raise DataDirMismatch(f"{self.path / _INCARNATION_NAME} is used up")
        reserved = last + INCARNATIONS_RESERVED
        os.pwrite(self._counter, f"{reserved:0{_INCARNATION_DIGITS}d}".encode(), 0)
        os.fdatasync(self._counter)
        if not content:
            OSFileSystem().sync_directory(str(self.path))
        self._incarnation, self._reserved = last, reserved

    def close(self) -> None:
        """Release the lock, as far as this process holds it."""
        os.close(self._counter)
        os.close(self._lock)


def _parse(content: bytes, path: Path) -> int:
    if len(content) != _INCARNATION_DIGITS or not content.isdigit():
        raise DataDirMismatch(
            f"{path / _INCARNATION_NAME} holds {content!r}, not {_INCARNATION_DIGITS} digits; "
            "remove it if every process of this node has ended"
        )
    return int(content)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
            raise
        return False
    return True

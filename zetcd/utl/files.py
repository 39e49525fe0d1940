"""Responsible for opening snapshot files: their digest, their pages."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zetcd.bolt import BoltReader
from zetcd.ctl.go_text import os_error_text
from zetcd.errors import CorruptSnapshot
from zetcd.etcd_snapshot.buckets import DIGEST_BYTES, SECTOR_BYTES

_CHUNK_BYTES: Final = 4 * 1024 * 1024


class UnreadableFile(Exception):
    """A file cannot be opened; the text says so as etcdutl does."""


@contextmanager
def opened(
    path: Path, *, verifies: bool, needs_digest: bool = False, is_looked_up: bool = False
) -> Iterator[BoltReader]:
    """Open a snapshot file for reading.

    Args:
        path: The file.
        verifies: Read all of it and compare its digest, if it has one.
        needs_digest: A file without one is refused.
        is_looked_up: Ask for the file's state before it is opened, as some of etcdutl's commands do:
            that a file is missing is then an error of ``stat`` and not of ``open``.

    Raises:
        CorruptSnapshot: it is cut off or altered.
        UnreadableFile: it is not there, or may not be read.
        OSError: reading fails.
    """
    descriptor = _open(path, is_looked_up=is_looked_up)
    try:
        size = os.fstat(descriptor).st_size
        has_digest = size % SECTOR_BYTES == DIGEST_BYTES
        if needs_digest and not has_digest:
            raise CorruptSnapshot(
                f"{path} does not end with a digest: it was cut off, or copied from a data directory "
                f"(then: --skip-hash-check)"
            )
        data_bytes = size - DIGEST_BYTES if has_digest else size
        if verifies and has_digest:
            _verify(descriptor, path, data_bytes)
        yield BoltReader(lambda count, offset: os.pread(descriptor, count, offset), data_bytes)
    finally:
        os.close(descriptor)


def _open(path: Path, *, is_looked_up: bool) -> int:
    call = "stat"
    try:
        if is_looked_up:
            path.stat()
        call = "open"
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableFile(os_error_text(error, call)) from error


def _verify(descriptor: int, path: Path, data_bytes: int) -> None:
    digest = hashlib.sha256()
    offset = 0
    while offset < data_bytes:
        chunk = os.pread(descriptor, min(_CHUNK_BYTES, data_bytes - offset), offset)
        if not chunk:
            raise CorruptSnapshot(f"{path} is shorter than it was")
        digest.update(chunk)
        offset += len(chunk)
    expected = os.pread(descriptor, DIGEST_BYTES, data_bytes)
    if digest.digest() != expected:
        raise CorruptSnapshot(f"{path}: expected sha256 {expected.hex()}, got {digest.hexdigest()}")

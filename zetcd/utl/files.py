"""Responsible for opening snapshot files: their digest, their pages."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zetcd.bolt import BoltReader
from zetcd.errors import CorruptSnapshot
from zetcd.etcd_snapshot.buckets import DIGEST_BYTES, SECTOR_BYTES

_CHUNK_BYTES: Final = 4 * 1024 * 1024


@contextmanager
def opened(path: Path, *, verifies: bool, needs_digest: bool = False) -> Iterator[BoltReader]:
    """Open a snapshot file for reading.

    Args:
        path: The file.
        verifies: Read all of it and compare its digest, if it has one.
        needs_digest: A file without one is refused.

    Raises:
        CorruptSnapshot: it is cut off or altered.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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

"""Responsible for the store of a member that does not run: writing it out, making its file small."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zetcd.errors import DataDirMismatch
from zetcd.etcd_snapshot import Export
from zetcd.offline_check.stillness import MemberPaths, held_still
from zetcd.runtime import lmdb_trust
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.lmdb_defragmentation import DefragmentableStore

_CHUNK_BYTES: Final = 4 * 1024 * 1024
#: Address space for a store of any size.
_MAP_BYTES: Final = 1 << 40


@contextmanager
def store_of(data_dir: Path, *, is_written: bool) -> Iterator[LmdbBackend]:
    """Open the store of a stopped member, and keep the member from starting.

    Raises:
        DataDirMismatch: it runs, or its store may not be believed.
    """
    paths = MemberPaths.of_data_dir(data_dir)
    with held_still(paths):
        if not lmdb_trust.is_trusted(paths.store_dir, lmdb_trust.boot_id()):
            raise DataDirMismatch(
                f"the store in {paths.store_dir} may not be believed: the machine stopped without "
                f"warning. Start the member, which makes it anew, and stop it or save a snapshot of it"
            )
        backend = LmdbBackend(
            paths.store_dir,
            map_bytes=_MAP_BYTES,
            readonly=not is_written,
            has_writer=is_written,
        )
        try:
            yield backend
        finally:
            backend.close()


def export(data_dir: Path, path: Path) -> int:
    """Write the store of a stopped member as an etcd snapshot file; return its bytes."""
    partial = path.with_name(f"{path.name}.part")
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with store_of(data_dir, is_written=False) as backend, backend.read() as transaction:
            exporting = Export(
                transaction, lambda content, offset: os.pwrite(descriptor, content, offset)
            )
            while (size := exporting.step()) is None:
                pass
        digest = hashlib.sha256()
        for offset in range(0, size, _CHUNK_BYTES):
            digest.update(os.pread(descriptor, min(_CHUNK_BYTES, size - offset), offset))
        os.pwrite(descriptor, digest.digest(), size)
        os.fsync(descriptor)
        partial.rename(path)
    finally:
        os.close(descriptor)
        partial.unlink(missing_ok=True)
    return size + digest.digest_size


def defragment(data_dir: Path) -> tuple[int, int]:
    """Make the file of a stopped member's store small; return its bytes before and after.

    Raises:
        DataDirMismatch: it runs, or its store may not be believed.
        OSError: there is no room for a second file.
    """
    paths = MemberPaths.of_data_dir(data_dir)
    with held_still(paths):
        if not lmdb_trust.is_trusted(paths.store_dir, lmdb_trust.boot_id()):
            raise DataDirMismatch(f"the store in {paths.store_dir} may not be believed")
        opened = LmdbBackend(paths.store_dir, map_bytes=_MAP_BYTES)
        store = DefragmentableStore(opened, paths.store_dir, _MAP_BYTES)
        try:
            before = store.size().file_bytes
            store.begin_defragmentation()
            while (failure := store.defragment_step()) is None:
                pass
            if failure:
                raise OSError(failure)
            store.sync()
            after = store.size().file_bytes
        finally:
            store.close()
        # The new directory says which boot wrote it; now any boot may believe it.
        lmdb_trust.mark_clean(paths.store_dir)
    return before, after

"""What LMDB adds to the backend: files, other processes' view, sizes; the rest is in mvcc/test_backend."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import DiskFailed, NotCapable
from zetcd.mvcc.backend import Table
from zetcd.runtime.lmdb_backend import LmdbBackend

MAP_BYTES = 1 << 26


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LmdbBackend]:
    backend = LmdbBackend(tmp_path, map_bytes=MAP_BYTES)
    yield backend
    backend.close()


def read_in_another_process(directory: Path, key: str) -> str:
    """Return what a reader process sees of a key of META."""
    code = f"""
        from pathlib import Path
        from zetcd.mvcc.backend import Table
        from zetcd.runtime.lmdb_backend import LmdbBackend
        backend = LmdbBackend(Path({str(directory)!r}), map_bytes={MAP_BYTES}, readonly=True)
        with backend.read() as transaction:
            print(transaction.table(Table.META).get({key.encode()!r}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_reader_before_the_writer_is_told_to_come_back(tmp_path: Path) -> None:
    with pytest.raises(NotCapable):
        LmdbBackend(tmp_path, map_bytes=MAP_BYTES, readonly=True)


def test_another_process_sees_what_is_committed(backend: LmdbBackend, tmp_path: Path) -> None:
    with backend.write() as transaction:
        transaction.table(Table.META).put(b"k", b"1")
        assert read_in_another_process(tmp_path, "k") == "None"
    assert read_in_another_process(tmp_path, "k") == "b'1'"


def test_what_is_committed_survives_closing(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path, map_bytes=MAP_BYTES)
    SmallStore(backend).put(b"a", b"1")
    backend.close()
    backend = LmdbBackend(tmp_path, map_bytes=MAP_BYTES)
    with SmallStore(backend).view() as view:
        kv = view.get(b"a")
    backend.close()
    assert kv is not None
    assert kv.value == b"1"


def test_a_read_transaction_does_not_see_later_commits(backend: LmdbBackend) -> None:
    with backend.read() as reader:
        with backend.write() as writer:
            writer.table(Table.META).put(b"k", b"1")
        assert reader.table(Table.META).get(b"k") is None


def test_a_full_map_is_a_failure_of_the_disk(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path, map_bytes=1 << 20)
    with pytest.raises(DiskFailed), backend.write() as transaction:
        transaction.table(Table.META).put(b"k", b"v" * (1 << 21))
    with backend.read() as reader:
        assert reader.table(Table.META).get(b"k") is None
    backend.close()


def test_pages_in_use_shrink_after_compaction_while_the_file_stays(backend: LmdbBackend) -> None:
    store = SmallStore(backend)
    for _ in range(40):
        store.put(b"a", b"v" * 100_000)
    full = backend.size()
    store.compact(41)
    # Freed pages are on the free list once another transaction has ended.
    store.put(b"b")
    after = backend.size()
    assert after.file_bytes >= full.file_bytes
    assert after.used_bytes < full.used_bytes / 4


def test_the_size_is_known_without_a_free_descriptor(backend: LmdbBackend) -> None:
    """Clients may have used up all that this process is allowed to open."""
    SmallStore(backend).put(b"a", b"1")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        size = backend.size()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert 0 < size.used_bytes <= size.file_bytes


def test_a_hot_copy_is_a_store_of_its_own(backend: LmdbBackend, tmp_path: Path) -> None:
    SmallStore(backend).put(b"a", b"1")
    copy_directory = tmp_path / "copy"
    copy_directory.mkdir()
    backend.copy(copy_directory)
    backend.sync()
    copy = LmdbBackend(copy_directory, map_bytes=MAP_BYTES)
    with SmallStore(copy).view() as view:
        assert view.get(b"a") is not None
    copy.close()


def test_there_are_no_dead_readers(backend: LmdbBackend) -> None:
    assert backend.reader_check() == 0

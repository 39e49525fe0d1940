"""The file system in memory loses what a real one may lose."""

from __future__ import annotations

import pytest

from zetcd.runtime.memory_files import MemoryFileSystem


def written() -> MemoryFileSystem:
    """Two pages on the disk, of which the second is then changed and not synced."""
    disk = MemoryFileSystem(page_bytes=4)
    file = disk.open("/d/f", is_new=True)
    disk.sync_directory("/d")
    file.pwrite(b"aaaabbbb", 0)
    file.fdatasync()
    file.pwrite(b"BBBB", 4)
    return disk


def test_a_page_that_waits_to_be_written_stays_in_the_cache() -> None:
    disk = written()
    disk.open("/d/f").drop_cache()
    assert disk.content_of("/d/f") == b"aaaaBBBB"


def test_what_a_failed_sync_forgot_is_read_until_the_cache_is_dropped() -> None:
    disk = written()
    disk.forget_unsynced()
    disk = disk.process_crash()
    file = disk.open("/d/f")
    file.fdatasync()
    assert disk.content_of("/d/f") == b"aaaaBBBB"
    file.drop_cache()
    assert disk.content_of("/d/f") == b"aaaabbbb"
    assert disk.crash(lambda _path, _page: True).content_of("/d/f") == b"aaaabbbb"


def test_dropping_the_cache_keeps_the_size_of_a_file() -> None:
    disk = written()
    file = disk.open("/d/f")
    file.preallocate(16)
    file.drop_cache()
    assert file.size() == 16


def test_a_failed_sync_of_one_file_forgets_nothing_of_others() -> None:
    disk = MemoryFileSystem()
    for path in ("/d/f", "/d/g"):
        disk.open(path, is_new=True).pwrite(b"new", 0)
    disk.sync_directory("/d")

    def forget(kind: str) -> None:
        if kind == "fdatasync":
            disk.forget_unsynced()
            raise OSError

    disk.before_call = forget
    with pytest.raises(OSError):
        disk.open("/d/f").fdatasync()
    disk.before_call = None
    disk.open("/d/g").fdatasync()
    left = disk.crash(lambda _path, _page: True)
    assert (left.content_of("/d/f"), left.content_of("/d/g")) == (b"", b"new")


def test_a_directory_is_synced_by_itself() -> None:
    disk = MemoryFileSystem()
    for path in ("/d/f", "/e/f"):
        disk.open(path, is_new=True)
    disk.sync_directory("/e")
    assert disk.unsynced_names() == 1
    left = disk.crash(lambda _path, _page: True)
    assert (left.list_names("/d"), left.list_names("/e")) == ([], ["f"])


def test_a_killed_process_holds_no_lock() -> None:
    disk = MemoryFileSystem()
    disk.lock("/d/lock")
    disk.unlock_all()
    disk.lock("/d/lock")


def test_what_is_left_in_one_directory() -> None:
    disk = written()
    left = disk.crash(lambda _path, _page: False, directory="/d")
    assert left.content_of("/d/f") == b"aaaabbbb"
    assert disk.crash(lambda _path, _page: False, directory="/e").list_names("/d") == []

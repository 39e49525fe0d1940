"""Both file systems keep the same promises; the one in memory also loses what was not synced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from zetcd.runtime.files import FileSystem, OSFileSystem
from zetcd.runtime.memory_files import MemoryFileSystem


@pytest.fixture(params=["os", "memory"])
def system(request: pytest.FixtureRequest) -> FileSystem:
    return OSFileSystem() if request.param == "os" else MemoryFileSystem()


@pytest.fixture
def directory(system: FileSystem, tmp_path: Path) -> str:
    path = str(tmp_path / "a" / "b")
    system.make_directory(path)
    return path


def test_what_is_written_is_read(system: FileSystem, directory: str) -> None:
    file = system.open(f"{directory}/f", is_new=True)
    file.preallocate(100)
    file.pwrite(b"hello", 95)
    file.fdatasync()
    assert file.size() == 100
    assert file.pread(10, 93) == b"\0\0hello"
    assert file.pread(10, 200) == b""
    file.drop_cache()
    file.close()
    again = system.open(f"{directory}/f", is_read_only=True)
    assert again.pread(5, 95) == b"hello"
    again.close()


def test_preallocating_never_shrinks(system: FileSystem, directory: str) -> None:
    file = system.open(f"{directory}/f", is_new=True)
    file.pwrite(b"x" * 10, 0)
    file.preallocate(5)
    assert file.size() == 10
    file.preallocate(20)
    assert file.pread(99, 0) == b"x" * 10 + bytes(10)
    file.close()


def test_names(system: FileSystem, directory: str) -> None:
    for name in ("b", "a"):
        system.open(f"{directory}/{name}", is_new=True).close()
    assert system.list_names(directory) == ["a", "b"]
    system.rename(f"{directory}/b", f"{directory}/c")
    system.unlink(f"{directory}/a")
    system.sync_directory(directory)
    assert system.list_names(directory) == ["c"]
    with pytest.raises(FileNotFoundError):
        system.open(f"{directory}/b")
    with pytest.raises(FileExistsError):
        system.open(f"{directory}/c", is_new=True)


def test_a_lock_is_exclusive_until_closed(system: FileSystem, directory: str) -> None:
    held = system.lock(f"{directory}/lock")
    with pytest.raises(BlockingIOError):
        system.lock(f"{directory}/lock")
    held.close()
    system.lock(f"{directory}/lock").close()


def test_directories_and_files_are_the_owners_alone(tmp_path: Path) -> None:
    system = OSFileSystem()
    path = tmp_path / "x" / "y"
    system.make_directory(str(path))
    system.open(f"{path}/f", is_new=True).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "f").stat().st_mode) == 0o600


def test_a_directory_that_others_may_enter_is_refused_with_a_mend(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(0o755)
    with pytest.raises(PermissionError, match="mend: chmod 0700"):
        OSFileSystem().make_directory(str(path))


# --- losing what was not synced ----------------------------------------------------------------


def test_a_crash_loses_unsynced_pages_one_by_one() -> None:
    system = MemoryFileSystem(page_bytes=4)
    file = system.open("/d/f", is_new=True)
    file.pwrite(b"aaaabbbbcccc", 0)
    file.fdatasync()
    system.sync_directory("/d")
    file.pwrite(b"XXYYYYZZ", 2)
    assert system.unsynced_pages() == [("/d/f", 0), ("/d/f", 1), ("/d/f", 2)]
    left = system.crash(lambda _path, page: page == 1)
    assert left.content_of("/d/f") == b"aaaaYYYYcccc"
    assert system.crash(lambda _path, _page: True).content_of("/d/f") == b"aaXXYYYYZZcc"


def test_a_crash_loses_unsynced_growth() -> None:
    system = MemoryFileSystem(page_bytes=4)
    file = system.open("/d/f", is_new=True)
    system.sync_directory("/d")
    file.pwrite(b"aaaabbbb", 0)
    assert system.crash(lambda _path, _page: False).content_of("/d/f") == b""
    assert system.crash(lambda _path, page: page == 1).content_of("/d/f") == b"\0\0\0\0bbbb"


def test_a_crash_keeps_a_prefix_of_the_unsynced_names() -> None:
    system = MemoryFileSystem()
    system.open("/d/old", is_new=True)
    system.sync_directory("/d")
    system.open("/d/new", is_new=True)
    system.unlink("/d/old")
    names = [
        system.crash(lambda _path, _page: True, names_kept=kept).list_names("/d")
        for kept in range(system.unsynced_names() + 1)
    ]
    assert names == [["old"], ["new", "old"], ["new"]]


def test_a_killed_process_loses_nothing_but_leaves_it_unsynced() -> None:
    system = MemoryFileSystem(page_bytes=4)
    file = system.open("/d/f", is_new=True)
    file.pwrite(b"aaaa", 0)
    left = system.process_crash()
    assert left.content_of("/d/f") == b"aaaa"
    assert left.unsynced_pages() == [("/d/f", 0)]
    assert left.crash(lambda _path, _page: False).list_names("/d") == []


def test_the_chosen_call_and_all_later_ones_fail() -> None:
    system = MemoryFileSystem()
    file = system.open("/d/f", is_new=True)
    system.fail_call(2)
    file.pwrite(b"a", 0)
    for _ in range(2):
        with pytest.raises(OSError, match="injected failure of fdatasync"):
            file.fdatasync()
    assert system.calls["fdatasync"] == 2

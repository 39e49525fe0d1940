"""Directories are private, used by one supervisor at a time, and count incarnations."""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from zetcd.errors import DataDirMismatch, DiskFailed
from zetcd.runtime.runtime_directory import (
    INCARNATION_MAX,
    INCARNATIONS_RESERVED,
    DataDirectory,
    clear_sockets,
    make_private_directory,
    remove_runtime_dir,
)


def test_makes_a_private_directory_with_its_parents(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    make_private_directory(path, "data-dir")
    assert path.stat().st_mode & 0o777 == 0o700
    make_private_directory(path, "data-dir")


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777, 0o720])
def test_refuses_a_directory_that_others_may_use(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(DataDirMismatch, match=f"mode {mode:04o}.*type: chmod 700 {path}"):
        make_private_directory(path, "data-dir")


def test_refuses_a_file_and_a_link(tmp_path: Path) -> None:
    file, link, private = tmp_path / "file", tmp_path / "link", tmp_path / "private"
    file.touch()
    private.mkdir(mode=0o700)
    link.symlink_to(private)
    for path in (file, link):
        with pytest.raises(DataDirMismatch, match="is not a directory"):
            make_private_directory(path, "runtime-dir")


def test_the_lock_excludes_a_second_owner_and_names_the_first(tmp_path: Path) -> None:
    first = DataDirectory.open(tmp_path / "data")
    pauses: list[float] = []
    with pytest.raises(DataDirMismatch, match=f"in use by the supervisor with pid {os.getpid()}"):
        DataDirectory.open(tmp_path / "data", patience_seconds=0.1, pause=pauses.append)
    assert sum(pauses) == pytest.approx(0.1)
    first.close()
    DataDirectory.open(tmp_path / "data", patience_seconds=0).close()


def test_the_lock_is_held_until_the_last_inheritor_is_gone(tmp_path: Path) -> None:
    first = DataDirectory.open(tmp_path / "data")
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    first.close()
    with pytest.raises(DataDirMismatch):
        DataDirectory.open(tmp_path / "data", patience_seconds=0)

    def end_child(_seconds: float) -> None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    DataDirectory.open(tmp_path / "data", patience_seconds=0.02, pause=end_child).close()


def test_incarnations_count_from_1_and_go_on_after_reopening(tmp_path: Path) -> None:
    data = DataDirectory.open(tmp_path / "data")
    assert [data.next_incarnation() for _ in range(3)] == [1, 2, 3]
    data.close()
    data = DataDirectory.open(tmp_path / "data")
    count = 2 * INCARNATIONS_RESERVED + 1
    first = 1 + INCARNATIONS_RESERVED
    assert [data.next_incarnation() for _ in range(count)] == list(range(first, first + count))
    data.close()


def test_an_incarnation_is_durable_before_it_is_given_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "data" / "incarnation"
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fdatasync", lambda _: synced.append(counter.read_bytes()))
    data = DataDirectory.open(tmp_path / "data")
    for _ in range(INCARNATIONS_RESERVED + 1):
        # Whatever the file was given since, a power loss may bring back what was synced last.
        assert data.next_incarnation() <= int(synced[-1])
    assert len(synced) == 2
    data.close()


def test_a_counter_that_cannot_be_synced_gives_out_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    data = DataDirectory.open(tmp_path / "data")
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(DiskFailed, match="incarnation"):
        data.next_incarnation()
    data.close()


@pytest.mark.parametrize("content", [b"12", b"abcdefghij", b"12345678901", b"-000000001"])
def test_a_damaged_counter_is_refused(tmp_path: Path, content: bytes) -> None:
    data = DataDirectory.open(tmp_path / "data")
    (tmp_path / "data" / "incarnation").write_bytes(content)
    with pytest.raises(DataDirMismatch, match="not 10 digits"):
        data.next_incarnation()
    data.close()


def test_a_counter_lost_with_the_power_starts_again(tmp_path: Path) -> None:
    data = DataDirectory.open(tmp_path / "data")
    (tmp_path / "data" / "incarnation").write_bytes(b"\0" * 10)
    assert data.next_incarnation() == 1
    data.close()


def test_a_used_up_counter_is_refused(tmp_path: Path) -> None:
    data = DataDirectory.open(tmp_path / "data")
    (tmp_path / "data" / "incarnation").write_text(f"{INCARNATION_MAX}")
    with pytest.raises(DataDirMismatch, match="used up"):
        data.next_incarnation()
    data.close()


@pytest.fixture(name="short_path")
def make_short_path() -> Iterator[Path]:
    # Sockets have short paths; directories of tests may be too deep for them.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory)


def test_only_sockets_are_cleared(short_path: Path) -> None:
    (short_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(short_path / "raft-0"))
    clear_sockets(short_path)
    assert [each.name for each in short_path.iterdir()] == ["file"]


def test_a_runtime_directory_is_removed_unless_something_else_is_in_it(short_path: Path) -> None:
    path = short_path / "run"
    path.mkdir()
    (path / "file").touch()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path / "control"))
    remove_runtime_dir(path)
    assert [each.name for each in path.iterdir()] == ["file"]
    (path / "file").unlink()
    remove_runtime_dir(path)
    assert not path.exists()
    remove_runtime_dir(path)

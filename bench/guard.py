"""Responsible for leaving nothing behind: directories with the processes that belong to them, and the end.

Every cluster has a directory below ``.bench-runs`` at the root of the repository, on the file system of
the repository itself. It names the processes that were started for it, each with its start time, because
a number alone may belong to somebody else by now. Whatever is left of an earlier run is refused;
``python -m bench clean`` ends and removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
#: Ignored by git.
RUNS_DIR = ROOT / ".bench-runs"
_PIDS = "pids"
_END_SECONDS_MAX = 10.0
#: Not empty: Ctrl-C or SIGTERM came.
_interrupted: list[bool] = []


class Refused(Exception):
    """A run must not begin."""


@dataclass(frozen=True)
class Leftover:
    """What an earlier run left."""

    path: Path
    #: Processes that still run.
    pids: tuple[int, ...]

    def __str__(self) -> str:
        """Say what it is."""
        running = f", with processes {', '.join(map(str, self.pids))}" if self.pids else ""
        return f"{self.path}{running}"


class Directory:
    """A directory of one cluster, and the processes that were started for it."""

    def __init__(self, name: str, parent: Path = RUNS_DIR) -> None:
        """Make it; the parent was locked by `only_one`."""
        self.path = parent / f"{name}-{os.getpid()}-{time.monotonic_ns()}"
        self.path.mkdir(mode=0o700, parents=True)

    def remember(self, pid: int) -> None:
        """Write down that a process belongs to it."""
        with contextlib.suppress(psutil.NoSuchProcess), (self.path / _PIDS).open("a") as file:
            file.write(f"{pid} {psutil.Process(pid).create_time()}\n")

    def remove(self) -> None:
        """Remove it with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def leftovers(parent: Path = RUNS_DIR) -> list[Leftover]:
    """Return what earlier runs left."""
    if not parent.is_dir():
        return []
    return [
        Leftover(path, tuple(each.pid for each in _running(path)))
        for path in sorted(parent.iterdir())
        if path.is_dir()
    ]


def _running(path: Path) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in (path / _PIDS).read_text().splitlines():
            pid, _, started = line.partition(" ")
            with contextlib.suppress(psutil.NoSuchProcess, ValueError):
                process = psutil.Process(int(pid))
                is_same = abs(process.create_time() - float(started)) < 1
                if is_same and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
    return found


def clean(parent: Path = RUNS_DIR) -> list[Leftover]:
    """End and remove what earlier runs left; return it.

    Raises:
        Refused: a benchmark runs at this moment.
    """
    with only_one(parent, refuse_leftovers=False):
        found = leftovers(parent)
        for each in found:
            processes = [child for own in _running(each.path) for child in _tree(own)]
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, timeout=_END_SECONDS_MAX)
            shutil.rmtree(each.path, ignore_errors=True)
        return found


def _tree(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


@contextlib.contextmanager
def only_one(parent: Path = RUNS_DIR, *, refuse_leftovers: bool = True) -> Iterator[None]:
    """Let one benchmark run at a time, and none beside what an earlier one left.

    Raises:
        Refused: another one runs, or something is left.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                "another benchmark is running: its figures and yours would be wrong"
            ) from None
        found = leftovers(parent) if refuse_leftovers else []
        if found:
            names = "\n  ".join(map(str, found))
            raise Refused(
                f"an earlier run left this (python -m bench clean removes it):\n  {names}"
            )
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM end the benchmark as Ctrl-C does: through every `finally`."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        _interrupted.append(True)
        raise KeyboardInterrupt

    _interrupted.clear()
    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_if_interrupted() -> None:
    """Raise the interruption again if it got lost: exceptions in what runs around a fork are ignored."""
    if _interrupted:
        raise KeyboardInterrupt

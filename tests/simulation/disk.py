"""Responsible for what disks do to a node: slow, failing, dying in the middle of a call, losing pages."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

from zetcd.runtime.memory_files import MemoryFileSystem


class Killed(BaseException):
    """The process, or the machine, died inside a call; nobody may catch this but the simulator."""

    def __init__(self, where: str, *, is_power_loss: bool = False) -> None:
        super().__init__(where)
        self.is_power_loss = is_power_loss


def fail_at(disk: MemoryFileSystem, calls: int, error: int) -> None:
    """Let the call number ``calls`` from now on and all later ones fail with ``error``."""
    disk.fail_call(calls, error)


def fail_sync(disk: MemoryFileSystem) -> None:
    """Let the next fdatasync fail, and the kernel forget what it should have written.

    The next process would find it in the cache, and its own fdatasync would succeed.
    """

    def forget(kind: str) -> None:
        if kind == "fdatasync":
            disk.before_call = None
            disk.forget_unsynced()
            raise OSError(errno.EIO, "injected failure of fdatasync")

    disk.before_call = forget


def kill_at(disk: MemoryFileSystem, calls: int, *, is_power_loss: bool) -> None:
    """Kill process or machine at the call number ``calls`` from now on, before it takes effect."""
    left = calls

    def count_down(kind: str) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Killed(kind, is_power_loss=is_power_loss)

    disk.before_call = count_down


def after_power_loss(disk: MemoryFileSystem, rng: random.Random) -> MemoryFileSystem:
    """Return what is left: of the unsynced pages any subset, of the names a prefix."""
    share = rng.choice((0.0, 0.5, 0.5, 1.0))
    keeps: Callable[[str, int], bool] = lambda _path, _page: rng.random() < share  # noqa: E731
    return disk.crash(keeps, names_kept=rng.randint(0, disk.unsynced_names()))


def only_what_is_sure(disk: MemoryFileSystem, directory: str) -> MemoryFileSystem:
    """Return what the worst power loss leaves in one directory."""
    return disk.crash(lambda _path, _page: False, directory=directory)

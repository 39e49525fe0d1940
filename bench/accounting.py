"""Responsible for what processes used: CPU, memory and wake-ups by actor, and what others took meanwhile."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from bench.results import Usage

_TICK = os.sysconf("SC_CLK_TCK")
_KIB = 1024
#: Fields of the first line of /proc/stat: user, nice, system, irq, softirq, and what the host took (steal).
_BUSY_FIELDS = (1, 2, 3, 6, 7, 8)


def role_of(name: str) -> str:
    """Return the actor of a process from its command line: ``zetcd: node0 raft-0`` is ``raft``."""
    if not name.startswith("zetcd: "):
        return "etcd" if "etcd" in name.partition(" ")[0] else "other"
    last = name.rsplit(maxsplit=1)[-1]
    return last.rpartition("-")[0] if "-" in last else last


class Account:
    """Two looks at the processes of a system: `start`, then `stop`."""

    def __init__(self, pids: Iterable[int]) -> None:
        """Account for the processes with these ids and everything below them."""
        self._roots = tuple(pids)
        self._cpu: dict[int, float] = {}
        self._wakeups: dict[int, int] = {}
        self._busy = self._ours = self._at = 0.0

    def start(self) -> None:
        """Take the first look."""
        for process in self._processes():
            self._cpu[process.pid] = _cpu_seconds(process)
            self._wakeups[process.pid] = _wakeups(process.pid)
        self._busy, self._ours, self._at = _machine_busy(), _own_seconds(), time.monotonic()

    def stop(self) -> Usage:
        """Take the second look, and return the difference; memory is what is held now."""
        busy = _machine_busy() - self._busy
        wall = time.monotonic() - self._at
        cpu: dict[str, float] = {}
        memory: dict[str, int] = {}
        wakeups: dict[str, int] = {}
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                role = role_of(" ".join(process.cmdline()))
                spent = _cpu_seconds(process) - self._cpu.get(process.pid, 0.0)
                woken = _wakeups(process.pid) - self._wakeups.get(process.pid, 0)
                cpu[role] = cpu.get(role, 0.0) + spent
                wakeups[role] = wakeups.get(role, 0) + woken
                memory[role] = memory.get(role, 0) + _memory_bytes(process)
        ours = _own_seconds() - self._ours + sum(cpu.values())
        return Usage(cpu, memory, wakeups, max(0.0, busy - ours), wall, os.cpu_count() or 1)

    def _processes(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for pid in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                root = psutil.Process(pid)
                found += [root, *root.children(recursive=True)]
        return found


def _cpu_seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


def _wakeups(pid: int) -> int:
    """Return the voluntary context switches of all threads."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):
            for line in task.read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    total += int(line.split()[1])
    return total


def _memory_bytes(process: psutil.Process) -> int:
    """Return its share of what it uses: forked processes share much, and it must not count twice."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * _KIB
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.memory_info().rss
    return 0


def _machine_busy() -> float:
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    return sum(int(fields[at]) for at in _BUSY_FIELDS) / _TICK


def _own_seconds() -> float:
    """Return what this process and the clients that it has waited for spent."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

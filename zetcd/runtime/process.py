"""Responsible for what a process asks of the kernel: a name, and not to outlive its parent.

Linux only. Nothing here may fail a process: a name is for people.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
#: Bytes of a name the kernel keeps.
_NAME_BYTES_MAX: Final = 15
#: Position of starttime in /proc/self/stat, after the command's closing bracket.
_START_FIELD: Final = 19
#: Positions of arg_start and arg_end.
_ARGUMENT_FIELDS: Final = slice(45, 47)

#: States in /proc/<pid>/stat: stopped by a signal, ended and not collected, being removed.
_STOPPED_STATES: Final = ("T", "Z", "X")

_LIBC: Final = ctypes.CDLL(None)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies; end now if that has happened.

    Args:
        parent_pid: the parent as it was before the fork; of a parent that died before this call
            the kernel would never tell.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def set_process_name(name: str, arguments: str) -> None:
    """Name this process for ``ps`` and ``top``.

    Args:
        name: the short name; the kernel keeps 15 bytes.
        arguments: shown as the command line, cut to the length of the original one.
    """
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:_NAME_BYTES_MAX])
    with contextlib.suppress(OSError, ValueError, IndexError):
        _overwrite_arguments(arguments.encode())


def _overwrite_arguments(text: bytes) -> None:
    """Write over the memory from which the kernel reads ``/proc/<pid>/cmdline``."""
    start, end = (int(each) for each in _stat_fields()[_ARGUMENT_FIELDS])
    if 0 < start < end:
        ctypes.memmove(start, text[: end - start - 1].ljust(end - start, b"\0"), end - start)


def let_others_go_first() -> None:
    """Have the kernel wake this process up without interrupting whoever runs (SCHED_BATCH, sched(7)).

    Threads started afterwards inherit it. A policy that somebody has chosen for this process is left alone.
    """
    with contextlib.suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many files and connections as the hard limit says.

    Every connection of a client costs one, and the soft limit (1024, mostly) is meant for programs that
    use select. Go's programs, etcd among them, do the same.

    Returns:
        The limit now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft if soft != resource.RLIM_INFINITY else sys.maxsize


def is_stopped(pid: int) -> bool:
    """Say whether a process is stopped by a signal (SIGSTOP), or has ended; never waits.

    One that waits for a disk is neither, nor is one that a debugger holds.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in _STOPPED_STATES


def process_age_seconds() -> float:
    """Return how long ago this process was forked, to the hundredth; 0 if the kernel does not say."""
    try:
        started = int(_stat_fields()[_START_FIELD]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def _stat_fields() -> list[str]:
    stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()


def sibling_command(name: str) -> str:
    """Return what to type for the program ``name`` that was installed beside this one."""
    sibling = Path(sys.argv[0]).with_name(name)
    return str(sibling) if "/" in sys.argv[0] and sibling.exists() else name

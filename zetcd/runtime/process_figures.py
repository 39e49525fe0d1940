"""Responsible for what the kernel says of a process: CPU, memory, descriptors, threads."""

from __future__ import annotations

from typing import Final, NamedTuple

import psutil

#: Shortest time over which a CPU percentage means something.
_PERCENT_SECONDS_MIN: Final = 0.4


class Figures(NamedTuple):
    """Figures of one process."""

    #: Of one core, between the last two samples.
    cpu_percent: float = 0.0
    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    fds: int = 0
    threads: int = 0


class ProcessFigures:
    """Samples one process again and again."""

    def __init__(self, pid: int, now: float) -> None:
        """Watch the process ``pid``, which exists since ``now`` (monotonic seconds)."""
        self._pid = pid
        self._sampled_at = now
        self._figures = Figures()

    def sample(self, now: float) -> Figures:
        """Return the figures of now; the last ones if the process is gone or it is too early."""
        seconds = now - self._sampled_at
        if seconds < _PERCENT_SECONDS_MIN:
            return self._figures
        try:
            process = psutil.Process(self._pid)
            with process.oneshot():
                times = process.cpu_times()
                cpu_seconds = times.user + times.system
                used = cpu_seconds - self._figures.cpu_seconds
                self._figures = Figures(
                    cpu_percent=max(0.0, 100 * used / seconds),
                    cpu_seconds=cpu_seconds,
                    rss_bytes=process.memory_info().rss,
                    fds=process.num_fds(),
                    threads=process.num_threads(),
                )
        except psutil.Error:
            return self._figures
        self._sampled_at = now
        return self._figures

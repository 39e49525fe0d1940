"""Responsible for saying when a figure is not to be believed, and why."""

from __future__ import annotations

from bench.histogram import Histogram
from bench.results import Report, Usage

#: A process with one thread is the limit from here on.
ONE_THREAD_BUSY = 0.9
#: A client that takes more of the machine than this competes with what it measures.
CLIENT_SHARE_MAX = 0.5
#: What other programs may use of the machine.
FOREIGN_SHARE_MAX = 0.1
#: An open loop that hands out its operations later than this measures itself.
LATENESS_MS_MAX = 5.0
#: The least share of the asked rate that must have been answered.
RATE_SHARE_MIN = 0.95


def doubts_of(report: Report, usage: Usage, *, one_thread: bool, rate: float = 0.0) -> list[str]:
    """Return why the figure may be wrong; empty: it may be believed."""
    found: list[str] = []
    busy = report.cpu_seconds / report.seconds if report.seconds else 0.0
    if one_thread and busy > ONE_THREAD_BUSY:
        found.append("client saturated: the server may be faster than this")
    if not one_thread and busy > CLIENT_SHARE_MAX * usage.cores:
        found.append(f"the client used more than {CLIENT_SHARE_MAX:.0%} of the machine")
    available = usage.wall_seconds * usage.cores
    if available and usage.foreign_cpu_seconds > FOREIGN_SHARE_MAX * available:
        found.append(f"other programs used more than {FOREIGN_SHARE_MAX:.0%} of the machine")
    late = Histogram(report.lateness).value_at(0.99) / 1000
    if late > LATENESS_MS_MAX:
        found.append(f"open loop: more than 1 % was sent over {LATENESS_MS_MAX:.0f} ms late")
    if rate and report.rate < RATE_SHARE_MIN * rate:
        found.append("open loop: the rate was not reached")
    if report.failed:
        found.append("requests failed")
    return found


def void_of(report: Report, *, leader_before: int, leader_after: int) -> str:
    """Return why the run must not be used at all; empty: it may be."""
    if leader_before != leader_after:
        return "void round: the leader changed"
    if not report.measured:
        return "void round: nothing was answered"
    if report.failed > report.operations / 100:
        return "void round: more than 1 % failed"
    return ""

"""`python -m bench.slow_disk`: what slow disks cost, each case against the healthy cluster beside it.

Three nodes and the clients on this machine, puts of 256-byte values. In each row the disks named there take so
much longer for every fdatasync. Slow and healthy stretches alternate within one cluster, because a
shared machine is not the same from one minute to the next: the ratio of the two is what counts.

What must hold: no election below ``unstable-seconds-max`` (10 s), one orderly hand-over beyond it; at least
90 % of the healthy throughput with one slow disk; heartbeats not late; memory bounded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.load import LoadResult, run_load
from bench.local_cluster import LocalCluster
from bench.quick import move_leader_to
from zetcd.messages.codec import encode
from zetcd.messages.kv import PutRequest

_VALUE = b"v" * 256
_KEYS = 100_000
_MEMBERS = 3
#: A stretch with a delay is at least so many delays long, and one healthy stretch at most this.
_DELAYS_PER_STRETCH = 4
_HEALTHY_SECONDS_MAX = 10.0


@dataclass(frozen=True)
class Case:
    """One row."""

    #: Nodes with a slow disk: "leader", "follower", or "all".
    who: str
    delay_ms: int
    clients: int = 100
    #: Least share of the healthy throughput; 0 = see ``rate_min``.
    ratio_min: float = 0.9
    rate_min: float = 0.0
    p50_ms_max: float = 0.0
    #: Changes of the leader that are right.
    elections: int = 0

    @property
    def name(self) -> str:
        """Return for example ``leader-1000``."""
        suffix = f"-{self.clients}" if self.clients != 100 else ""
        return f"{self.who}-{self.delay_ms}{suffix}"


CASES = (
    Case("leader", 10),
    Case("leader", 100),
    Case("leader", 1_000),
    Case("leader", 10_000, elections=1),
    Case("follower", 100),
    Case("follower", 1_000),
    Case("all", 100, ratio_min=0.0, rate_min=400, p50_ms_max=250),
    Case("all", 100, clients=1_000, ratio_min=0.0, rate_min=4_000),
)


@dataclass
class Row:
    """What one case gave."""

    name: str
    clients: int
    rate: float
    healthy_rate: float
    p50_ms: float
    p99_ms: float
    healthy_p50_ms: float
    #: Of each pair of stretches.
    ratios: list[float]
    elections: int
    #: How late ticks were, from which heartbeats leave: the worst member, the healthy part included, ...
    tick_late_ms_p999: float
    #: ... and after the first healthy stretch alone.
    healthy_tick_late_ms_p999: float
    #: Resident memory at the end, of the raft and of the wal that have most.
    raft_mb: float
    wal_mb: float
    errors: dict[str, int]
    problems: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Return the share of the healthy throughput."""
        return self.rate / self.healthy_rate if self.healthy_rate else 0.0


class SlowableCluster:
    """A local cluster whose disks become slow, and quick again, on request."""

    def __init__(self, base_port: int, directory: Path) -> None:
        """Write the configurations into ``directory``, with the names of the delay files."""
        self.cluster = LocalCluster(nodes=_MEMBERS, base_port=base_port, directory=directory)
        self.cluster.change_configs(self._with_delay_file)

    def _with_delay_file(self, node: int, config: str) -> str:
        delay = json.dumps(str(self.delay_file(node)))
        return f"{config}\n[wal]\ntest-fdatasync-delay-file = {delay}\n"

    def delay_file(self, node: int) -> Path:
        """Return the file that says how slow the disk of a node is."""
        return self.cluster.directory / f"node{node}-delay-ms"

    def set_delay(self, nodes: range, delay_ms: int) -> None:
        """Make the disks of ``nodes`` slow, or quick with 0."""
        for node in nodes:
            new = self.delay_file(node).with_suffix(".new")
            new.write_text(str(delay_ms))
            new.rename(self.delay_file(node))


def _put(client: int, number: int) -> bytes:
    del client
    return encode(PutRequest(b"bench/%010d" % (number % _KEYS), _VALUE))


def _slow_nodes(who: str) -> range:
    """Return the nodes of a case; node 0 leads."""
    return {"leader": range(1), "follower": range(1, 2), "all": range(_MEMBERS)}[who]


def _load(cluster: LocalCluster, case: Case, seconds: float) -> LoadResult:
    return run_load(
        cluster.endpoints, clients=case.clients, seconds=seconds, make_body=_put, warmup_seconds=0.3
    )


def measure(case: Case, *, base_port: int, seconds: float, rounds: int) -> Row:
    """Run one case in a cluster of its own."""
    with tempfile.TemporaryDirectory(prefix="zetcd-bench-") as directory:
        slowable = SlowableCluster(base_port, Path(directory))
        return _measure(case, slowable, seconds=seconds, rounds=rounds)


def _measure(case: Case, slowable: SlowableCluster, *, seconds: float, rounds: int) -> Row:
    slow, healthy = LoadResult(), LoadResult()
    nodes, ratios = _slow_nodes(case.who), []
    slow_seconds = max(seconds, _DELAYS_PER_STRETCH * case.delay_ms / 1000)
    elections, healthy_late = 0, 0.0
    with slowable.cluster as cluster:
        for _ in range(1 if slow_seconds > 4 * seconds else rounds):
            move_leader_to(cluster.endpoints, cluster.endpoints[0])
            healthy_seconds = min(slow_seconds, _HEALTHY_SECONDS_MAX)
            one = _load(cluster, case, healthy_seconds)
            term = max(node.term for node in cluster.status())
            healthy_late = healthy_late or _tick_lateness(cluster)
            slowable.set_delay(nodes, case.delay_ms)
            other = _load(cluster, case, slow_seconds)
            elections += max(node.term for node in cluster.status()) - term
            slowable.set_delay(nodes, 0)
            # What waits for the last slow fdatasync is no part of the next healthy stretch.
            time.sleep(2 * case.delay_ms / 1000)
            _add(one, _load(cluster, case, healthy_seconds))
            ratios.append(other.rate / one.rate if one.rate else 0.0)
            _add(healthy, one)
            _add(slow, other)
        status, late = cluster.status(), _tick_lateness(cluster)
    sizes = {
        kind: max(a.rss_bytes for n in status for a in n.actors if a.actor == f"{kind}-0") / 1e6
        for kind in ("raft", "wal")
    }
    row = Row(
        case.name,
        case.clients,
        slow.rate,
        healthy.rate,
        slow.percentile(0.5),
        slow.percentile(0.99),
        healthy.percentile(0.5),
        [round(ratio, 3) for ratio in ratios],
        elections,
        late,
        healthy_late,
        sizes["raft"],
        sizes["wal"],
        slow.errors,
    )
    row.problems = _problems(case, row)
    return row


def _tick_lateness(cluster: LocalCluster) -> float:
    """Return the worst p99.9 of the members, in ms."""
    texts = [node.fact("raft", "tick_late_ms_p999") for node in cluster.status()]
    return max((float(text) for text in texts if text), default=0.0)


def _add(total: LoadResult, one: LoadResult) -> None:
    total.seconds += one.seconds
    total.latencies_ms += one.latencies_ms
    for text, count in one.errors.items():
        total.errors[text] = total.errors.get(text, 0) + count


def _problems(case: Case, row: Row) -> list[str]:
    """Return what does not hold."""
    found: list[str] = []
    if row.elections != case.elections:
        found.append(f"{row.elections} elections, not {case.elections}")
    if row.ratio < case.ratio_min:
        found.append(f"{row.ratio:.0%} of healthy, not {case.ratio_min:.0%}")
    if row.rate < case.rate_min:
        found.append(f"{row.rate:.0f} puts/s, not {case.rate_min:.0f}")
    if case.p50_ms_max and row.p50_ms > case.p50_ms_max:
        found.append(f"p50 {row.p50_ms:.0f} ms, not {case.p50_ms_max:.0f} ms")
    return found


def print_table(rows: list[Row]) -> None:
    """Print the table for people."""
    table = Table(title="puts with slow disks, against the healthy cluster in the same session")
    for column in (
        *("slow disk, ms", "clients", "puts/s", "healthy", "ratio", "of each pair"),
        *("p50 ms", "healthy p50", "p99 ms", "elections", "tick p99.9 ms", "healthy"),
        *("raft MB", "wal MB", ""),
    ):
        table.add_column(column, justify="left" if not column or "," in column else "right")
    for row in rows:
        verdict = "; ".join(row.problems) or "ok"
        errors = f" {row.errors}" if row.errors else ""
        table.add_row(
            *(row.name, f"{row.clients:,}", f"{row.rate:,.0f}", f"{row.healthy_rate:,.0f}"),
            *(f"{row.ratio:.0%}", " ".join(f"{ratio:.0%}" for ratio in row.ratios)),
            *(f"{row.p50_ms:.1f}", f"{row.healthy_p50_ms:.1f}", f"{row.p99_ms:.1f}"),
            *(str(row.elections), f"{row.tick_late_ms_p999:.1f}"),
            f"{row.healthy_tick_late_ms_p999:.1f}",
            *(f"{row.raft_mb:.0f}", f"{row.wal_mb:.0f}", verdict + errors),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def main() -> None:
    """Run the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow_disk", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each stretch")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of stretches")
    parser.add_argument("--base-port", type=int, default=24_100)
    parser.add_argument("--only", default="", help="cases, for example leader-1000,all-100-1000")
    parser.add_argument(
        "--json", type=Path, help="also write the figures there; - = standard output"
    )
    arguments = parser.parse_args()
    wanted = {each for each in arguments.only.split(",") if each}
    unknown = wanted - {case.name for case in CASES}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    load = os.getloadavg()[0]
    said = sys.stderr if arguments.json == Path("-") else sys.stdout
    python = platform.python_version()
    print(f"{os.cpu_count()} cores, load {load:.1f} before, Python {python}", file=said, flush=True)
    for case in CASES:
        if not wanted or case.name in wanted:
            print(f"{case.name} ...", file=said, flush=True)
            row = measure(
                case,
                base_port=arguments.base_port,
                seconds=arguments.seconds,
                rounds=arguments.rounds,
            )
            rows.append(row)
    text = json.dumps([asdict(row) | {"ratio": round(row.ratio, 3)} for row in rows], indent=2)
    if arguments.json == Path("-"):
        print(text)
    else:
        print_table(rows)
        if arguments.json is not None:
            arguments.json.write_text(text)
    sys.exit(1 if any(row.problems for row in rows) else 0)


if __name__ == "__main__":
    main()

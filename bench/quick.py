"""`python -m bench.quick`: three nodes and the clients on this machine, a table in a few minutes.

Puts of 256-byte values with 1, 100 and 1,000 clients, linearizable gets with 1 and 100, puts while every
fdatasync of the leader takes a second longer, and how late heartbeats were meanwhile. CPU per operation
and actor is the sum over all nodes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.load import LoadResult, MakeBody, run_load
from bench.local_cluster import LocalCluster
from zetcd.client import Client
from zetcd.messages.codec import encode
from zetcd.messages.kv import PutRequest, RangeRequest

_VALUE = b"v" * 256
_KEYS = 100_000
#: The leader's disk becomes slow this long after its start, when it leads.
_SLOW_AFTER_SECONDS = 6


@dataclass(frozen=True)
class Workload:
    """One line of the table."""

    name: str
    clients: int
    make_body: MakeBody
    #: Use the leader's endpoint only; else the clients are spread over all nodes.
    at_leader: bool = False


@dataclass
class Row:
    """What one workload gave."""

    workload: str
    clients: int
    rate: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    errors: dict[str, int]
    #: Microseconds of CPU per operation, by kind of actor, all nodes together.
    cpu_us: dict[str, float] = field(default_factory=dict)
    tick_late_ms_p999: float = 0.0


def _put(client: int, number: int) -> bytes:
    del client
    return encode(PutRequest(b"bench/%010d" % (number % _KEYS), _VALUE))


def _get(client: int, number: int) -> bytes:
    del client
    return encode(RangeRequest(b"bench/%010d" % (number % 1_000)))


WORKLOADS = (
    Workload("put-at-leader", 1, _put, at_leader=True),
    Workload("put", 1, _put),
    Workload("put", 100, _put),
    Workload("put", 1000, _put),
    Workload("get-at-leader", 1, _get, at_leader=True),
    Workload("get", 100, _get),
)


def _cpu_seconds(cluster: LocalCluster) -> dict[str, float]:
    """Return the CPU seconds spent so far, by kind of actor."""
    seconds: dict[str, float] = {}
    for node in cluster.status():
        for actor in node.actors:
            kind = actor.actor.rpartition("-")[0]
            seconds[kind] = seconds.get(kind, 0.0) + actor.cpu_seconds
    return seconds


def _tick_lateness(cluster: LocalCluster) -> float:
    """Return the worst p99.9 of the nodes' heartbeat lateness, in ms."""
    texts = [node.fact("raft", "tick_late_ms_p999") for node in cluster.status()]
    return max((float(text) for text in texts if text), default=0.0)


def leader_endpoint(cluster: LocalCluster) -> str:
    """Return the native endpoint of the node that leads."""
    roles = [node.role for node in cluster.status()]
    return cluster.endpoints[roles.index("leader")]


def measure(cluster: LocalCluster, workload: Workload, seconds: float) -> Row:
    """Run one workload."""
    before = _cpu_seconds(cluster)
    result: LoadResult = run_load(
        [leader_endpoint(cluster)] if workload.at_leader else cluster.endpoints,
        clients=workload.clients,
        seconds=seconds,
        make_body=workload.make_body,
    )
    after = _cpu_seconds(cluster)
    # The load also runs while warming up: count every operation, not the measured ones alone.
    operations = max(1, result.operations)
    cpu = {kind: 1e6 * (after[kind] - before.get(kind, 0.0)) / operations for kind in after}
    return Row(
        workload.name,
        workload.clients,
        result.rate,
        result.percentile(0.5),
        result.percentile(0.99),
        result.percentile(0.999),
        result.errors,
        {kind: round(us, 1) for kind, us in sorted(cpu.items()) if us >= 0.05},
        _tick_lateness(cluster),
    )


def measure_slow_disk(directory: Path, base_port: int, seconds: float) -> Row:
    """Run puts of 100 clients against a leader each of whose fdatasyncs takes a second longer."""
    slow = directory / "node0" / "config.toml"
    slow.write_text(
        slow.read_text()
        + "\n[wal]\ntest-fdatasync-delay-ms = 1000\n"
        + f'test-fdatasync-delay-after = "{_SLOW_AFTER_SECONDS}s"\n'
    )
    with LocalCluster(nodes=3, base_port=base_port, directory=directory) as cluster:
        move_leader_to(cluster.endpoints, cluster.endpoints[0])
        term = cluster.status()[0].term
        # Not a synchronisation: the disk becomes slow at a time, not after an event.
        time.sleep(_SLOW_AFTER_SECONDS)
        row = measure(cluster, Workload("put-slow-disk", 100, _put), seconds)
        nodes = cluster.status()
        if nodes[0].role != "leader" or nodes[0].term != term:
            row.errors["the leader changed"] = 1
        return row


def move_leader_to(endpoints: list[str], wanted: str) -> None:
    """Let the node at the endpoint ``wanted`` lead, and return once it does."""
    with Client([wanted]) as client:
        deadline = time.monotonic() + 20
        while (leader := client.status().leader) != (target := client.member_id):
            assert time.monotonic() < deadline, f"{wanted} does not become leader"
            for endpoint in endpoints:
                with Client([endpoint]) as other:
                    other.status()
                    if other.member_id == leader:
                        other.move_leader(target)


def print_row(row: Row) -> None:
    """Print one line of the table."""
    cpu = " ".join(f"{kind}={us:.1f}" for kind, us in row.cpu_us.items())
    errors = f"  ERRORS {row.errors}" if row.errors else ""
    print(
        f"{row.workload:<14}{row.clients:>8}{row.rate:>11,.0f}{row.p50_ms:>9.2f}{row.p99_ms:>9.2f}"
        f"{row.p999_ms:>9.2f}{row.tick_late_ms_p999:>11.1f}   {cpu}{errors}",
        flush=True,
    )


def main() -> None:
    """Run the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.quick")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each workload")
    parser.add_argument("--base-port", type=int, default=23_900)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--only", default="", help="workloads, for example put-100,get-1")
    arguments = parser.parse_args()
    wanted = {each for each in arguments.only.split(",") if each}
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        "3 nodes and the clients on one machine, 256-byte values; CPU in us per operation, all nodes"
    )
    print(
        f"{'workload':<14}{'clients':>8}{'per s':>11}{'p50 ms':>9}{'p99 ms':>9}{'p99.9':>9}"
        f"{'tick p99.9':>11}   CPU"
    )
    rows: list[Row] = []
    directory = Path(tempfile.mkdtemp(prefix="zetcd-bench-"))
    with LocalCluster(nodes=3, base_port=arguments.base_port, directory=directory) as cluster:
        for workload in WORKLOADS:
            if not wanted or f"{workload.name}-{workload.clients}" in wanted:
                rows.append(measure(cluster, workload, arguments.seconds))
                print_row(rows[-1])
        print(f"started in {cluster.start_seconds:.2f} s")
    if not wanted or "slow-disk" in wanted:
        rows.append(measure_slow_disk(directory, arguments.base_port, arguments.seconds))
        print_row(rows[-1])
    shutil.rmtree(directory, ignore_errors=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))
    sys.exit(1 if any(row.errors for row in rows) else 0)


if __name__ == "__main__":
    main()

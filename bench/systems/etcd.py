"""Responsible for how members of etcd are started: its defaults, heartbeat and election written out."""

from __future__ import annotations

from pathlib import Path

from bench.guard import Directory
from bench.systems.cluster import MEMBERS, Cluster
from bench.systems.member import MemberPlan

PORTS_PER_MEMBER = 10
#: etcd refuses more than it has room for; the large keyspace needs more than the default of 2 GiB.
_QUOTA_BYTES = 8 * 1024**3


def etcd_cluster(program: Path, directory: Directory, base_port: int) -> Cluster:
    """Return a cluster with etcd's defaults: heartbeat 100 ms, election 1000 ms."""

    def url(number: int, offset: int) -> str:
        return f"http://127.0.0.1:{base_port + PORTS_PER_MEMBER * number + offset}"

    everyone = ",".join(f"etcd{number}={url(number, 1)}" for number in range(MEMBERS))
    plans = []
    for number in range(MEMBERS):
        name = f"etcd{number}"
        command = (
            *(str(program), "--name", name, "--data-dir", str(directory.path / name)),
            *("--listen-client-urls", url(number, 0), "--advertise-client-urls", url(number, 0)),
            *(
                "--listen-peer-urls",
                url(number, 1),
                "--initial-advertise-peer-urls",
                url(number, 1),
            ),
            *("--initial-cluster", everyone, "--initial-cluster-state", "new"),
            *("--heartbeat-interval", "100", "--election-timeout", "1000"),
            *("--quota-backend-bytes", str(_QUOTA_BYTES), "--log-level", "error"),
        )
        plans.append(MemberPlan(name, command, url(number, 0).removeprefix("http://")))
    return Cluster("etcd", plans, directory)

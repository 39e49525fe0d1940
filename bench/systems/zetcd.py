"""Responsible for how members of zetcd are started: `zetcd supervise`, as in production."""

from __future__ import annotations

import contextlib
import sys

from bench.drivers import MemberView
from bench.guard import Directory
from bench.systems.cluster import MEMBERS, Cluster
from bench.systems.member import MemberPlan
from zetcd.client import Client
from zetcd.errors import ZetcdError
from zetcd.local import LocalOptions, node_config
from zetcd.node_status import NodeStatus
from zetcd.status import NodeReply, ask, local_configs

PORTS_PER_MEMBER = 10
#: Actor, what it reports, and the name under which it is added up.
_COUNTED = (
    ("gateway", "proposed", "proposed"),
    ("etcd-gateway", "proposed", "proposed"),
    ("gateway", "batches", "proposals"),
    ("etcd-gateway", "batches", "proposals"),
    ("gateway", "reads", "reads"),
    ("etcd-gateway", "reads", "reads"),
    ("gateway", "read_rounds", "rounds"),
    ("etcd-gateway", "read_rounds", "rounds"),
    ("apply", "requests", "applied"),
    ("apply", "transactions", "transactions"),
)
#: Sizes of batches: what, divided by what.
_BATCHES = {
    "requests per proposal": ("proposed", "proposals"),
    "reads per round": ("reads", "rounds"),
    "requests per transaction": ("applied", "transactions"),
}


class ZetcdCluster(Cluster):
    """Asks supervisors instead of gateways, so that it needs no Go client."""

    def replies(self) -> list[NodeReply]:
        """Ask every supervisor."""
        return [ask(config) for config in local_configs(self.directory.path)]

    def statuses(self) -> list[NodeStatus]:
        """Return the status of every member that answers."""
        return [reply.status for reply in self.replies() if reply.status is not None]

    def counts(self) -> dict[str, int]:
        """Return how many requests and batches there were so far, all members together."""
        found: dict[str, int] = {}
        for status in self.statuses():
            for role, fact, name in _COUNTED:
                found[name] = found.get(name, 0) + status.fact_sum(role, fact)
        return found

    def view(self) -> list[MemberView]:
        """Return how every member is; one that is not ready does not count as one that answers."""
        pairs = zip(self.endpoints, self.replies(), strict=True)
        return [_view(endpoint, reply) for endpoint, reply in pairs]

    def hand_over(self, view: list[MemberView], number: int) -> None:
        """Ask the leader, over the native protocol."""
        leader = [member.member_id for member in view].index(view[number].leader)
        with contextlib.suppress(ZetcdError), Client([self.native[leader]]) as client:
            client.move_leader(int(view[number].member_id, 16))


def batches_between(before: dict[str, int], after: dict[str, int]) -> dict[str, float]:
    """Return the mean sizes of the batches that were made between two looks at the counts."""
    made = {name: after[name] - before.get(name, 0) for name in after}
    return {
        name: made[what] / made[by]
        for name, (what, by) in _BATCHES.items()
        if made.get(by, 0) > 0 and made.get(what, 0) > 0
    }


def _view(endpoint: str, reply: NodeReply) -> MemberView:
    status = reply.status
    if status is None or status.state != "ready":
        return MemberView(endpoint, error=reply.reason or "not ready")
    return MemberView(
        endpoint, "", status.member_id, status.leader, f"zetcd {status.version}", status.term
    )


def zetcd_cluster(directory: Directory, base_port: int) -> ZetcdCluster:
    """Return a cluster with zetcd's defaults: heartbeat 100 ms, election 1000 ms."""
    options = LocalOptions(nodes=MEMBERS, directory=directory.path, base_port=base_port)
    plans = []
    for number in range(MEMBERS):
        config = node_config(number, options, directory.path)
        home = directory.path / config.name
        home.mkdir(mode=0o700, parents=True)
        (home / "config.toml").write_text(config.to_toml())
        port = base_port + PORTS_PER_MEMBER * number
        plans.append(
            MemberPlan(
                config.name,
                (sys.executable, "-m", "zetcd", "supervise", str(home / "config.toml")),
                f"127.0.0.1:{port}",
                f"tcp://127.0.0.1:{port + 2}",
            )
        )
    return ZetcdCluster("zetcd", plans, directory)

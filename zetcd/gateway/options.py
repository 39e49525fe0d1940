"""Responsible for what a gateway is told once, at its start: who it is, and its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zetcd.config.sections import GatewayConfig
from zetcd.messages.node import ActorRole
from zetcd.scalars import NodeID


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """Identity and limits of one gateway."""

    cluster_id: int
    node_id: NodeID
    member_name: str
    server_version: str
    #: Which kind of gateway it is; with its number, its address within the node.
    role: ActorRole = ActorRole.GATEWAY
    #: Number of this gateway among those of its kind.
    instance: int
    #: Number of this process; part of session ids, batch origins and lease ids.
    incarnation: int
    #: The ``[gateway]`` section of the configuration.
    limits: GatewayConfig
    #: Largest request body, in bytes; etcd's ``max-request-bytes``.
    request_bytes_max: int
    #: Operations of one transaction; etcd's ``max-txn-ops``.
    txn_ops_max: int
    #: Bytes of pages in use at which the store is full; 0 or less = no limit.
    quota_bytes: int
    #: Seconds; shorter TTLs are raised to this *before* they are proposed, so that members whose election
    #: timeouts differ still store the same lease.
    lease_ttl_seconds_min: int = 2
    #: Longest wait for an answer: 5 s + 2 x the election timeout, as in etcd.
    request_timeout_seconds: float
    #: Unix seconds: part of the ids of members that are added, as in etcd, and of nothing else.
    wall_seconds: Callable[[], int]

    @property
    def ping_interval_seconds(self) -> float:
        """Silence after which a session is pinged."""
        return self.limits.ping_interval

    @property
    def dead_after_seconds(self) -> float:
        """Silence after which a session is given up."""
        return self.limits.ping_interval * self.limits.dead_after_missed

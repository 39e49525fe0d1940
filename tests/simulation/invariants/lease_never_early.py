"""A lease does not end before its time, counted from when its holder last asked, unless it is revoked."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.apply import Applier
from zetcd.runtime.memory_backend import MemoryBackend
from zetcd.scalars import LeaseID, NodeID


class LeaseNeverEarly(Invariant):
    """Looks for leases that were in a store and are not any more."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        #: When each lease may end at the earliest.
        self._ends: dict[LeaseID, float] = {}
        #: Which leases each store had when it was last looked at.
        self._seen: dict[NodeID, tuple[MemoryBackend, tuple[LeaseID, ...]]] = {}
        #: When a lease was first seen to have ended.
        self.ended: dict[LeaseID, float] = {}
        #: Leases whose holders have asked for their end.
        self.given_up: dict[LeaseID, None] = {}

    def renewed(self, lease: LeaseID, asked_at: float, ttl: float) -> None:
        """Note that a holder was told that its lease lives for ``ttl`` more seconds."""
        self._ends[lease] = max(self._ends.get(lease, 0.0), asked_at + ttl)
        self._check(lease)

    def applied(self, node: Observed, applier: Applier) -> None:
        leases = applier.lessor.leases
        known = self._seen.get(node.node_id)
        if known is not None and known[0] is node.store:
            for lease in known[1]:
                if lease not in leases and lease not in self.ended:
                    self.ended[lease] = self._now()
                    self._check(lease)
        self._seen[node.node_id] = (node.store, tuple(leases))

    def _check(self, lease: LeaseID) -> None:
        ended, end = self.ended.get(lease), self._ends.get(lease, 0.0)
        require(
            ended is None or lease in self.given_up or ended >= end - 1e-6,
            "lease never early",
            f"lease {lease} was to live until {end:.3f} and ended at {ended}",
        )

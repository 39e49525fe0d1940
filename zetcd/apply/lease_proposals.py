"""Responsible for what the leader's lessor has to propose: revocations and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from zetcd.lease import Lessor
from zetcd.messages.lease import LeaseCheckpointRequest, LeaseExpireRequest
from zetcd.scalars import Term


@dataclass(frozen=True, slots=True)
class LeaseProposalLimits:
    """Bounds that keep leases from crowding out writes."""

    #: Leases revoked by one call at most; with two calls a second, etcd's 1000 leases per second.
    expire_max: int = 500
    #: Leases in one proposal; each of them is a revision of its own.
    expire_batch: int = 100
    #: Leases checkpointed by one call at most, all in one proposal.
    checkpoint_max: int = 1000


def lease_proposals(
    lessor: Lessor, *, term: Term, now: float, limits: LeaseProposalLimits
) -> tuple[LeaseExpireRequest | LeaseCheckpointRequest, ...]:
    """Return what to propose now; each request is to be a batch of its own.

    Args:
        lessor: Nothing is due unless it is primary.
        term: In which this member leads.
        now: Monotonic time in seconds.
        limits: Bounds.
    """
    if not lessor.is_primary:
        return ()
    proposals: list[LeaseExpireRequest | LeaseCheckpointRequest] = []
    expired = lessor.expired(now, limits.expire_max)
    for low in range(0, len(expired), limits.expire_batch):
        ids = tuple(expired[low : low + limits.expire_batch])
        proposals.append(LeaseExpireRequest(ids, term))
    checkpoints = lessor.checkpoints_due(now, limits.checkpoint_max)
    if checkpoints:
        proposals.append(LeaseCheckpointRequest(checkpoints, term))
    return tuple(proposals)

"""Responsible for the lease API: etcd's Lease requests and responses as typed arrays."""

from __future__ import annotations

from zetcd.messages.base import Message
from zetcd.messages.kv import ResponseHeader
from zetcd.scalars import LeaseID, Term


class LeaseGrantRequest(Message, frozen=True, tag=10):
    """Creates a lease; etcd reference Lease.LeaseGrant."""

    #: Seconds; raised silently to the minimum TTL.
    ttl: int
    #: 0 = the server chooses. The gateway fills it in before proposing, so that all members agree.
    id: LeaseID = 0


class LeaseGrantResponse(Message, frozen=True, tag=74):
    """Answers `LeaseGrantRequest`."""

    header: ResponseHeader
    id: LeaseID
    #: Effective TTL in seconds.
    ttl: int


class LeaseRevokeRequest(Message, frozen=True, tag=11):
    """Ends a lease and deletes its keys in one revision."""

    id: LeaseID


class LeaseRevokeResponse(Message, frozen=True, tag=75):
    """Answers `LeaseRevokeRequest`."""

    header: ResponseHeader


class LeaseKeepAliveRequest(Message, frozen=True, tag=12):
    """Renews a lease; answered by the leader's lessor, never proposed."""

    id: LeaseID


class LeaseKeepAliveResponse(Message, frozen=True, tag=76):
    """Answers `LeaseKeepAliveRequest`; ``ttl`` 0 = expired, revoked or unknown."""

    header: ResponseHeader
    id: LeaseID
    ttl: int


class LeaseTimeToLiveRequest(Message, frozen=True, tag=13):
    """Asks for the remaining TTL; answered by the leader's lessor, never proposed."""

    id: LeaseID
    #: List the attached keys.
    keys: bool = False


class LeaseTimeToLiveResponse(Message, frozen=True, tag=77):
    """Answers `LeaseTimeToLiveRequest`; ``ttl`` -1 = unknown or expired."""

    header: ResponseHeader
    id: LeaseID
    #: Remaining seconds.
    ttl: int
    granted_ttl: int = 0
    keys: tuple[bytes, ...] = ()


class LeaseLeasesRequest(Message, frozen=True, tag=14):
    """Lists the leases of the serving member; linearizable in zetcd."""


class LeaseLeasesResponse(Message, frozen=True, tag=78):
    """Answers `LeaseLeasesRequest`; ids sorted by granted TTL, then id."""

    header: ResponseHeader
    leases: tuple[LeaseID, ...] = ()


class LeaseExpireRequest(Message, frozen=True, tag=15):
    """The leader's lessor proposes to revoke expired leases; internal.

    Void unless the entry that carries it has exactly ``term``: an old leader must not revoke what a new
    leader has renewed.
    """

    ids: tuple[LeaseID, ...]
    term: Term


class LeaseCheckpoint(Message, frozen=True):
    """Remaining TTL of one lease, in seconds."""

    id: LeaseID
    remaining_ttl: int


class LeaseCheckpointRequest(Message, frozen=True, tag=16):
    """The leader's lessor replicates remaining TTLs, so that a new leader does not start over; internal.

    Void unless the entry that carries it has exactly ``term``.
    """

    checkpoints: tuple[LeaseCheckpoint, ...]
    term: Term

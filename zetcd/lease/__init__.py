"""Leases: keys that live as long as somebody renews them. Pure; time is an argument.

How it works
    Every member knows every lease (granted TTL, checkpointed remaining TTL), because grant, revoke
    and checkpoint come through the log. Time runs on the leader only: it gives each lease an
    expiry, keep-alives move it, and what has expired is *proposed* for revocation, with the
    leader's term, so that an old leader cannot end what a new one has renewed. A new leader starts
    all leases anew from the remaining TTL of the last checkpoint, plus an extension: late perhaps,
    never early.

    Worked example, TTL 10, checkpoints off, on the leader:

        t=0   grant 7           expiry 10
        t=8   keep-alive 7      expiry 18, answered with 10
        t=18  expired() → [7]   cannot be renewed any more; proposed: LeaseExpireRequest((7,), term)
        t=18+ the entry is applied: revoke, keys deleted in one revision. Had the term changed in
              between, the entry would be void and the new leader would have its own expiry for 7.

Files
    lease        one lease                 lessor       all of them
    lease_queue  who is due next

Not implemented
    Rate limits by user; per-key TTLs (a lease per key does that).
"""

from zetcd.lease.lease import Lease
from zetcd.lease.lease_queue import LeaseQueue
from zetcd.lease.lessor import (
    TTL_SECONDS_MAX,
    Lessor,
    LessorOptions,
    Renewal,
    TimeToLive,
    ttl_seconds_min,
)

__all__ = [
    "TTL_SECONDS_MAX",
    "Lease",
    "LeaseQueue",
    "Lessor",
    "LessorOptions",
    "Renewal",
    "TimeToLive",
    "ttl_seconds_min",
]

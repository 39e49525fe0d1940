"""Responsible for what is known of one lease."""

from __future__ import annotations

from dataclasses import dataclass

from zetcd.scalars import LeaseID


@dataclass(slots=True)
class Lease:
    """One lease. Mutated by the lessor only."""

    id: LeaseID
    #: Seconds a keep-alive gives it.
    granted_ttl: int
    #: Seconds it had left at the last checkpoint, replicated; 0 = none, count from the granted TTL.
    remaining_ttl: int = 0
    #: Monotonic time at which it expires; None on a member that does not lead: it never expires
    #: there.
    expiry: float | None = None
    #: It has expired and its revocation has been handed out; it is never renewed any more.
    is_expiring: bool = False
    #: A checkpoint has been handed out that may still be on its way through the log.
    is_checkpointing: bool = False

    @property
    def ttl_after_promotion(self) -> int:
        """Seconds that a new leader gives it, before extension."""
        return self.remaining_ttl or self.granted_ttl

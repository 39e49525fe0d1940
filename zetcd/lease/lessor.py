"""Responsible for the life of leases: who exists, who has expired, what to checkpoint.

Pure: time is an argument, in seconds of a monotonic clock that never stops. Which keys a lease has
is not known here (the store keeps that), nor how a revocation becomes a log entry.

Two sides
    Replicated, the same on every member at the same index: `grant`, `revoke`, `checkpoint`, which
    are called while applying the log.
    Local, on the leader only: expiry, from `promote` to `demote`. `expired` never changes what is
    replicated; it says which revocations to propose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from zetcd.errors import InvalidArgument, LeaseExist, LeaseNotFound, LeaseTTLTooLarge
from zetcd.lease.lease import Lease
from zetcd.lease.lease_queue import LeaseQueue
from zetcd.messages.lease import LeaseCheckpoint
from zetcd.scalars import LeaseID

#: Greatest TTL in seconds, as in etcd.
TTL_SECONDS_MAX: Final = 9_000_000_000
_LEASE_ID_MAX: Final = 2**63 - 1


def ttl_seconds_min(election_timeout_seconds: float) -> int:
    """Return the smallest TTL: a lease must outlive an election."""
    return ceil(1.5 * election_timeout_seconds)


@dataclass(frozen=True, slots=True)
class LessorOptions:
    """What a lessor is told at its start."""

    #: Shorter TTLs are raised to this. Must be the same on all members, so gateways raise TTLs to what
    #: the configuration demands (`ttl_seconds_min`) before they propose.
    ttl_seconds_min: int = 2
    #: Between checkpoints of the remaining TTL of a lease (etcd: five minutes).
    checkpoint_interval_seconds: float = 300.0
    #: A revocation that was handed out and has not happened is handed out again after this.
    expire_retry_seconds: float = 3.0
    #: Leases that may expire in one second after a promotion; the rest is spread out (etcd: 1000).
    expirations_per_second_max: int = 1000


class Renewal(NamedTuple):
    """What became of a keep-alive."""

    #: Seconds the lease has now; 0 = expired, expiring or unknown.
    ttl: int
    #: The answer must wait: a checkpoint of 0 has to be replicated first. Otherwise a new leader
    #: would count from the old checkpoint and end the lease before the TTL that this answer
    #: promises.
    needs_checkpoint: bool = False


class TimeToLive(NamedTuple):
    """What is left of a lease."""

    #: Whole seconds; -1 = unknown or expired.
    ttl: int
    granted_ttl: int


class Lessor:
    """All leases of the cluster, as one member knows them.

    Invariants:
        - ``leases`` holds exactly the leases granted and not revoked up to the applied index.
        - While primary every lease has an expiry and is in the expiry queue or was handed out by
          `expired`; while not primary no lease has an expiry and both queues are empty.
        - A lease is never reported expired before its expiry.
    """

    __slots__ = (
        "_checkpoint_queue",
        "_expiry_queue",
        "is_primary",
        "leases",
        "options",
        "renewed_count",
    )

    def __init__(self, options: LessorOptions | None = None) -> None:
        """Start without leases, not primary."""
        self.options = options or LessorOptions()
        self.leases: dict[LeaseID, Lease] = {}
        #: This member leads: leases run here.
        self.is_primary = False
        self._expiry_queue = LeaseQueue()
        self._checkpoint_queue = LeaseQueue()
        #: Renewals granted here, for figures.
        self.renewed_count = 0

    # --- replicated ---

    def restore(self, leases: Iterable[Lease]) -> None:
        """Load what was stored; before anything else."""
        assert not self.is_primary, "leases are loaded before they run"
        self.leases = {lease.id: lease for lease in leases}

    def grant(self, lease_id: LeaseID, ttl: int, now: float) -> Lease:
        """Create a lease.

        Args:
            lease_id: Chosen by the client, or by the gateway on its behalf.
            ttl: Seconds; raised to the minimum.
            now: Monotonic time.

        Raises:
            LeaseTTLTooLarge: the TTL is above the maximum.
            LeaseExist: there is such a lease.
            InvalidArgument: the id is 0 or has more than 64 bits.
        """
        if not lease_id or not -_LEASE_ID_MAX - 1 <= lease_id <= _LEASE_ID_MAX:
            raise InvalidArgument(
                field="lease id", value=lease_id, limit="a signed 64-bit number, not 0"
            )
        if ttl > TTL_SECONDS_MAX:
            raise LeaseTTLTooLarge
        if lease_id in self.leases:
            raise LeaseExist
        lease = Lease(lease_id, max(ttl, self.options.ttl_seconds_min))
        self.leases[lease_id] = lease
        if self.is_primary:
            self._run(lease, lease.granted_ttl, now)
        return lease

    def revoke(self, lease_id: LeaseID) -> None:
        """End a lease.

        Raises:
            LeaseNotFound: there is no such lease.
        """
        if self.leases.pop(lease_id, None) is None:
            raise LeaseNotFound
        self._expiry_queue.remove(lease_id)
        self._checkpoint_queue.remove(lease_id)

    def checkpoint(self, lease_id: LeaseID, remaining_ttl: int) -> Lease | None:
        """Note the replicated remaining TTL (0 = none); return the lease, or None if it is gone.

        A running lease keeps its expiry: the leader knows better than its own checkpoint.
        """
        lease = self.leases.get(lease_id)
        if lease is not None:
            lease.remaining_ttl = max(0, min(remaining_ttl, lease.granted_ttl))
            lease.is_checkpointing = False
        return lease

    # --- local, on the leader ---

    def promote(self, now: float, extend_seconds: float) -> None:
        """Start the leases: this member leads now.

        Args:
            now: Monotonic time.
            extend_seconds: Added to each, for the time in which nobody could renew (an election
            timeout).
        """
        self.is_primary = True
        self._expiry_queue.clear()
        self._checkpoint_queue.clear()
        for lease in self.leases.values():
            self._run(lease, lease.ttl_after_promotion + extend_seconds, now)
        self._spread(now)

    def demote(self) -> None:
        """Stop the leases: this member does not lead any more."""
        self.is_primary = False
        self._expiry_queue.clear()
        self._checkpoint_queue.clear()
        for lease in self.leases.values():
            lease.expiry = None
            lease.is_expiring = False
            lease.is_checkpointing = False

    def renew(self, lease_id: LeaseID, now: float) -> Renewal:
        """Give a lease its granted TTL again; only while primary."""
        assert self.is_primary, "only the leader renews"
        lease = self.leases.get(lease_id)
        if lease is None or lease.is_expiring or _has_expired(lease, now):
            return Renewal(0)
        self.renewed_count += 1
        self._run(lease, lease.granted_ttl, now)
        return Renewal(lease.granted_ttl, needs_checkpoint=not self.is_uncheckpointed(lease_id))

    def is_uncheckpointed(self, lease_id: LeaseID) -> bool:
        """Return whether a new leader would give a lease (or one that is gone) its granted TTL."""
        lease = self.leases.get(lease_id)
        return lease is None or (lease.remaining_ttl == 0 and not lease.is_checkpointing)

    def time_to_live(self, lease_id: LeaseID, now: float) -> TimeToLive:
        """Return what is left of a lease; only while primary."""
        assert self.is_primary, "only the leader knows what is left"
        lease = self.leases.get(lease_id)
        if lease is None or lease.expiry is None or _has_expired(lease, now):
            return TimeToLive(-1, 0)
        return TimeToLive(int(lease.expiry - now), lease.granted_ttl)

    def expired(self, now: float, limit: int) -> list[LeaseID]:
        """Return leases whose revocation is to be proposed, at most ``limit``, earliest first.

        Each is handed out once, and again after a while if it still exists: the proposal may have
        been lost. From then on it cannot be renewed.
        """
        due = self._expiry_queue.pop_due(now, limit)
        for lease_id in due:
            lease = self.leases[lease_id]
            assert lease.expiry is not None, "a lease that does not run has expired"
            assert lease.expiry <= now, "a lease has expired early"
            lease.is_expiring = True
            self._expiry_queue.push(lease_id, now + self.options.expire_retry_seconds)
        return due

    def checkpoints_due(self, now: float, limit: int) -> tuple[LeaseCheckpoint, ...]:
        """Return the remaining TTLs to replicate now, at most ``limit``."""
        checkpoints: list[LeaseCheckpoint] = []
        for lease_id in self._checkpoint_queue.pop_due(now, limit):
            lease = self.leases[lease_id]
            if lease.expiry is None or lease.is_expiring or _has_expired(lease, now):
                continue
            # Rounded up: a new leader must never count less than is left.
            checkpoints.append(LeaseCheckpoint(lease_id, ceil(lease.expiry - now)))
            lease.is_checkpointing = True
            self._schedule_checkpoint(lease, now)
        return tuple(checkpoints)

    def next_due(self) -> float | None:
        """Return when `expired` or `checkpoints_due` next has something, or None."""
        times = (self._expiry_queue.next_due(), self._checkpoint_queue.next_due())
        return min((time for time in times if time is not None), default=None)

    def lease_ids(self) -> tuple[LeaseID, ...]:
        """Return all ids, sorted by granted TTL, then id."""
        ordered = sorted(self.leases.values(), key=lambda lease: (lease.granted_ttl, lease.id))
        return tuple(lease.id for lease in ordered)

    def check(self) -> None:
        """Assert the invariants."""
        self._expiry_queue.check()
        self._checkpoint_queue.check()
        assert len(self._expiry_queue) == (len(self.leases) if self.is_primary else 0)
        for lease_id, lease in self.leases.items():
            assert lease.id == lease_id
            assert 0 <= lease.remaining_ttl <= lease.granted_ttl
            assert (lease.expiry is not None) is self.is_primary
            assert (lease_id in self._expiry_queue) is self.is_primary
            assert self.is_primary or not lease.is_expiring

    def _run(self, lease: Lease, seconds: float, now: float) -> None:
        """Let a lease run for ``seconds`` from now."""
        lease.expiry = now + seconds
        self._expiry_queue.push(lease.id, lease.expiry)
        self._schedule_checkpoint(lease, now)

    def _schedule_checkpoint(self, lease: Lease, now: float) -> None:
        """Plan the next checkpoint, if the lease outlives the interval."""
        interval = self.options.checkpoint_interval_seconds
        if lease.expiry is not None and lease.expiry - now > interval:
            self._checkpoint_queue.push(lease.id, now + interval)
        else:
            self._checkpoint_queue.remove(lease.id)

    def _spread(self, now: float) -> None:
        """Delay expiries so that no second has too many; never brings one forward."""
        per_second = self.options.expirations_per_second_max
        if len(self.leases) <= per_second:
            return
        slot_end, in_slot = now, 0
        for lease in sorted(self.leases.values(), key=_expiry_order):
            assert lease.expiry is not None, "only running leases are spread"
            if lease.expiry >= slot_end:
                slot_end, in_slot = lease.expiry + 1.0, 0
            elif in_slot >= per_second:
                slot_end, in_slot = slot_end + 1.0, 0
            in_slot += 1
            lease.expiry = max(lease.expiry, slot_end - 1.0)
            self._expiry_queue.push(lease.id, lease.expiry)


def _has_expired(lease: Lease, now: float) -> bool:
    """Return whether the time of a running lease is over."""
    return lease.expiry is not None and lease.expiry <= now


def _expiry_order(lease: Lease) -> tuple[float, LeaseID]:
    """Return the order in which leases expire."""
    return (lease.expiry or 0.0, lease.id)

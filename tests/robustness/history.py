"""Responsible for what clients did and saw in one round: the input of every checker.

Times are monotonic seconds of the one process that runs the load, so they can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from zetcd.messages.client import UnaryRequest, UnaryResponse
from zetcd.messages.kv import Event, PutRequest, RangeRequest, TxnRequest
from zetcd.messages.lease import LeaseGrantRequest, LeaseRevokeRequest
from zetcd.scalars import LeaseID, Revision


class Outcome(Enum):
    """How an operation ended for its client."""

    PENDING = "pending"
    OK = "ok"
    #: Not done, and it never will be.
    REFUSED = "refused"
    #: It may have happened, may happen later, or never.
    UNKNOWN = "unknown"


@dataclass(slots=True, eq=False)
class Operation:
    """One request of one client."""

    client: int
    request: UnaryRequest
    invoked: float
    #: Name of the member that answered, or that alone was asked; "" if any may have been.
    member: str = ""
    returned: float = 0.0
    outcome: Outcome = Outcome.PENDING
    response: UnaryResponse | None = None
    error: str = ""

    @property
    def is_ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def revision(self) -> Revision:
        """The revision of the answer; 0 without one."""
        header = getattr(self.response, "header", None)
        return 0 if header is None else int(header.revision)

    @property
    def is_read(self) -> bool:
        return isinstance(self.request, RangeRequest)

    @property
    def is_serializable(self) -> bool:
        return isinstance(self.request, RangeRequest) and self.request.serializable

    @property
    def goes_through_log(self) -> bool:
        """Whether its answer has a place in the order of the log, by its revision."""
        is_lease = isinstance(self.request, LeaseGrantRequest | LeaseRevokeRequest)
        return is_lease or self.is_read or self.is_mutation

    @property
    def is_mutation(self) -> bool:
        """Whether it may change keys."""
        return not self.is_read and "Lease" not in type(self.request).__name__

    def puts(self) -> tuple[PutRequest, ...]:
        """Return the puts that it makes if its conditions hold."""
        if isinstance(self.request, PutRequest):
            return (self.request,)
        if isinstance(self.request, TxnRequest):
            return tuple(each for each in self.request.success if isinstance(each, PutRequest))
        return ()


@dataclass(frozen=True, slots=True)
class WatchRecord:
    """One response of a watch."""

    received: float
    #: Where the watcher is complete, as the server says.
    revision: Revision
    events: tuple[Event, ...]


@dataclass(slots=True)
class WatchHistory:
    """Everything one watcher was given, across all its connections."""

    name: str
    prefix: bytes
    start_revision: Revision
    records: list[WatchRecord] = field(default_factory=list)
    #: Why the server ended it; "" = it did not.
    ended: str = ""

    @property
    def revision(self) -> Revision:
        """Up to where the watcher is complete."""
        before = self.start_revision - 1
        return max([before, *(record.revision for record in self.records[-1:])])


@dataclass(slots=True)
class History:
    """Every operation in the order of invocation, and every watch."""

    operations: list[Operation] = field(default_factory=list)
    watches: list[WatchHistory] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        return sum(each.outcome is outcome for each in self.operations)

    def first_seen(self) -> dict[Revision, float]:
        """Return when any watcher was the first to be given each revision."""
        seen: dict[Revision, float] = {}
        for watch in self.watches:
            for record in watch.records:
                for event in record.events:
                    revision = event.kv.mod_revision
                    seen[revision] = min(seen.get(revision, record.received), record.received)
        return seen


@dataclass(frozen=True, slots=True)
class LeaseLife:
    """What one client knows of a lease."""

    lease_id: LeaseID
    ttl: int
    #: (invoked, returned) of the grant and of every confirmed renewal.
    confirmed: tuple[tuple[float, float], ...]
    #: A revocation was asked for, whatever came of it.
    is_revoked: bool

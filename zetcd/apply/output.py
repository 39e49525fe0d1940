"""Responsible for what one call of the applier hands to its actor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from zetcd.messages.node import ApplyResults, MemberChanged, Origin, RevisionEvents
from zetcd.messages.raft import ConfChange
from zetcd.scalars import Revision


class ResultsDue(NamedTuple):
    """Results for a gateway of this node, to be sent after the commit."""

    origin: Origin
    results: ApplyResults
    #: Hold the results back until history before this revision is removed; 0 = send at once.
    compact_revision: Revision = 0


class ChangeDue(NamedTuple):
    """An answer to whoever asked this node for a membership change, to be sent after the commit."""

    origin: Origin
    changed: MemberChanged


@dataclass(slots=True)
class ApplyCounts:
    """How much was done; for status and metrics."""

    #: Entries that were executed.
    entries: int = 0
    #: Entries skipped because the store already held them.
    entries_skipped: int = 0
    #: Requests of all batches.
    requests: int = 0
    #: Requests answered with an error.
    errors: int = 0
    #: Changes of keys.
    events: int = 0
    #: Those that deleted a key.
    deletes: int = 0
    #: Transactions executed.
    txns: int = 0
    #: Leases granted, revoked (expired ones included), and expired.
    leases_granted: int = 0
    leases_revoked: int = 0
    leases_expired: int = 0


@dataclass(slots=True)
class ApplyOutput:
    """Everything that follows from one transaction; meant only after its commit."""

    #: In log order; only batches whose origin is on this node.
    results: list[ResultsDue] = field(default_factory=list)
    #: For watch, in revision order.
    revisions: list[RevisionEvents] = field(default_factory=list)
    #: Membership changes applied, in log order.
    conf_changes: list[ConfChange] = field(default_factory=list)
    #: Those of them that were asked for on this node.
    changes_due: list[ChangeDue] = field(default_factory=list)
    #: The member table has changed (membership or attributes).
    has_new_members: bool = False
    #: Revisions whose compaction was scheduled: call `Applier.compact_step` between batches until
    #: done.
    compactions: list[Revision] = field(default_factory=list)
    counts: ApplyCounts = field(default_factory=ApplyCounts)

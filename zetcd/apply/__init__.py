"""The state machine: executes the replicated log on keys, leases and members.

Pure: its tables are a `Backend`, time is an argument.

How it works
    `Applier.apply_entries` takes committed entries and executes them in one write transaction that
    also stores the index of the last one. A NORMAL entry holds a `ProposalBatch`: requests that one
    gateway collected. They run one after the other, each atomic with a revision of its own; one
    that fails changes nothing and does not disturb the next. What comes out: encoded answers for
    the gateways of this node, the changes for watch, membership changes for raft.

    Worked example: entry 7 of term 3 holds [put a=1, put a with an unknown lease, compaction at 9].

        before   consistent index 6, revision 4
        put      revision 5, record and index entry written     answer PutResponse(revision 5)
        put      lease unknown: nothing written                 answer LeaseNotFound, errors = (1,)
        compact  9 is in the future: nothing written            answer FutureRev, errors = (1, 2)
        commit   consistent index 7, applied term 3, revision 5: one transaction

    Whatever must be the same on every member follows from the log alone. What differs between
    members is never stored: who leads, when a lease expires, how far a compaction has come
    physically.

Errors
    Only errors with ``is_deterministic`` are answered. Anything else ends the process: this member
    might have come to another result than the others.

Files
    applier          entries → one transaction          tables           leases, members, identity
    batch_execution  requests, one by one               membership       what a conf change does
    lease_queries    keep-alive and time-to-live        lease_proposals  expiry and checkpoints
    output           what an actor gets back           alarms           what an alarm forbids

Not implemented
    The quota while applying (gateways look at it, refuse, and raise NOSPACE), authentication, snapshots.
    Revoking a lease deletes all its keys in one revision, as etcd does: a lease with very many keys holds
    up the batches behind it.
"""

from zetcd.apply.applier import Applier, ApplierOptions
from zetcd.apply.lease_proposals import LeaseProposalLimits, lease_proposals
from zetcd.apply.lease_queries import LeaseQueries, LeaseQueriesReady
from zetcd.apply.output import ApplyCounts, ApplyOutput, ResultsDue
from zetcd.apply.tables import Identity, adopt, initialise, load_conf_state, load_members

__all__ = [
    "Applier",
    "ApplierOptions",
    "ApplyCounts",
    "ApplyOutput",
    "Identity",
    "LeaseProposalLimits",
    "LeaseQueries",
    "LeaseQueriesReady",
    "ResultsDue",
    "adopt",
    "initialise",
    "lease_proposals",
    "load_conf_state",
    "load_members",
]

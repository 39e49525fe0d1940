"""Where clients meet the cluster: checks, batches, reads, and the table of who waits for what.

How it works
    A gateway turns many small requests into few messages of the node. Its core is without sockets
    and clocks: frames and messages go in, and once per turn `ready` says everything that must be
    sent. What collected during a turn leaves together, so that batches grow by themselves under
    load:

        mutations       → one proposal of all of them → raft; results come from apply, body by body,
                          and leave without having been decoded
        reads           → one ReadIndex for all of them → raft; then the store is read *here*, in
        one
                          short view, once it has the index: neither raft nor apply carries a value
        keep-alives     → one question for all of them → the leader's lessor
        watch frames    → watch and back, unread but for their outline

    `service` knows requests but no protocol; `native` knows the native protocol, and a gateway of
    another protocol would stand beside it.

Worked example
    100 clients put at the same time. The turn's 30 frames become one `Propose` of 30 requests; four such
    proposals may be on their way, then the next requests wait and form a larger batch. Apply
    answers each batch with 30 bodies; a header goes before each, and 30 frames leave. A get that
    came in between asks for the committed index, opens a view of the store, finds it applied, and
    reads.

    CPU of the gateway for one put: about 7 us in the core, 15 us with the sockets
    (bench/micro/gateway_put.py).

When something dies
    raft or apply   what was proposed gets "request timed out", ambiguous: it may have happened
    the leader      likewise, but only what its successor does not have, once that is known: a
    marker goes
                    through the next read round, and when apply says that the round's index is
                    applied, older proposals without a result will never get one
    watch           its successor is told of every watcher and where its client stands
    the gateway     clients reconnect; it keeps nothing worth saving

Files
    service           requests and their four ways    native/gateway        sessions, frames
    batching          mutations → proposals           native/session        one client
    read_rounds       reads → ReadIndex               native/replies        answers → frames
    serving           reads in bounded slices         native/watch_router   frames ↔ watch
    leader_questions  keep-alive, time-to-live        native/watch_streams  where a client stands
    checks, lease_ids, urls, pending, options

Not implemented
    Authentication and rate limits per user: every client may do everything (default-deny comes with
    the auth core). REDIRECT: a follower serves everything itself. Bounded work for sorted ranges
    and read-only transactions: they are read in one step, however large. The NOSPACE alarm: a full
    store refuses by itself and recovers by itself.
"""

from zetcd.gateway.options import GatewayOptions
from zetcd.gateway.service import Service
from zetcd.gateway.urls import all_urls, urls_of

__all__ = ["GatewayOptions", "Service", "all_urls", "urls_of"]

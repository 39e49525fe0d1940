r"""The fan-out of events: who watches what, who has seen how much, and what each is sent next.

How it works
    apply hands over every revision after its commit (`EventBatch`); the gateways hand over what
    clients say (`WatchForward`); the `Hub` turns both into encoded responses, `Delivery` by
    `Delivery`. It never waits. One turn is any number of `Hub.step` and then one `Hub.ready`,
    whose work is bounded.

    Each watcher is in one of three groups, as in etcd:

        synced     has everything up to the hub's revision; batches come to it from memory
        victim     its stream could not take a batch just now (no credit, or a gateway that takes
                   nothing); keeps that batch, for a second at most, so that a hiccup costs no read
        unsynced   keeps a position only; once its stream can be sent events, it reads the store by
                   revision, in rounds of at most 512 watchers and 1000 revisions

                   batch, stream can take it
                   +-----+
                   |     v      batch, stream cannot
      create --> [synced] ----------------------> [victim]
        |          ^  ^  \                          |  |
        |  caught  |  |   batches are missing       |  | too old, too much
        |    up    |  +-----------------------------+  |
        v          |              credit, up to date   v
        +-----> [unsynced] <---------------------------+
                   |
                   +--> canceled, if its position was compacted: never a silent skip

    So a client that stops reading costs itself: positions, and a bounded number of victims'
    batches. Its watchers are not even read for until it grants credit again.

    One event for many. Watchers of the same range share a `Span`, which finds them in one lookup
    (`watcher_group`), and those that also want the same form of events share its bytes
    (`response`): a response is a shared head and tail around a sequence and a watch id. Batches
    that arrive in one turn are merged, so under load a watcher gets fewer and larger responses.

    Missing batches. Revisions are numbered without gaps, so a gap between batches shows that some
    were lost with an incarnation of apply (or that a snapshot was installed): the synced watchers
    that may miss something become unsynced and read the store. The store may be ahead of the
    batches: whoever has read there has a ``next_revision`` beyond the hub's, and batches are
    skipped up to it.

    Restart. The hub keeps nothing on disk. When the watch actor restarts, each gateway registers
    its streams again (`WatchRegister`) with the next sequence, the open credit and each watcher's
    next revision, and clients notice nothing.

Worked example
    Watcher 0 watches the prefix "a" from now on; the store is at revision 4.

    >>> from random import Random
    >>> from zetcd.messages.codec import decoder_of
    >>> from zetcd.messages.kv import Event, EventType, KeyValue
    >>> from zetcd.messages.node import EventBatch, RevisionEvents, WatchForward
    >>> from zetcd.messages.watch import WatchCreateRequest, WatchResponse
    >>> from zetcd.watch import Hub, WatchOptions
    >>> class Empty:
    ...     current_revision, compact_revision = 4, 0
    >>> hub = Hub(Empty(), Random(1), WatchOptions())
    >>> hub.resynchronise()
    >>> hub.step(WatchForward(7, WatchCreateRequest(1, b"a", b"b")))
    >>> put = Event(EventType.PUT, KeyValue(b"ab", 5, 5, 1, b"x"))
    >>> hub.step(EventBatch((RevisionEvents(5, (put,)),), 5, 0, raft_term=2))
    >>> hub.set_room(0, 1 << 20)
    >>> (delivery,) = hub.ready(now=0.0)
    >>> decode = decoder_of(WatchResponse).decode
    >>> [(r.sequence, r.created, r.header.revision, len(r.events))
    ...  for r in (decode(body) for _, body in delivery.bodies)]
    [(1, True, 4, 0), (2, False, 5, 1)]

What etcd does differently
    etcd sleeps 100 ms between rounds for unsynced watchers; here a round follows as long as
    someone can be sent something. etcd sends a catch-up response with the store's revision in the
    header even if more is to follow; here the header says up to where the watcher is complete. A
    key that is empty with an empty range_end stands for the whole keyspace.

Not implemented
    Permission checks (the gateway makes them, with `watched_range`). Limits on streams and
    watchers per session (the gateway's). Cutting streams when the leader is lost (`hasleader`).
"""

from zetcd.watch.history import History
from zetcd.watch.hub import Hub, HubMessage, RandomSource
from zetcd.watch.options import WatchOptions
from zetcd.watch.stream import Delivery
from zetcd.watch.watcher import KeyRange, watched_range

__all__ = [
    "Delivery",
    "History",
    "Hub",
    "HubMessage",
    "KeyRange",
    "RandomSource",
    "WatchOptions",
    "watched_range",
]

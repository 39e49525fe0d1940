r"""The etcd v3 API: every call of etcd's clients becomes a request of the gateway's core, and back.

How it works
    Two things come in: calls from the gRPC transport (`zetcd.gateway.grpc`) and messages of the
    node. Both are pure data, and so is everything between them. A call is parsed with protobuf,
    translated into the same requests that the native protocol has, and handed to the gateway's
    `Service`, which batches, checks and reads for both protocols alike:

        octets ─► Call ─► pb.PutRequest ─► PutRequest ─► Service ─► Propose  ─► raft … apply
        octets ◄─ answer ◄─ pb.PutResponse ◄─ PutResponse ◄─ replies ◄─ ApplyResults ◄─┘

    All calls of one turn of the event loop are one batch: their puts one proposal, their reads one
    ReadIndex.

    Calls of the JSON gateway (`zetcd.gateway.http`) are protobuf by the time they come here. Their tokens
    say where the answers go; nothing else tells them from calls over gRPC.

Worked example
    A client puts "a" = "1". The transport has recognised the header block and yields
    ``Call(token=7, head(Put), b"\n\x01a\x12\x011")``. `unary` knows how Put is read and who takes its
    answer; a `Pending` with the token as its id joins the turn's proposal. When apply answers,
    `replies` finds the pending by its batch, `responses` makes a header of it (a put without
    prev_kv is nothing else: revision and term, with the ids of this member), and
    ``transport.answer(7, …)`` ends the call.

Four kinds of call
    one request         `unary`: most methods; `ranges` for lists of any size
    a stream            `watch_calls` (one session of the watch actor for each call), `keep_alives`
    several steps       `recipes`: locks and elections as generators that yield requests and waits
    none                `local_answers`: health, what is disabled, what is absent

What a slow client costs
    Itself. Streams keep what finds no room in `outbox`; a watch is granted credit only as it is
    sent, a list is read only as fast as it leaves, and keep-alives are not read on.

When something dies
    As in the native gateway. Streams of clients stay open over a restart of watch; only those in the
    middle of a revision end with UNAVAILABLE, and etcd's clients resume by themselves.

Files
    gateway         events and messages in          requests, responses   protobuf ↔ ours
    methods, unary  which method is what            statuses              errors → codes and texts
    replies         open requests                   lock, election        recipes
    outbox          what clients do not read        watch_responses       events, translated once
    json_paths      which path is which call        endpoints             version, health, readiness
    call_transport  gRPC and JSON, answered alike

Not implemented
    Users and roles answer UNIMPLEMENTED (see `local_answers`). Hash is the hash of the history, as
    HashKV. RangeStream does not sort. The texts of zetcd's own errors are zetcd's. Metadata that
    carries a token is ignored: there are no users yet.
"""

from zetcd.gateway.etcd.gateway import EtcdGateway, EtcdReady, transport_options

__all__ = ["EtcdGateway", "EtcdReady", "transport_options"]

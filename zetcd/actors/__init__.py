"""The actors: one OS process, one thread, one poll loop, one inbox each.

How it works
    An actor connects one pure core to its mailbox, its files and its sockets. It decides nothing about
    the protocol: it drains its inbox, steps the core with each message, asks the core once for everything
    to do, and does it in the documented order (`actor.Actor.turn`).

    raft       consensus; nothing may block it: no disk, no LMDB, no payload decoding
    wal        the log on disk; only fdatasync blocks it
    apply      the one LMDB writer, with the lessor; only LMDB page work blocks it
    watch      fan-out of events; only slow consumers concern it, and they cost only themselves
    gateway    clients of the native protocol; reads LMDB itself

Worked example
    A put goes client → gateway → raft → (wal and peers at the same time) → raft → apply → gateway → client.
    With 100 clients one turn of the gateway collects about 30 puts into one proposal, one log entry, one
    pwrite, one fdatasync and one LMDB transaction.

Not implemented
    The snapshot actor: the log is kept whole and a follower always catches up from it.
"""

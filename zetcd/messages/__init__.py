"""The messages of zetcd: everything that crosses a process boundary, and nothing else.

How it works
    Each message is a frozen `msgspec` struct, encoded as a MessagePack array whose first element is the
    struct's integer tag. A mailbox has one typed decoder for the union of what it may receive; decoding
    is validation, and what does not fit raises `msgspec.ValidationError`.

The map (sender → receiver: messages)
    client  → gateway     frames of `client`: requests of `kv`, `lease`, `watch`, `cluster`
    gateway → raft        Propose, ReadIndex, LeaderRequest, TransferLeader, RaftStatusRequest
    gateway → apply       ApplyWait
    gateway → watch       WatchForward, WatchSessionClosed
    raft    → raft        the peer messages of `raft`; LeaderQuery, LeaderAnswer, PeerRejected
    snapshot → raft → raft → snapshot  HashQuery, HashAnswer, between members
    snapshot → raft       Propose
    raft    → wal         StorageAppend, LogRead, LogRelease, MemberTable, LivenessQuery
    wal     → raft        WalState, Appended, LogReadResp, LivenessAnswer; AppendResp, VoteResp to other members
    wal     → raft, snapshot  CheckpointMarked
    wal     → snapshot    LogSize
    snapshot → wal        CheckpointMark, CheckpointsKept
    raft    → apply       StorageApply, LeaderQuery, LeaderInfo, LivenessQuery
    apply   → raft        ApplyState, Applied, Propose, LeaderAnswer, LivenessAnswer
    apply   → gateway     ApplyResults, ApplyReached
    apply   → watch       EventBatch
    watch   → gateway     WatchDelivery
    watch   → apply, raft  WatchInterest
    raft    → everybody   LeaderInfo
    everybody ↔ supervisor  ActorReport, Drained; Shutdown, ActorGone

    `docs/messages.md` says for each what order, durability and loss it promises.

Worked example
    A put of "a" = "1" on the wire, after the 16-byte frame header:

    >>> from zetcd.messages.codec import encode
    >>> from zetcd.messages.kv import PutRequest
    >>> encode(PutRequest(b"a", b"1")).hex(" ")
    '97 02 c4 01 61 c4 01 31 00 c2 c2 c2'

    an array of seven: tag 2, then key, value, lease, prev_kv, ignore_value, ignore_lease.

Tags
    1-63 requests of clients · 64-119 their responses · 120-129 session frames · 130-149 raft peers ·
    150-169 storage · 170-255 within the node. A tag is never reused; `codec.TAGS` is the registry.

Not implemented
    Compression, and separate raw frames for large values: a message is one ZeroMQ frame.
"""

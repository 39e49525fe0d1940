"""Responsible for what is said about checkpoints: making them, marking them, and sending them to a peer.

A checkpoint is a file that holds the whole state machine at one applied index. It counts from the
moment its mark is durable in the log. The same file is what a lagging peer fetches as a snapshot
(Raft §7), over a connection of its own, so that heartbeats never wait for it.
"""

from __future__ import annotations

from zetcd.messages.base import Message
from zetcd.messages.raft import InstallSnapshot, SnapshotMetadata
from zetcd.scalars import Index, NodeID

# --- within a node ------------------------------------------------------------------------------


class LogSize(Message, frozen=True, tag=220):
    """wal → snapshot, at intervals: how much a restart would have to replay."""

    #: Last durable index.
    last_index: Index
    #: Index of the newest checkpoint mark; 0 = none.
    marked_index: Index
    #: Bytes written to the log since that mark.
    bytes_since_mark: int


class CheckpointMark(Message, frozen=True, tag=221):
    """snapshot → wal: this checkpoint is durable; write its mark as soon as the log reaches it."""

    snapshot: SnapshotMetadata


class CheckpointMarked(Message, frozen=True, tag=222):
    """wal → snapshot and raft: the mark is durable; the log now begins at ``first_index``.

    To raft again when segments have gone.
    """

    snapshot: SnapshotMetadata
    first_index: Index


class CheckpointsKept(Message, frozen=True, tag=235):
    """snapshot → wal: a restart may need the log above ``index``.

    As many checkpoints as are to be kept are there, marked, and the oldest of them is at ``index``;
    0 = there are fewer, and the log must stay whole.
    """

    index: Index


class LogRelease(Message, frozen=True, tag=236):
    """raft → wal: raft and the other members can do without the log up to ``index``; it only rises."""

    index: Index


class SnapshotServer(Message, frozen=True, tag=223):
    """snapshot → raft: where peers fetch checkpoints of this member."""

    urls: tuple[str, ...]


class SnapshotFetch(Message, frozen=True, tag=224):
    """raft → snapshot: a leader offers a snapshot; fetch it, unless it is here or on its way."""

    offer: InstallSnapshot


class SnapshotFetched(Message, frozen=True, tag=225):
    """snapshot → raft: the offered snapshot is here, verified and durable; or why it is not."""

    offer: InstallSnapshot
    #: Empty = it is here.
    error: str = ""


class SnapshotLoad(Message, frozen=True, tag=226):
    """raft → apply: become this snapshot before anything that follows it."""

    snapshot: SnapshotMetadata


# --- between nodes, on the connection for snapshots ---------------------------------------------------


class SnapshotRequest(Message, frozen=True, tag=227):
    """Receiver → sender: send me ``length_max`` bytes of this checkpoint from ``offset``."""

    cluster_id: int
    #: Who asks.
    node_id: NodeID
    index: Index
    term: int
    offset: int
    length_max: int


class SnapshotChunk(Message, frozen=True, tag=228):
    """Sender → receiver: bytes of the file. The same file always has the same ``digest``."""

    index: Index
    term: int
    offset: int
    #: Bytes of the whole file.
    length_total: int
    #: SHA-256 of the whole file: names the file, so that an interrupted transfer can be resumed.
    digest: bytes
    body: bytes


class SnapshotRefused(Message, frozen=True, tag=229):
    """Sender → receiver: I do not have it (any more), or you are not of this cluster."""

    index: Index
    term: int
    reason: str

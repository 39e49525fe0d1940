"""Responsible for what the actors of one node say to each other, apart from raft's storage messages.

Each of these travels in an envelope (`zetcd.runtime.mailbox`) that carries the sender's role, instance
and incarnation and the receiver's incarnation, so that nothing meant for, or sent by, a dead
incarnation is ever acted upon.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from zetcd.messages.base import Message
from zetcd.messages.client import WatchRequest
from zetcd.messages.cluster import AlarmRequest, Member, PublishRequest
from zetcd.messages.kv import (
    CompactionRequest,
    DeleteRangeRequest,
    Event,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from zetcd.messages.lease import (
    LeaseCheckpointRequest,
    LeaseExpireRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
)
from zetcd.messages.raft import ConfChange, EntryType
from zetcd.messages.watch import WatchCreateRequest, WatchCredit
from zetcd.scalars import Index, NodeID, RequestID, Revision, Term, WatchID


class ActorRole(IntEnum):
    """Kind of an actor process; with its instance number, its address within the node."""

    SUPERVISOR = 0
    RAFT = 1
    WAL = 2
    APPLY = 3
    WATCH = 4
    GATEWAY = 5
    ETCD_GATEWAY = 6
    SNAPSHOT = 7
    PEER_TLS = 8


class Role(IntEnum):
    """Raft role of a member."""

    FOLLOWER = 0
    PRE_CANDIDATE = 1
    CANDIDATE = 2
    LEADER = 3


class Hello(Message, frozen=True, tag=170):
    """Any actor → each neighbour, when it starts or learns of the neighbour's new incarnation.

    The envelope says who. Receiving one with a new incarnation means: whatever I sent before is lost;
    start the resync of this pair.
    """


# --- proposals and reads -----------------------------------------------------------------------


class Propose(Message, frozen=True, tag=171):
    """gateway or apply → raft: append this to the log. Answered by apply, or by `ProposeRefused`."""

    #: Unique per sender incarnation.
    batch_id: RequestID
    #: An encoded `ProposalBatch` (NORMAL) or `ConfChange`.
    data: bytes
    entry_type: EntryType = EntryType.NORMAL


class ProposeRefused(Message, frozen=True, tag=172):
    """raft → proposer: not appended anywhere; safe to try again."""

    batch_id: RequestID
    #: `zetcd.errors` number.
    error: int


class ReadIndex(Message, frozen=True, tag=173):
    """gateway → raft: confirm leadership with a quorum and tell me the committed index (Raft §8)."""

    request_id: RequestID


class ReadIndexResult(Message, frozen=True, tag=174):
    """raft → gateway: a read that waits for ``index`` to be applied is linearizable."""

    request_id: RequestID
    index: Index
    #: `zetcd.errors` number; 0 = none.
    error: int = 0


class ApplyWait(Message, frozen=True, tag=175):
    """gateway → apply: tell me when ``index`` is applied (asked only if LMDB is not yet there)."""

    index: Index


class Defragment(Message, frozen=True, tag=231):
    """gateway → apply: replace the store's file by one without free pages."""

    request_id: int


class Defragmented(Message, frozen=True, tag=232):
    """apply → gateway: answers `Defragment`."""

    request_id: int
    #: Why it was given up; empty = it is done.
    failure: str = ""


class SnapshotRead(Message, frozen=True, tag=233):
    """gateway → snapshot: the next part of a snapshot that a client saves; id 0 makes a new one."""

    request_id: int
    snapshot_id: int
    offset: int


class SnapshotPart(Message, frozen=True, tag=234):
    """snapshot → gateway: answers `SnapshotRead`."""

    request_id: int
    snapshot_id: int
    #: Bytes of the whole file, the digest at its end included.
    total_bytes: int = 0
    blob: bytes = b""
    #: Why there is none; empty = there is.
    failure: str = ""


class StoreReplaced(Message, frozen=True, tag=230):
    """apply → whoever reads the store: it is in another file now, with the same content; open it anew."""


class ApplyReached(Message, frozen=True, tag=176):
    """apply → gateway: answers `ApplyWait`; ``index`` is the applied index, at least the one asked for."""

    index: Index


Proposal = (
    PutRequest
    | DeleteRangeRequest
    | TxnRequest
    | CompactionRequest
    | LeaseGrantRequest
    | LeaseRevokeRequest
    | LeaseExpireRequest
    | LeaseCheckpointRequest
    | PublishRequest
    | RangeRequest
    | AlarmRequest
)


class Origin(Message, frozen=True):
    """Who waits for the results of a batch; nobody, if that incarnation is gone."""

    node_id: NodeID
    role: ActorRole
    instance: int
    incarnation: int


class ProposalBatch(Message, frozen=True):
    """Data of a NORMAL log entry: the mutations that one gateway collected in one turn.

    Executed one after the other, each atomic with its own revision; the batch is one LMDB transaction.
    """

    origin: Origin
    batch_id: RequestID
    requests: tuple[Proposal, ...]


class RawProposalBatch(Message, frozen=True):
    """`ProposalBatch` as the gateway builds it: the requests are the validated bytes of the clients."""

    origin: Origin
    batch_id: RequestID
    requests: tuple[msgspec.Raw, ...]


class ApplyResults(Message, frozen=True, tag=177):
    """apply → the origin of a batch: one encoded response for each request, in order."""

    batch_id: RequestID
    #: Encoded `UnaryResponse`, or `ErrorBody` at the ``errors`` positions.
    bodies: tuple[msgspec.Raw, ...]
    #: Positions in ``bodies`` that are errors, ascending.
    errors: tuple[int, ...] = ()


class LeaderRequest(Message, frozen=True, tag=178):
    """gateway → raft: questions that only the leader's lessor may answer (keep-alive, time-to-live)."""

    request_id: RequestID
    #: Encoded ``tuple[LeaseKeepAliveRequest | LeaseTimeToLiveRequest, ...]``.
    body: bytes


class LeaderQuery(Message, frozen=True, tag=179):
    """raft → raft of the leader (peer link) → its apply, once leadership is confirmed."""

    origin: Origin
    request_id: RequestID
    body: bytes
    #: Answer only once this index is applied, and only as leader of ``term``.
    read_index: Index = 0
    term: Term = 0


class LeaderAnswer(Message, frozen=True, tag=180):
    """apply of the leader → raft → raft of the origin → the gateway that asked."""

    origin: Origin
    request_id: RequestID
    #: Encoded ``tuple[Raw, ...]``, one response or `ErrorBody` per question; empty if ``error``.
    body: bytes
    #: `zetcd.errors` number for the whole request; 0 = none.
    error: int = 0


class LeaderInfo(Message, frozen=True, tag=181):
    """raft → every actor of the node: who leads, on every change and on `Hello`."""

    term: Term
    #: 0 = no leader known.
    leader: NodeID
    role: Role
    is_learner: bool = False


class TransferLeader(Message, frozen=True, tag=182):
    """gateway or supervisor → raft: hand leadership to ``target_id`` (0 = the most up-to-date voter)."""

    target_id: NodeID = 0


class RaftStatusRequest(Message, frozen=True, tag=183):
    """anyone → raft."""

    request_id: RequestID


class RaftStatus(Message, frozen=True, tag=184):
    """raft → whoever asked."""

    request_id: RequestID
    node_id: NodeID
    term: Term
    leader: NodeID
    role: Role
    committed: Index
    applied: Index
    last_index: Index
    #: (peer id, match index, recently active) of each other member; empty unless leader.
    progress: tuple[tuple[NodeID, Index, bool], ...] = ()
    is_learner: bool = False


# --- comparison of histories between members --------------------------------------------------------


class HashQuery(Message, frozen=True, tag=211):
    """snapshot of the leader → raft → raft of ``to`` (peer link) → its snapshot: hash your history.

    Repeated until it is answered; the same round asked for again starts nothing anew. Lost: repeated.
    """

    sender: NodeID
    to: NodeID
    #: Unique among all incarnations of the sender.
    round_id: RequestID
    #: Up to this revision.
    revision: Revision


class HashProgress(IntEnum):
    """How far the answer to a `HashQuery` is."""

    #: Being computed.
    WORKING = 0
    #: The revision is not there yet.
    BEHIND = 1
    DONE = 2
    #: The revision is not there any more.
    COMPACTED = 3


class HashAnswer(Message, frozen=True, tag=212):
    """snapshot of ``sender`` → raft → raft of ``to`` (peer link) → its snapshot: answers each `HashQuery`."""

    sender: NodeID
    to: NodeID
    round_id: RequestID
    progress: HashProgress
    #: HashKV of the history, if ``progress`` is DONE.
    hash: int = 0
    #: Compact revision that the hash was made with; only hashes with the same one can be compared.
    compact_revision: Revision = 0


class MemberTable(Message, frozen=True, tag=209):
    """apply → raft and gateways: the membership, on `Hello` and after every change; sorted by id."""

    members: tuple[Member, ...]
    #: Those that were removed, as they were then; their ids never come back.
    removed: tuple[Member, ...] = ()


# --- changes of the membership -----------------------------------------------------------------------


class ChangeMember(Message, frozen=True, tag=215):
    """gateway → raft → raft of the leader (peer link): check this change, and append it to the log.

    Answered by `ChangeMemberRefused`, or by `MemberChanged` of the origin's apply. Lost: the request's
    deadline decides, its outcome is unknown.
    """

    origin: Origin
    request_id: RequestID
    #: Names ``origin`` and ``request_id`` as well: it is what every apply will see.
    change: ConfChange


class ChangeMemberRefused(Message, frozen=True, tag=216):
    """raft of the leader → raft of the origin → gateway: not appended anywhere."""

    origin: Origin
    request_id: RequestID
    #: `zetcd.errors` number.
    error: int
    detail: str = ""


class MemberChanged(Message, frozen=True, tag=217):
    """apply → gateway of the origin: a change that it asked for is applied."""

    request_id: RequestID
    #: Afterwards; sorted by id.
    members: tuple[Member, ...]


class PeerIntroduction(Message, frozen=True, tag=218):
    """raft → raft of another member (peer link) that does not answer: this is where I am reached.

    A member that was down while the membership changed may not know who leads it, or where; it could not
    answer, and so never catch up.
    """

    sender: NodeID
    peer_urls: tuple[str, ...]


class MembersQuery(Message, frozen=True, tag=205):
    """a node that is about to join → raft of any member (peer link): who are you all?

    Names no cluster and no member: the sender knows neither yet.
    """

    #: Where the answer is to be sent: the peer URLs of the sender.
    peer_urls: tuple[str, ...]


class MembersAnswer(Message, frozen=True, tag=206):
    """raft of a member → the node that asked."""

    cluster_id: int
    #: Of the member that answers.
    sender: NodeID
    #: Log index up to which ``members`` is current; of two answers the one with the higher counts.
    applied_index: Index
    members: tuple[Member, ...]
    #: Of the etcd API that the member serves, ``major.minor.patch``; empty: it does not say.
    version: str = ""


# --- watch -----------------------------------------------------------------------------------------


class RevisionEvents(Message, frozen=True):
    """All events of one revision, in sub-revision order."""

    revision: Revision
    events: tuple[Event, ...]


class EventBatch(Message, frozen=True, tag=190):
    """apply → watch: what one LMDB transaction changed, in revision order, after its commit.

    The first one, empty, goes to every new incarnation of watch: by then the store is what it should
    be, and watch may open it.
    """

    revisions: tuple[RevisionEvents, ...]
    current_revision: Revision
    compact_revision: Revision
    raft_term: Term


class WatchInterest(Message, frozen=True, tag=210):
    """watch → apply and raft: whether there is any watcher.

    Without one apply sends no `EventBatch`, and raft need not hear of every commit at once. Not said by
    a new incarnation: no interest. Apply answers new interest with an empty `EventBatch`, whose
    revision is where the events go on; what came before is read from LMDB.
    """

    is_wanted: bool


class WatchForward(Message, frozen=True, tag=191):
    """gateway → watch: what a client said on a watch stream, in order."""

    session_id: int
    request: WatchRequest | WatchCredit


class WatchResume(Message, frozen=True):
    """One watcher that an earlier incarnation of watch served."""

    #: As the client sent it; the ``watch_id`` beside it, not the one inside, is the watcher's.
    create: WatchCreateRequest
    watch_id: WatchID
    #: The first revision not yet delivered: one more than the revision in the header of the watcher's
    #: last response with events, or of a later progress notification to it or to its stream (at
    #: least ``create.start_revision``; with start 0, one more than in the ``created`` response).
    next_revision: Revision


class WatchRegister(Message, frozen=True, tag=208):
    """gateway → watch, for each stream, first thing after the `Hello` of a new incarnation of watch.

    The stream goes on where it was: nothing is answered, no second ``created`` is sent. Requests that
    were never answered (creates and cancels) follow as `WatchForward`, then new ones.
    """

    session_id: int
    stream_id: int
    #: One more than the sequence of the stream's last response.
    next_sequence: int
    #: Credit granted, the initial one included, minus what was delivered; may be negative.
    credit_messages: int
    credit_bytes: int
    watchers: tuple[WatchResume, ...] = ()


class WatchSessionClosed(Message, frozen=True, tag=192):
    """gateway → watch: the client is gone, forget its streams."""

    session_id: int


class WatchDelivery(Message, frozen=True, tag=193):
    """watch → gateway: encoded `WatchResponse` bodies for one client, in order."""

    session_id: int
    #: (stream id, body).
    bodies: tuple[tuple[int, bytes], ...]


# --- supervision -----------------------------------------------------------------------------------


class Figure(Message, frozen=True):
    """One number that monitoring may want; what it means is in `zetcd.metrics.definitions`."""

    name: str
    #: Of a histogram: the sum of what was observed.
    value: float
    #: Values of the labels, in the order of the definition.
    labels: tuple[str, ...] = ()
    #: Observations of a histogram by bucket, the last above all bounds; empty = no histogram.
    counts: tuple[int, ...] = ()


class ActorReport(Message, frozen=True, tag=200):
    """actor → supervisor: I am alive, every report interval; silence is how a stuck actor is found."""

    pid: int
    #: The actor has finished its resync and does its work.
    is_ready: bool
    #: Short "key=value" texts for status, sorted by key; numbers as decimal text.
    facts: tuple[tuple[str, str], ...] = ()
    #: For /metrics; counted since this incarnation began.
    figures: tuple[Figure, ...] = ()


class FiguresRequest(Message, frozen=True, tag=240):
    """etcd gateway → supervisor: somebody reads /metrics."""

    request_id: RequestID


class NodeFigures(Message, frozen=True, tag=241):
    """supervisor → etcd gateway: the newest figures of every actor, and those of their processes."""

    request_id: RequestID
    #: Of several actors; the same name and labels may come more than once.
    figures: tuple[Figure, ...]


class Shutdown(Message, frozen=True, tag=201):
    """supervisor → actor: finish what was accepted, then exit 0."""

    drain_seconds: float = 1.0


class Drained(Message, frozen=True, tag=202):
    """actor → supervisor: I have nothing left to do."""


class ActorGone(Message, frozen=True, tag=203):
    """supervisor → actors: a neighbour died; its next incarnation will say `Hello`."""

    role: ActorRole
    instance: int
    incarnation: int


class PeerRejected(Message, frozen=True, tag=204):
    """raft → raft of another node (peer link): I do not accept your messages, and why."""

    reason: str
    #: `zetcd.errors` number; 0 = none.
    error: int = 0


#: Peer link, beside the raft messages proper.
PeerControl = (
    LeaderQuery
    | LeaderAnswer
    | PeerRejected
    | HashQuery
    | HashAnswer
    | ChangeMember
    | ChangeMemberRefused
    | PeerIntroduction
)

#: What a node that is about to join and a member say to each other.
PeerJoin = MembersQuery | MembersAnswer

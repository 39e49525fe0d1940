"""Responsible for what becomes of a request, whatever protocol it came in: the gateway's core.

A request is checked, then takes one of four ways:

    mutation        → `ProposalQueue` → raft → log → apply → its result
    read            → `ReadRounds` (unless serializable) → `ReadServer` → answered from the store
    lease question  → `LeaderQuestions` → the leader's lessor
    anything else   → answered here, perhaps after a question to raft

Nothing here waits or has side effects: messages to raft and apply collect in `to_raft` and
`to_apply`, answers in the `Replies` of the protocol.

Invariants
    - Every request that `submit` takes is answered: at the latest, by a timeout.
    - A mutation whose outcome cannot be known is answered with an AMBIGUOUS error, never retried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from zetcd.apply.alarms import alarm_text
from zetcd.errors import (
    BadLeaderTransferee,
    DefragmentFailed,
    NoLeader,
    NoSpace,
    NotLeader,
    NotSupportedForLearner,
    RequestTooLarge,
    SnapshotUnavailable,
    Stopped,
    Timeout,
    TimeoutDueToLeaderFail,
    TimeoutLeaderTransfer,
    TimeoutWaitAppliedIndex,
    UnknownOutcome,
    ZetcdError,
)
from zetcd.gateway import checks
from zetcd.gateway.batching import ProposalQueue
from zetcd.gateway.leader_questions import LeaderQuestions
from zetcd.gateway.lease_ids import LeaseIDs
from zetcd.gateway.member_changes import MemberChanges
from zetcd.gateway.options import GatewayOptions
from zetcd.gateway.pending import Pending, Replies, begun_nothing
from zetcd.gateway.read_rounds import ReadRounds
from zetcd.gateway.serving import ReadServer
from zetcd.messages.base import Message
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmMember,
    AlarmRequest,
    AlarmType,
    DefragmentRequest,
    DefragmentResponse,
    HashKVRequest,
    MemberAddRequest,
    MemberListRequest,
    MemberListResponse,
    MemberPromoteRequest,
    MemberRemoveRequest,
    MemberUpdateRequest,
    MoveLeaderRequest,
    MoveLeaderResponse,
    SnapshotReadRequest,
    SnapshotReadResponse,
    StatusRequest,
    StatusResponse,
)
from zetcd.messages.kv import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    ResponseHeader,
    TxnRequest,
)
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseLeasesRequest,
    LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
)
from zetcd.messages.node import (
    ApplyReached,
    ApplyResults,
    ApplyWait,
    ChangeMember,
    ChangeMemberRefused,
    Defragment,
    Defragmented,
    Figure,
    LeaderAnswer,
    LeaderInfo,
    LeaderRequest,
    MemberChanged,
    MemberTable,
    Propose,
    ProposeRefused,
    RaftStatus,
    RaftStatusRequest,
    ReadIndex,
    ReadIndexResult,
    Role,
    SnapshotPart,
    SnapshotRead,
    TransferLeader,
)
from zetcd.metrics import figure
from zetcd.mvcc.backend import Backend, BackendSize
from zetcd.scalars import RequestID, Revision
from zetcd.version import STORAGE_VERSION

#: Timeouts are looked for no more often than this: a scan costs a look at every waiting request.
EXPIRY_GRAIN_SECONDS: Final = 0.02
#: How often the size of the store is looked up for the quota.
SIZE_INTERVAL_SECONDS: Final = 0.25
#: A question to raft without an answer is asked again.
STATUS_RESEND_SECONDS: Final = 0.5
#: A size older than this is looked up again before a request is refused because of it.
SIZE_DOUBT_SECONDS: Final = 0.02
#: The alarm of a full store is proposed at most this often; it may be lost, or on its way.
ALARM_INTERVAL_SECONDS: Final = 0.5

ToRaft = Propose | ReadIndex | LeaderRequest | TransferLeader | RaftStatusRequest | ChangeMember


#: Questions to apply, and those to snapshot.
ToApply = ApplyWait | Defragment | SnapshotRead


class _Barrier(Message, frozen=True):
    """Marks the point of a read round after which proposals older than ``term`` are lost."""

    term: int


class Service:
    """The requests of one gateway; see the module."""

    def __init__(
        self, options: GatewayOptions, replies: Replies, *, awaits_leader: bool = False
    ) -> None:
        """Start without a leader, members and a store; for ``awaits_leader`` see `ProposalQueue`."""
        self._options = options
        self._backend: Backend | None = None
        self._replies = replies
        self._proposals = ProposalQueue(options, replies, awaits_leader=awaits_leader)
        self._rounds = ReadRounds(options.limits.read_retry_interval)
        self._questions = LeaderQuestions(replies)
        self._reads = ReadServer(options, replies)
        self._changes = MemberChanges(options, replies)
        self._lease_ids = LeaseIDs(options.node_id, options.incarnation)
        self._info = LeaderInfo(0, 0, Role.FOLLOWER)
        #: When a known leader was last lost.
        self._leader_lost_at = float("-inf")
        self._members = MemberTable(())
        self._statuses: list[Pending] = []
        self._status_ask_at = float("inf")
        self._moves: list[Pending] = []
        self._last_status_id = 0
        self._next_expiry = float("inf")
        self._used_bytes = 0
        self._size_at = float("-inf")
        #: Bytes of a request that was refused for want of room, 0 = none; and when the alarm may be proposed.
        self._refused_bytes = 0
        self._alarm_at = float("-inf")
        self._is_draining = False
        self.to_raft: list[ToRaft] = []
        self._defragments: dict[int, Pending] = {}
        self._last_defragment_id = 0
        self._snapshot_reads: dict[int, Pending] = {}
        self._last_snapshot_read_id = 0
        self.to_apply: list[ToApply] = []
        self._handlers: dict[type[Message], Callable[[Pending, int], None]] = {
            PutRequest: self._put,
            DeleteRangeRequest: self._mutate,
            TxnRequest: self._txn,
            CompactionRequest: self._mutate,
            LeaseGrantRequest: self._lease_grant,
            LeaseRevokeRequest: self._mutate,
            RangeRequest: self._range,
            MemberListRequest: self._member_list,
            LeaseLeasesRequest: self._linearizable,
            HashKVRequest: self._local,
            LeaseKeepAliveRequest: self._question,
            LeaseTimeToLiveRequest: self._question,
            StatusRequest: self._status,
            MoveLeaderRequest: self._move_leader,
            AlarmRequest: self._alarm,
            MemberAddRequest: self._change_member,
            MemberRemoveRequest: self._change_member,
            MemberUpdateRequest: self._change_member,
            MemberPromoteRequest: self._change_member,
            DefragmentRequest: self._defragment,
            SnapshotReadRequest: self._read_snapshot,
        }

    # --- requests -------------------------------------------------------------------------------

    def submit(self, pending: Pending, body_bytes: int) -> None:
        """Take a decoded request of ``body_bytes``; the answer comes through `Replies`.

        Raises:
            ZetcdError: it is refused, and nothing was done.
        """
        if self._is_draining:
            raise begun_nothing(Stopped("the member is stopping"))
        if body_bytes > self._options.request_bytes_max:
            raise RequestTooLarge(
                f"{body_bytes} bytes, at most {self._options.request_bytes_max} are allowed"
            )
        self._handlers[type(pending.request)](pending, body_bytes)
        self._next_expiry = min(self._next_expiry, pending.deadline)

    def submit_inside(self, pending: Pending) -> None:
        """Take a read of the gateway itself, which a learner serves too (etcd: health checks).

        Raises:
            ZetcdError: it is refused.
        """
        if self._is_draining:
            raise begun_nothing(Stopped("the member is stopping"))
        if cast(RangeRequest, pending.request).serializable:
            self._reads.add(pending)
        else:
            self._rounds.add(pending)
        self._next_expiry = min(self._next_expiry, pending.deadline)

    def _put(self, pending: Pending, body_bytes: int) -> None:
        request = cast(PutRequest, pending.request)
        checks.check_put(request)
        cost_bytes = checks.PUT_COST_BYTES + len(request.key) + len(request.value)
        self._check_quota(cost_bytes, pending.started)
        self._propose(pending, body_bytes)

    def _mutate(self, pending: Pending, body_bytes: int) -> None:
        checks.check_request(pending.request)
        self._propose(pending, body_bytes)

    def _txn(self, pending: Pending, body_bytes: int) -> None:
        request = cast(TxnRequest, pending.request)
        checks.check_txn(request, self._options.txn_ops_max, self._options.limits.txn_depth_max)
        if not checks.is_read_only(request):
            self._check_quota(checks.txn_cost_bytes(request), pending.started)
            self._propose(pending, body_bytes)
        elif checks.is_serializable(request) and not self._is_ahead(
            checks.newest_revision(request)
        ):
            self._reads.add(pending)
        else:
            self._linearizable(pending, body_bytes)

    def _lease_grant(self, pending: Pending, body_bytes: int) -> None:
        request = cast(LeaseGrantRequest, pending.request)
        checks.check_lease_grant(request)
        self._check_quota(checks.LEASE_COST_BYTES, pending.started)
        ttl = max(request.ttl, self._options.lease_ttl_seconds_min)
        if request.id == 0 or ttl != request.ttl:
            pending.request = LeaseGrantRequest(ttl, request.id or self._lease_ids.take())
        self._propose(pending, body_bytes)

    def _check_quota(self, cost_bytes: int, now: float) -> None:
        """Refuse what would grow a full store, and see to it that every member does so too.

        Unlike in etcd, used pages are counted and not the size of the file: compaction makes room
        without a defragmentation. The alarm stays until somebody disarms it, as in etcd.
        """
        quota = self._options.quota_bytes
        if not cost_bytes or not 0 < quota <= self._used_bytes + cost_bytes:
            return
        # What was seen last may be long ago, and compaction may have made room since.
        if now >= self._size_at - SIZE_INTERVAL_SECONDS + SIZE_DOUBT_SECONDS:
            self._look_at_size(now)
        if quota <= self._used_bytes + cost_bytes:
            self._refused_bytes = cost_bytes
            raise NoSpace(f"{self._used_bytes} of {self._options.quota_bytes} bytes are in use")

    def _propose(self, pending: Pending, body_bytes: int) -> None:
        if self._info.is_learner:
            raise NotSupportedForLearner
        self._proposals.add(pending, body_bytes)

    def _range(self, pending: Pending, body_bytes: int) -> None:
        request = cast(RangeRequest, pending.request)
        checks.check_range(request)
        if request.serializable and not self._is_ahead(request.revision):
            self._reads.add(pending)
        else:
            self._linearizable(pending, body_bytes)

    def _is_ahead(self, revision: Revision) -> bool:
        """Whether a read wants a revision that this member may merely not have heard of yet.

        A client that learned of the revision from another member must not be told that it lies in
        the future (etcd's transactional memory reads so). Without a leader nobody can say.
        """
        if revision <= 0 or not self._info.leader or self._info.is_learner:
            return False
        return revision > self._reads.current_revision()

    def _linearizable(self, pending: Pending, body_bytes: int) -> None:
        del body_bytes
        if self._info.is_learner:
            raise NotSupportedForLearner
        self._rounds.add(pending)

    def _local(self, pending: Pending, body_bytes: int) -> None:
        del body_bytes
        checks.check_request(pending.request)
        self._reads.add(pending)

    def _question(self, pending: Pending, body_bytes: int) -> None:
        del body_bytes
        checks.check_request(pending.request)
        if self._info.is_learner:
            raise NotSupportedForLearner
        self._questions.add(pending)

    def _member_list(self, pending: Pending, body_bytes: int) -> None:
        if cast(MemberListRequest, pending.request).linearizable:
            self._linearizable(pending, body_bytes)
        else:
            self._answer_members(pending)

    def _answer_members(self, pending: Pending) -> None:
        header = ResponseHeader(0, self._info.term)
        self._replies.answer(pending, MemberListResponse(header, self._members.members))

    def _change_member(self, pending: Pending, body_bytes: int) -> None:
        del body_bytes
        if self._info.is_learner:
            raise NotSupportedForLearner
        self._changes.add(pending)

    def _alarm(self, pending: Pending, body_bytes: int) -> None:
        request = cast(AlarmRequest, pending.request)
        if request.action is AlarmAction.GET:
            self._linearizable(pending, body_bytes)
        else:
            checks.check_alarm(request)
            self._propose(pending, body_bytes)

    def _status(self, pending: Pending, body_bytes: int) -> None:
        del body_bytes
        self._statuses.append(pending)
        self._status_ask_at = 0.0

    def _move_leader(self, pending: Pending, body_bytes: int) -> None:
        del body_bytes
        target = cast(MoveLeaderRequest, pending.request).target_id
        if self._info.leader != self._options.node_id:
            raise NotLeader
        member = next((each for each in self._members.members if each.id == target), None)
        if member is None or member.is_learner:
            raise BadLeaderTransferee
        if target == self._info.leader:
            # Nothing is left to do; etcd succeeds too.
            self._replies.answer(pending, MoveLeaderResponse(ResponseHeader(0, self._info.term)))
            return
        self._moves.append(pending)
        self.to_raft.append(TransferLeader(target))

    def _defragment(self, pending: Pending, body_bytes: int) -> None:
        """Ask apply; it takes as long as it takes, as in etcd. Its client may give up sooner."""
        del body_bytes
        pending.deadline = float("inf")
        self._last_defragment_id += 1
        self._defragments[self._last_defragment_id] = pending
        self.to_apply.append(Defragment(self._last_defragment_id))

    def _read_snapshot(self, pending: Pending, body_bytes: int) -> None:
        """Ask snapshot; the first part takes as long as the file does."""
        del body_bytes
        request = cast(SnapshotReadRequest, pending.request)
        pending.deadline = float("inf")
        self._last_snapshot_read_id += 1
        self._snapshot_reads[self._last_snapshot_read_id] = pending
        self.to_apply.append(SnapshotRead(self._last_snapshot_read_id, request.id, request.offset))

    # --- messages of raft and apply -------------------------------------------------------------

    def results(self, message: ApplyResults) -> None:
        """Hand out the results of a batch."""
        self._proposals.results(message)

    def refused(self, message: ProposeRefused, now: float) -> None:
        """Hand out a refusal."""
        self._proposals.refused(message, now)

    def read_index_result(self, message: ReadIndexResult, now: float) -> None:
        """Let the reads of a round go on once their index is applied."""
        confirmed = self._rounds.result(message, now)
        if confirmed is None:
            return
        index, pendings = confirmed
        # Results and memberships come from apply through the same pipe as `ApplyReached`: whoever
        # needs those, rather than the store, must wait for that message itself.
        ordered = [each for each in pendings if type(each.request) in _NEED_APPLY]
        self._reads.wait_for(
            index, [each for each in pendings if type(each.request) not in _NEED_APPLY]
        )
        if ordered:
            self._reads.wait_for_message(index, ordered)

    def apply_reached(self, message: ApplyReached) -> None:
        """Let everything that waited for this index go on."""
        for pending in self._reads.reached(message.index):
            if type(pending.request) is _Barrier:
                self._proposals.fail_older_than(
                    pending.request.term,
                    TimeoutDueToLeaderFail("the leader changed before the proposal was committed"),
                )
            else:
                self._answer_members(pending)

    def defragmented(self, message: Defragmented) -> None:
        """Hand out what became of a defragmentation."""
        pending = self._defragments.pop(message.request_id, None)
        if pending is None:
            return
        if message.failure:
            self._replies.fail(pending, DefragmentFailed(message.failure))
        else:
            self._replies.answer(pending, DefragmentResponse(self.header()))

    def snapshot_part(self, part: SnapshotPart) -> None:
        """Hand out a part of a snapshot."""
        pending = self._snapshot_reads.pop(part.request_id, None)
        if pending is None:
            return
        if part.failure:
            self._replies.fail(pending, SnapshotUnavailable(part.failure))
        else:
            response = SnapshotReadResponse(
                self.header(), part.snapshot_id, part.total_bytes, part.blob, STORAGE_VERSION
            )
            self._replies.answer(pending, response)

    def snapshot_restarted(self) -> None:
        """Give up the parts that the snapshot actor would have sent."""
        for request_id in list(self._snapshot_reads):
            self.snapshot_part(SnapshotPart(request_id, 0, failure="snapshot restarted meanwhile"))

    def leader_answer(self, message: LeaderAnswer, now: float) -> None:
        """Hand out the lessor's answers."""
        self._questions.answer(message, now)

    def change_refused(self, message: ChangeMemberRefused, now: float) -> None:
        """Hand out why a membership change may not be, or ask for it again."""
        self._changes.refused(message, now)

    def change_unreachable(self, request_id: RequestID, now: float) -> None:
        """Note that a membership change could not be sent to raft."""
        self._changes.unreachable(request_id, now)

    def member_changed(self, message: MemberChanged) -> None:
        """Answer whoever asked for a membership change."""
        self._changes.changed(message, self._info.term)

    def member_table(self, message: MemberTable) -> None:
        """Note the membership."""
        self._members = message

    def leader_info(self, info: LeaderInfo, now: float) -> None:
        """Note who leads; what went to an earlier leader may be lost."""
        before, self._info = self._info, info
        if before.leader and info.leader != before.leader:
            self._leader_lost_at = now
        if info.term != before.term:
            self._proposals.leader_changed(info.term)
        self._proposals.leader_known(is_known=bool(info.leader))
        if not info.leader:
            return
        self._rounds.ask_again(now)
        self._questions.ask_again(now)
        self._finish_moves(info)
        if self._proposals.has_older_than(info.term):
            # Whatever of it the new leader has is applied before the index of this round.
            barrier = Pending(None, 0, _Barrier(info.term), started=now, deadline=float("inf"))
            self._rounds.add(barrier)

    def _finish_moves(self, info: LeaderInfo) -> None:
        moves, self._moves = self._moves, []
        for pending in moves:
            if cast(MoveLeaderRequest, pending.request).target_id == info.leader:
                header = ResponseHeader(0, info.term)
                self._replies.answer(pending, MoveLeaderResponse(header))
            elif pending.is_open:
                self._moves.append(pending)

    def raft_status(self, status: RaftStatus) -> None:
        """Answer everybody who asked for the status."""
        if status.request_id != self._last_status_id:
            return
        statuses, self._statuses = self._statuses, []
        self._status_ask_at = float("inf")
        if not statuses:
            return
        size = BackendSize(0, 0) if self._backend is None else self._backend.size()
        response = StatusResponse(
            ResponseHeader(self._reads.current_revision(), status.term),
            self._options.server_version,
            size.file_bytes,
            status.leader,
            status.committed,
            status.term,
            status.applied,
            (*(() if status.leader else (NoLeader.text,)), *map(alarm_text, self._reads.alarms())),
            size.used_bytes,
            status.is_learner,
            STORAGE_VERSION,
            max(self._options.quota_bytes, 0),
        )
        for pending in statuses:
            self._replies.answer(pending, response)

    def raft_restarted(self, now: float) -> None:
        """Give up what raft held, and ask again what may be asked again."""
        self._proposals.fail_proposed(
            UnknownOutcome("raft restarted while the request was proposed")
        )
        self._changes.fail_asked("raft restarted while the change was proposed")
        self._rounds.ask_again(now)
        self._questions.ask_again(now)
        if self._statuses:
            self._status_ask_at = now

    def apply_restarted(self) -> None:
        """Give up the results that apply would have sent; reads only ask again."""
        self._proposals.fail_proposed(
            UnknownOutcome("apply restarted while the request was proposed")
        )
        self._changes.fail_asked("apply restarted while the change was proposed")
        self._reads.apply_restarted()
        for request_id in list(self._defragments):
            self.defragmented(Defragmented(request_id, "apply restarted meanwhile"))

    def set_backend(self, backend: Backend | None) -> None:
        """Read from this store from now on; None: there is none, reads wait."""
        self._backend = backend
        self._reads.set_backend(backend)

    def drain(self) -> None:
        """Take nothing new; what was taken is still answered."""
        self._is_draining = True
        self._proposals.drain()

    def alarms(self) -> tuple[AlarmType, ...]:
        """Return the alarms that are on, as far as this member has applied."""
        return tuple(each.alarm for each in self._reads.alarms())

    def header(self) -> ResponseHeader:
        """Return where this member stands now; for answers that read nothing else."""
        return ResponseHeader(self._reads.current_revision(), self._info.term)

    # --- once per turn --------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Do a bounded amount of reading, and collect everything that must be sent."""
        if now >= self._next_expiry:
            self._expire(now)
        if now >= self._size_at:
            self._look_at_size(now)
        if self._refused_bytes and now >= self._alarm_at:
            self._raise_alarm(now)
        self.to_raft.extend(self._proposals.take(now))
        round_ = self._rounds.take(now)
        if round_ is not None:
            self.to_raft.append(round_)
        self.to_raft.extend(self._questions.take(now))
        self.to_raft.extend(self._changes.take(now))
        if now >= self._status_ask_at:
            self._ask_status(now)
        self._reads.serve(now, self._info.term)
        self.to_apply.extend(self._reads.take_waits())

    def _look_at_size(self, now: float) -> None:
        if self._backend is not None:
            self._size_at = now + SIZE_INTERVAL_SECONDS
            self._used_bytes = self._backend.size().used_bytes

    def _raise_alarm(self, now: float) -> None:
        """Propose this member's alarm, unless it is on already or there is room again."""
        self._look_at_size(now)
        cost_bytes, self._refused_bytes = self._refused_bytes, 0
        if self._used_bytes + cost_bytes < self._options.quota_bytes:
            return
        self._alarm_at = now + ALARM_INTERVAL_SECONDS
        node_id = self._options.node_id
        if AlarmMember(node_id, AlarmType.NOSPACE) not in self._reads.alarms():
            request = AlarmRequest(AlarmAction.ACTIVATE, node_id, AlarmType.NOSPACE)
            self.to_raft.append(self._proposals.propose_alone(request))

    def _ask_status(self, now: float) -> None:
        self._statuses = [pending for pending in self._statuses if pending.is_open]
        self._status_ask_at = now + STATUS_RESEND_SECONDS if self._statuses else float("inf")
        if self._statuses:
            self._last_status_id += 1
            self.to_raft.append(RaftStatusRequest(self._last_status_id))

    def _expire(self, now: float) -> None:
        """Answer every request whose time is up."""
        earliest = float("inf")
        for pending in list(self._replies.waiting()):
            if pending.deadline <= now:
                self._replies.fail(pending, self._timeout_of(pending))
            else:
                earliest = min(earliest, pending.deadline)
        self._next_expiry = max(earliest, now + EXPIRY_GRAIN_SECONDS)
        self._proposals.forget_expired(now)
        self._moves = [pending for pending in self._moves if pending.is_open]

    def _timeout_of(self, pending: Pending) -> ZetcdError:
        """Return etcd's text for a request that took too long; SAFE if it was not proposed."""
        error: ZetcdError = Timeout()
        if type(pending.request) is MoveLeaderRequest:
            return TimeoutLeaderTransfer()
        if self._reads.waits_for_apply(pending):
            error = TimeoutWaitAppliedIndex()
        elif self._leader_lost_at >= pending.started:
            error = TimeoutDueToLeaderFail()
        return error if pending.is_proposed else begun_nothing(error)

    def wake_at(self) -> float:
        """Return when `advance` has something to do, even without input."""
        return min(
            self._next_expiry,
            self._proposals.wake_at(),
            self._rounds.wake_at(),
            self._questions.wake_at(),
            self._changes.wake_at(),
            self._status_ask_at,
            self._alarm_at if self._refused_bytes else float("inf"),
            self._reads.wake_at(),
        )

    def figures(self) -> tuple[Figure, ...]:
        """Return figures for /metrics."""
        proposals, rounds = self._proposals, self._rounds
        return (
            figure("etcd_mvcc_range_total", self._reads.ranges_count),
            figure("etcd_server_proposals_pending", proposals.inflight_count),
            figure("etcd_server_proposals_failed_total", proposals.failed_count),
            figure("etcd_server_slow_read_indexes_total", rounds.repeated_count),
            figure("zetcd_gateway_batches_total", proposals.batches_count),
            figure("zetcd_gateway_read_rounds_total", rounds.rounds_count),
        )

    def facts(self) -> dict[str, int]:
        """Return figures for status."""
        return {
            "batches": self._proposals.batches_count,
            "batches_inflight": self._proposals.inflight_count,
            "proposed": self._proposals.requests_count,
            "queued": self._proposals.waiting_count,
            "read_rounds": self._rounds.rounds_count,
            "reads": self._reads.served_count,
        }

    def check(self) -> None:
        """Assert the invariants."""
        self._proposals.check()


_NEED_APPLY: Final = frozenset({_Barrier, MemberListRequest})

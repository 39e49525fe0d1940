"""What becomes of requests: proposals, reads, questions, and what restarts and leader changes do to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.gateway.stage import ALICE, BOB, NODE, TERM, Stage, options_of
from zetcd.errors import (
    Compacted,
    DefragmentFailed,
    DuplicateKey,
    EmptyKey,
    FutureRev,
    InvalidArgument,
    KeyNotFound,
    LeaderChanged,
    LeaseNotFound,
    LeaseProvided,
    LeaseTTLTooLarge,
    NoLeader,
    NoSpace,
    RequestTooManyRequests,
    RetryClass,
    SnapshotUnavailable,
    Timeout,
    TimeoutDueToLeaderFail,
    TimeoutWaitAppliedIndex,
    TooManyOps,
    UnknownOutcome,
    ValueProvided,
    ZetcdError,
)
from zetcd.gateway import batching
from zetcd.gateway.company import GATHER_SECONDS
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmRequest,
    AlarmType,
    DefragmentRequest,
    DefragmentResponse,
    HashKVRequest,
    HashKVResponse,
    SnapshotReadRequest,
    SnapshotReadResponse,
)
from zetcd.messages.codec import decoder_of
from zetcd.messages.kv import (
    CompactionRequest,
    CompactionResponse,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseLeasesRequest,
    LeaseLeasesResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
    LeaseTimeToLiveRequest,
)
from zetcd.messages.node import (
    Defragmented,
    LeaderInfo,
    ProposalBatch,
    ProposeRefused,
    ReadIndex,
    ReadIndexResult,
    Role,
    SnapshotPart,
)

OTHER = NODE + 1
LEARNER = NODE + 2


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.hello(ALICE)
    stage.hello(BOB)
    return stage


def put(stage: Stage, key: bytes, value: bytes = b"") -> None:
    assert isinstance(stage.do(PutRequest(key, value)), PutResponse)


# --- checks ---------------------------------------------------------------------------------------

_LONG = tuple(RangeRequest(b"a") for _ in range(129))


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (PutRequest(b""), EmptyKey),
        (PutRequest(b"a", b"v", ignore_value=True), ValueProvided),
        (PutRequest(b"a", lease=1, ignore_lease=True), LeaseProvided),
        (PutRequest(b"a", lease=2**64 - 1), InvalidArgument),
        (RangeRequest(b""), EmptyKey),
        (DeleteRangeRequest(b""), EmptyKey),
        (TxnRequest((), _LONG), TooManyOps),
        (TxnRequest((), (PutRequest(b"a"), PutRequest(b"a"))), DuplicateKey),
        (TxnRequest((), (PutRequest(b""),)), EmptyKey),
        (TxnRequest((Compare(CompareResult.EQUAL, CompareTarget.MOD, b""),)), EmptyKey),
        (
            TxnRequest((Compare(CompareResult.EQUAL, CompareTarget.VALUE, b"a", 1),)),
            InvalidArgument,
        ),
        (LeaseGrantRequest(9_000_000_001), LeaseTTLTooLarge),
        (LeaseGrantRequest(1, -1), InvalidArgument),
        (LeaseGrantRequest(1, 2**63), InvalidArgument),
        (LeaseRevokeRequest(2**63), InvalidArgument),
        (LeaseKeepAliveRequest(2**63), InvalidArgument),
        (LeaseTimeToLiveRequest(2**63), InvalidArgument),
        (CompactionRequest(2**63), InvalidArgument),
        (HashKVRequest(2**63), InvalidArgument),
        (RangeRequest(b"a", b"b", limit=2**63), InvalidArgument),
        (RangeRequest(b"a", revision=2**64 - 1), InvalidArgument),
        (TxnRequest((), (PutRequest(b"a"), RangeRequest(b"a", limit=2**63))), InvalidArgument),
        (AlarmRequest(AlarmAction.ACTIVATE, -1, AlarmType.NOSPACE), InvalidArgument),
        (AlarmRequest(AlarmAction.DEACTIVATE, -(2**63), AlarmType.NOSPACE), InvalidArgument),
    ],
)
def test_what_no_store_could_accept_is_refused_before_it_costs_anything(
    stage: Stage, request_: Message, kind: type[ZetcdError]
) -> None:
    request_id = stage.request(request_)
    stage.turn()
    error = stage.error(request_id)
    assert (error.number, error.code, error.text) == (kind.number, kind.code, kind.text)
    assert not stage.to_raft


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (RangeRequest(b"a", revision=99), FutureRev),
        (RangeRequest(b"a", b"z", revision=99), FutureRev),
        (RangeRequest(b"a", revision=1), Compacted),
        (TxnRequest((), (RangeRequest(b"a", revision=99),)), FutureRev),
        (PutRequest(b"missing", ignore_value=True), KeyNotFound),
        (PutRequest(b"a", lease=404), LeaseNotFound),
        (LeaseRevokeRequest(404), LeaseNotFound),
        (CompactionRequest(99), FutureRev),
        (CompactionRequest(-1), Compacted),
        (HashKVRequest(99), FutureRev),
        (HashKVRequest(1), Compacted),
    ],
)
def test_what_the_store_refuses_has_etcds_code_and_text(
    stage: Stage, request_: Message, kind: type[ZetcdError]
) -> None:
    put(stage, b"a")
    put(stage, b"a")
    assert isinstance(stage.do(CompactionRequest(2)), CompactionResponse)
    error = stage.do(request_)
    assert isinstance(error, ErrorBody)
    assert (error.number, error.code, error.text) == (kind.number, kind.code, kind.text)


def test_negative_limits_and_revisions_mean_what_they_mean_in_etcd(stage: Stage) -> None:
    put(stage, b"a")
    put(stage, b"b")
    answer = stage.do(RangeRequest(b"a", b"z", limit=-5, revision=-7))
    assert isinstance(answer, RangeResponse)
    assert (answer.count, len(answer.kvs), answer.more) == (2, 2, False)


# --- mutations ------------------------------------------------------------------------------------


def test_mutations_of_a_turn_share_a_proposal(stage: Stage) -> None:
    first = stage.request(PutRequest(b"a", b"1"), ALICE)
    second = stage.request(DeleteRangeRequest(b"a"), BOB)
    third = stage.request(PutRequest(b"a", lease=404), ALICE)
    stage.turn()
    proposals = stage.proposals()
    assert len(proposals) == 1
    stage.commit(*proposals)
    stage.turn()
    assert isinstance(stage.answer(first, ALICE), PutResponse)
    assert stage.answer(second, BOB) == DeleteRangeResponse(ResponseHeader(3, TERM), 1)
    assert stage.error(third, ALICE).number == LeaseNotFound.number


def test_with_enough_proposals_on_their_way_requests_wait_and_batches_grow() -> None:
    stage = Stage(options_of(batches_inflight_max=2))
    stage.hello()
    ids = []
    for _ in range(5):
        ids.append(stage.request(PutRequest(b"a")))
        stage.turn()
    first, second = stage.proposals()
    stage.commit(first)
    stage.turn()
    [third] = stage.proposals()
    stage.commit(second, third)
    stage.turn()
    assert all(isinstance(stage.answer(each), PutResponse) for each in ids)


def test_batches_are_limited_in_requests_and_bytes() -> None:
    stage = Stage(options_of(batch_requests_max=3, batch_bytes_max=4096, batches_inflight_max=100))
    stage.hello()
    for _ in range(7):
        stage.request(PutRequest(b"a"))
    stage.turn()
    assert len(stage.proposals()) == 3
    for _ in range(4):
        stage.request(PutRequest(b"a", bytes(3000)))
    stage.request(PutRequest(b"a", bytes(9000)))
    stage.turn()
    assert len(stage.proposals()) == 5


@pytest.mark.interpreted
def test_the_queue_is_limited_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "QUEUE_BYTES_MAX", 1000)
    stage = Stage(options_of(batches_inflight_max=1))
    stage.hello()
    stage.request(PutRequest(b"a"))
    stage.turn()
    stage.request(PutRequest(b"a", bytes(2000)))
    refused = stage.request(PutRequest(b"b"))
    stage.turn()
    error = stage.error(refused)
    assert (error.number, error.retry) == (RequestTooManyRequests.number, RetryClass.SAFE)


def test_no_leader_is_passed_on_as_safe_to_repeat(stage: Stage) -> None:
    request_id = stage.request(PutRequest(b"a"))
    stage.turn()
    [proposal] = stage.proposals()
    stage.step_node(ProposeRefused(proposal.batch_id, NoLeader.number))
    stage.turn()
    error = stage.error(request_id)
    assert (error.number, error.retry) == (NoLeader.number, RetryClass.SAFE)


def test_a_proposed_mutation_without_result_times_out_as_ambiguous(stage: Stage) -> None:
    request_id = stage.request(PutRequest(b"a"))
    stage.turn()
    stage.turn(6.9)
    assert not stage.has_answer(request_id)
    stage.turn(0.2)
    error = stage.error(request_id)
    assert (error.number, error.text) == (Timeout.number, "etcdserver: request timed out")
    assert error.retry == RetryClass.AMBIGUOUS
    # A late result finds nobody.
    stage.commit()
    stage.turn()
    assert not stage.has_answer(request_id)


def test_the_clients_deadline_counts_if_it_is_earlier(stage: Stage) -> None:
    soon = stage.request(PutRequest(b"a"), deadline_ms=100)
    late = stage.request(PutRequest(b"a"), deadline_ms=1_000_000)
    stage.turn()
    assert stage.gateway.wake_at() <= stage.now + 0.1
    stage.turn(0.1)
    assert stage.error(soon).number == Timeout.number
    assert not stage.has_answer(late)


def test_a_mutation_that_was_never_proposed_times_out_as_safe() -> None:
    stage = Stage(options_of(batches_inflight_max=1))
    stage.hello()
    stage.request(PutRequest(b"a"))
    stage.turn()
    waiting = stage.request(PutRequest(b"b"), deadline_ms=100)
    stage.turn(0.2)
    assert stage.error(waiting).retry == RetryClass.SAFE
    stage.settle()
    assert stage.applier.state.current_revision == 2


def test_after_the_leader_was_lost_the_timeout_says_so(stage: Stage) -> None:
    request_id = stage.request(PutRequest(b"a"), deadline_ms=500)
    stage.turn(0.1)
    stage.step_node(LeaderInfo(TERM, 0, Role.FOLLOWER))
    stage.turn(0.5)
    error = stage.error(request_id)
    assert error.text == TimeoutDueToLeaderFail.text
    assert error.retry == RetryClass.AMBIGUOUS


def test_what_a_new_leader_does_not_have_is_given_up_once_its_log_is_applied(stage: Stage) -> None:
    lost = stage.request(PutRequest(b"a"))
    stage.turn()
    [lost_proposal] = stage.proposals()
    kept = stage.request(PutRequest(b"b"))
    stage.turn()
    [kept_proposal] = stage.proposals()
    stage.step_node(LeaderInfo(TERM + 1, OTHER, Role.FOLLOWER))
    stage.turn()
    stage.confirm_reads()
    stage.turn()
    # Only apply's own word, behind its results on the same pipe, tells that nothing more will come.
    assert stage.to_apply
    stage.commit(kept_proposal)
    stage.reach()
    stage.turn()
    assert isinstance(stage.answer(kept), PutResponse)
    error = stage.error(lost)
    assert error.text == TimeoutDueToLeaderFail.text
    assert error.retry == RetryClass.AMBIGUOUS
    assert lost_proposal.batch_id != kept_proposal.batch_id


def test_proposals_lost_with_an_old_leader_do_not_hold_up_new_ones() -> None:
    stage = Stage(options_of(batches_inflight_max=1))
    stage.hello()
    stage.request(PutRequest(b"a"))
    stage.turn()
    stage.proposals()
    stage.step_node(LeaderInfo(TERM + 1, OTHER, Role.FOLLOWER))
    fresh = stage.request(PutRequest(b"b"))
    stage.turn()
    stage.commit()
    stage.turn()
    assert isinstance(stage.answer(fresh), PutResponse)


@pytest.mark.parametrize("neighbour", ["raft", "apply"])
def test_a_restart_of_raft_or_apply_leaves_the_outcome_unknown(
    stage: Stage, neighbour: str
) -> None:
    proposed = stage.request(PutRequest(b"a"))
    stage.turn()
    stage.proposals()
    waiting = stage.request(PutRequest(b"b"))
    if neighbour == "raft":
        stage.gateway.raft_restarted(stage.now)
    else:
        stage.gateway.apply_restarted()
    stage.turn()
    error = stage.error(proposed)
    assert error.number == UnknownOutcome.number
    assert (error.text, error.retry) == (Timeout.text, RetryClass.AMBIGUOUS)
    stage.settle()
    assert isinstance(stage.answer(waiting), PutResponse)


def test_a_full_store_refuses_what_would_grow_it() -> None:
    options = options_of()
    stage = Stage(options)
    stage.hello()
    put(stage, b"a", bytes(10_000))
    small = replace(options, quota_bytes=5_000)
    full = Stage(small)
    full.backend = stage.backend
    full.gateway.set_backend(stage.backend)
    full.hello()
    full.turn(1.0)
    for request in (
        PutRequest(b"b"),
        LeaseGrantRequest(10),
        TxnRequest((), (RangeRequest(b"a"),), (PutRequest(b"b"),)),
    ):
        request_id = full.request(request)
        full.turn()
        assert full.error(request_id).number == NoSpace.number
    full.proposals()
    for accepted in (DeleteRangeRequest(b"a"), CompactionRequest(2), LeaseRevokeRequest(1)):
        full.request(accepted)
    full.turn()
    assert full.proposals()


def almost_full() -> Stage:
    """Return a stage with a quota, whose store has no room for another value."""
    stage = Stage(replace(options_of(), quota_bytes=20_000))
    stage.hello()
    put(stage, b"a", bytes(19_500))
    return stage


def make_room(stage: Stage, revision: int) -> None:
    stage.do(DeleteRangeRequest(b"a"))
    stage.do(CompactionRequest(revision, physical=True))
    while stage.applier.is_compacting:
        stage.applier.compact_step(100)


def test_an_alarm_is_not_raised_if_there_is_room_again_when_it_is_due() -> None:
    stage = almost_full()
    stage.turn(1.0)
    stage.request(PutRequest(b"b"))
    stage.turn()
    stage.commit()
    stage.do(AlarmRequest(AlarmAction.DEACTIVATE, NODE, AlarmType.NOSPACE))
    # Refused again, so soon that the next alarm is not due yet.
    refused = stage.do(PutRequest(b"b"))
    assert isinstance(refused, ErrorBody)
    assert refused.number == NoSpace.number
    make_room(stage, 3)
    stage.turn(1.0)
    stage.commit()
    assert not stage.applier.alarms.active
    assert isinstance(stage.do(PutRequest(b"b")), PutResponse)


def test_a_full_store_raises_the_alarm_until_it_is_on_and_until_somebody_ends_it() -> None:
    stage = almost_full()
    stage.turn(1.0)
    stage.request(PutRequest(b"b"))
    assert stage.gateway.wake_at() <= stage.now
    for _ in range(3):
        stage.request(PutRequest(b"b"))
        stage.turn()
    (proposal,) = stage.proposals()
    batch = decoder_of(ProposalBatch).decode(proposal.data)
    assert batch.requests == (AlarmRequest(AlarmAction.ACTIVATE, NODE, AlarmType.NOSPACE),)
    # It is lost: the next one who is refused brings it on.
    stage.request(PutRequest(b"b"))
    stage.turn(1.0)
    stage.commit()
    assert stage.applier.alarms.active
    stage.request(PutRequest(b"b"))
    stage.turn(1.0)
    assert not stage.proposals()
    # Room alone does not end the alarm, and it speaks for every member.
    make_room(stage, 3)
    stage.turn(1.0)
    refused = stage.do(PutRequest(b"b"))
    assert isinstance(refused, ErrorBody)
    assert refused.number == NoSpace.number
    stage.do(AlarmRequest(AlarmAction.DEACTIVATE, NODE, AlarmType.NOSPACE))
    assert isinstance(stage.do(PutRequest(b"b")), PutResponse)


def test_a_defragmentation_is_applys_matter_and_may_take_as_long_as_it_takes(stage: Stage) -> None:
    done, failed, lost = [stage.request(DefragmentRequest()) for _ in range(3)]
    stage.turn(3600.0)
    first, second, _ = stage.defragments
    stage.step_node(Defragmented(first.request_id))
    stage.step_node(Defragmented(second.request_id, "no space left on device"))
    stage.step_node(Defragmented(99))
    stage.gateway.apply_restarted()
    stage.turn()
    assert isinstance(stage.answer(done), DefragmentResponse)
    error = stage.error(failed)
    assert (error.number, error.detail) == (DefragmentFailed.number, "no space left on device")
    assert stage.error(lost).number == DefragmentFailed.number


def test_parts_of_a_snapshot_are_the_snapshot_actors_matter(stage: Stage) -> None:
    first, second, lost = (
        stage.request(SnapshotReadRequest()),
        stage.request(SnapshotReadRequest(7, 100)),
        stage.request(SnapshotReadRequest(7, 200)),
    )
    stage.turn(3600.0)
    asked = stage.snapshot_reads
    assert [(each.snapshot_id, each.offset) for each in asked] == [(0, 0), (7, 100), (7, 200)]
    stage.step_node(SnapshotPart(asked[0].request_id, 9, 1000, b"blob"))
    stage.step_node(SnapshotPart(asked[1].request_id, 7, failure="not there any more"))
    stage.step_node(SnapshotPart(99, 1))
    stage.gateway.snapshot_restarted()
    stage.turn()
    answer = stage.answer(first)
    assert isinstance(answer, SnapshotReadResponse)
    assert (answer.id, answer.total_bytes, answer.blob) == (9, 1000, b"blob")
    assert answer.version == "3.6.0"
    assert stage.error(second).detail == "not there any more"
    assert stage.error(lost).number == SnapshotUnavailable.number


# --- reads ----------------------------------------------------------------------------------------


def test_reads_of_a_turn_share_a_round_and_later_ones_wait_for_the_next(stage: Stage) -> None:
    put(stage, b"a", b"1")
    early = [stage.request(RangeRequest(b"a")), stage.request(RangeRequest(b"a", b"\0"))]
    stage.turn()
    late = stage.request(RangeRequest(b"a"))
    stage.turn()
    rounds = stage.taken(ReadIndex)
    assert len(rounds) == 1
    stage.step_node(ReadIndexResult(rounds[0].request_id, stage.index))  # type: ignore[attr-defined]
    stage.turn()
    assert all(isinstance(stage.answer(each), RangeResponse) for each in early)
    assert not stage.has_answer(late)
    # Another one usually follows such answers: it waits for that one, but not for long.
    assert not stage.taken(ReadIndex)
    stage.turn(GATHER_SECONDS)
    assert stage.confirm_reads() == 1
    stage.turn()
    assert isinstance(stage.answer(late), RangeResponse)


def test_a_read_waits_until_its_index_is_applied(stage: Stage) -> None:
    put(stage, b"a", b"old")
    stage.request(PutRequest(b"a", b"new"))
    stage.turn()
    [proposal] = stage.proposals()
    read = stage.request(RangeRequest(b"a"))
    stage.turn()
    [question] = stage.taken(ReadIndex)
    stage.step_node(ReadIndexResult(question.request_id, stage.index + 1))  # type: ignore[attr-defined]
    stage.turn()
    assert [wait.index for wait in stage.to_apply] == [stage.index + 1]
    assert not stage.has_answer(read)
    stage.turn()
    assert len(stage.to_apply) == 1
    stage.commit(proposal)
    stage.reach()
    stage.turn()
    answer = stage.answer(read)
    assert isinstance(answer, RangeResponse)
    assert answer.kvs[0].value == b"new"


def test_a_new_apply_is_asked_again(stage: Stage) -> None:
    read = stage.request(RangeRequest(b"a"))
    stage.turn()
    [question] = stage.taken(ReadIndex)
    stage.step_node(ReadIndexResult(question.request_id, 5))  # type: ignore[attr-defined]
    stage.turn()
    stage.to_apply.clear()
    stage.gateway.apply_restarted()
    stage.turn()
    assert [wait.index for wait in stage.to_apply] == [5]
    stage.reach()
    stage.turn()
    assert isinstance(stage.answer(read), RangeResponse)


def test_a_read_that_waits_for_apply_too_long_says_so(stage: Stage) -> None:
    read = stage.request(RangeRequest(b"a"), deadline_ms=100)
    stage.turn()
    [question] = stage.taken(ReadIndex)
    stage.step_node(ReadIndexResult(question.request_id, 5))  # type: ignore[attr-defined]
    stage.turn()
    stage.turn(0.2)
    error = stage.error(read)
    assert (error.text, error.retry) == (TimeoutWaitAppliedIndex.text, RetryClass.SAFE)


def test_a_round_without_answer_is_asked_again_under_a_new_id(stage: Stage) -> None:
    read = stage.request(RangeRequest(b"a"))
    stage.turn()
    stage.turn(0.4)
    stage.turn(0.2)
    first, second = stage.taken(ReadIndex)
    assert isinstance(first, ReadIndex)
    assert isinstance(second, ReadIndex)
    assert first.request_id != second.request_id
    # Both were asked after the read had arrived.
    stage.step_node(ReadIndexResult(first.request_id, 0))
    stage.turn()
    assert isinstance(stage.answer(read), RangeResponse)
    # What answers a finished round does not answer the next one.
    other = stage.request(RangeRequest(b"a"))
    stage.turn()
    stage.step_node(ReadIndexResult(second.request_id, 0))
    stage.turn()
    assert not stage.has_answer(other)


@pytest.mark.parametrize("error", [NoLeader.number, LeaderChanged.number])
def test_a_refused_round_is_asked_again_until_the_deadline(stage: Stage, error: int) -> None:
    read = stage.request(RangeRequest(b"a"), deadline_ms=300)
    for _ in range(5):
        stage.turn(0.05)
        assert stage.confirm_reads(error) == 1
    assert not stage.has_answer(read)
    stage.turn(0.1)
    failure = stage.error(read)
    assert (failure.number, failure.retry) == (Timeout.number, RetryClass.SAFE)


@pytest.mark.parametrize("event", ["raft restarts", "a leader appears"])
def test_a_round_is_asked_again_at_once(stage: Stage, event: str) -> None:
    stage.request(RangeRequest(b"a"))
    stage.turn()
    stage.taken(ReadIndex)
    if event == "raft restarts":
        stage.gateway.raft_restarted(stage.now)
    else:
        stage.step_node(LeaderInfo(TERM + 1, OTHER, Role.FOLLOWER))
    stage.turn()
    assert len(stage.taken(ReadIndex)) == 1


def test_serializable_reads_need_no_leader() -> None:
    stage = Stage(has_leader=False)
    stage.hello()
    read = stage.request(RangeRequest(b"a", serializable=True))
    txn = stage.request(TxnRequest((), (RangeRequest(b"a", serializable=True),)))
    empty = stage.request(TxnRequest())
    stage.turn()
    assert isinstance(stage.answer(read), RangeResponse)
    assert isinstance(stage.answer(txn), TxnResponse)
    assert isinstance(stage.answer(empty), TxnResponse)
    assert not stage.to_raft


def test_a_serializable_read_of_a_revision_not_heard_of_yet_asks_the_leader(stage: Stage) -> None:
    """Another member has answered with that revision already; this one lags a moment behind."""
    before = stage.do(PutRequest(b"b", b"0"))
    assert isinstance(before, PutResponse)
    revision = before.header.revision + 1
    request = RangeRequest(b"a", revision=revision, serializable=True)
    read, txn = stage.request(request), stage.request(TxnRequest((), (request,)))
    stage.turn()
    assert not stage.has_answer(read)
    assert not stage.has_answer(txn)
    stage.do(PutRequest(b"a", b"1"))
    answer = stage.answer(read)
    assert isinstance(answer, RangeResponse)
    assert [each.value for each in answer.kvs] == [b"1"]
    assert isinstance(stage.answer(txn), TxnResponse)
    # What the leader has not heard of either does lie in the future.
    future = stage.request(RangeRequest(b"a", revision=revision + 1, serializable=True))
    stage.settle()
    assert stage.error(future).number == FutureRev.number


def test_a_serializable_read_of_the_future_needs_no_leader() -> None:
    stage = Stage(has_leader=False)
    stage.hello()
    read = stage.request(RangeRequest(b"a", revision=99, serializable=True))
    stage.turn()
    assert stage.error(read).number == FutureRev.number


def test_a_read_only_transaction_is_not_proposed(stage: Stage) -> None:
    txn = stage.request(TxnRequest((), (RangeRequest(b"a"),), (RangeRequest(b"b"),)))
    stage.turn()
    assert not stage.proposals()
    assert stage.confirm_reads() == 1
    stage.turn()
    assert isinstance(stage.answer(txn), TxnResponse)


def test_without_a_store_reads_wait(stage: Stage) -> None:
    stage.gateway.set_backend(None)
    read = stage.request(RangeRequest(b"a", serializable=True))
    stage.turn()
    assert not stage.has_answer(read)
    stage.gateway.set_backend(stage.backend)
    stage.turn()
    assert isinstance(stage.answer(read), RangeResponse)


def test_leases_are_listed_by_granted_ttl(stage: Stage) -> None:
    for lease_id, ttl in ((1, 90), (2, 30), (3, 60), (4, 30)):
        stage.do(LeaseGrantRequest(ttl, lease_id))
    answer = stage.do(LeaseLeasesRequest())
    assert isinstance(answer, LeaseLeasesResponse)
    assert answer.leases == (2, 4, 3, 1)
    assert isinstance(stage.do(LeaseRevokeRequest(2)), LeaseRevokeResponse)


def test_a_short_ttl_is_raised_before_it_is_proposed(stage: Stage) -> None:
    """So that members whose election timeouts differ store the same lease."""
    generous = Stage(replace(stage.options, lease_ttl_seconds_min=40))
    generous.hello()
    answer = generous.do(LeaseGrantRequest(3, 5))
    assert isinstance(answer, LeaseGrantResponse)
    assert (answer.id, answer.ttl) == (5, 40)
    longer = generous.do(LeaseGrantRequest(41, 6))
    assert isinstance(longer, LeaseGrantResponse)
    assert longer.ttl == 41


def test_hash_kv_is_that_of_the_store(stage: Stage) -> None:
    put(stage, b"a", b"1")
    first = stage.do(HashKVRequest())
    put(stage, b"a", b"2")
    again, later = stage.do(HashKVRequest(2)), stage.do(HashKVRequest())
    assert isinstance(first, HashKVResponse)
    assert isinstance(again, HashKVResponse)
    assert isinstance(later, HashKVResponse)
    assert (first.hash, first.hash_revision) == (again.hash, again.hash_revision)
    assert later.hash != first.hash

"""Reading in bounded slices, and big answers in parts."""

from __future__ import annotations

import pytest

from tests.unit.gateway.stage import ALICE, BOB, Stage, options_of
from zetcd.errors import Compacted
from zetcd.gateway.serving import TURN_COST_MAX
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody, FrameHeader, FrameType, pack_frame
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmMember,
    AlarmRequest,
    AlarmResponse,
    AlarmType,
    HashKVRequest,
    HashKVResponse,
)
from zetcd.messages.kv import (
    CompactionRequest,
    KeyValue,
    PutRequest,
    RangeRequest,
    RangeResponse,
    SortOrder,
    SortTarget,
    TxnRequest,
)

EVERYTHING = RangeRequest(b"\0", b"\0", serializable=True)


def filled(keys: int, value_bytes: int, **limits: object) -> Stage:
    stage = Stage(options_of(**limits))
    stage.hello(ALICE)
    stage.hello(BOB)
    for number in range(keys):
        stage.request(PutRequest(b"k%06d" % number, bytes(value_bytes)), ALICE)
        if number % 1_000 == 999:
            stage.turn()
            stage.commit()
    stage.settle()
    stage.received(ALICE)
    return stage


def read_on(stage: Stage, request_id: int, turns: int = 50) -> list[tuple[FrameHeader, object]]:
    """Take turns, answering every PING as a client would; returns the frames of the request."""
    frames: list[tuple[FrameHeader, object]] = []
    for _ in range(turns):
        stage.turn(0.02)
        for header, body in stage.received():
            if header.type == FrameType.PING:
                stage.frame(ALICE, pack_frame(FrameType.PONG, header.request_id))
            elif header.request_id == request_id:
                frames.append((header, body))
    return frames


def keys_of(frames: list[tuple[FrameHeader, object]]) -> list[KeyValue]:
    kvs: list[KeyValue] = []
    for _, body in frames:
        assert isinstance(body, RangeResponse)
        kvs.extend(body.kvs)
    return kvs


@pytest.mark.parametrize(
    "order", [SortOrder.NONE, SortOrder.DESCEND], ids=["in chunks", "sorted at once"]
)
def test_a_big_range_comes_in_parts_that_make_one_answer(order: SortOrder) -> None:
    stage = filled(100, 1_000, fragment_bytes=10_000)
    request_id = stage.request(RangeRequest(b"\0", b"\0", sort_order=order))
    stage.turn()
    stage.confirm_reads()
    frames = read_on(stage, request_id)
    types = [header.type for header, _ in frames]
    assert len(types) > 5
    assert types == [FrameType.PARTIAL] * (len(types) - 1) + [FrameType.RES]
    keys = [kv.key for kv in keys_of(frames)]
    assert keys == sorted((b"k%06d" % n for n in range(100)), reverse=order is SortOrder.DESCEND)
    last = frames[-1][1]
    assert isinstance(last, RangeResponse)
    assert (last.count, last.more) == (100, False)
    assert len({body.header for _, body in frames if isinstance(body, RangeResponse)}) == 1


@pytest.mark.parametrize(
    ("request_", "more"),
    [
        (EVERYTHING, False),
        (RangeRequest(b"\0", b"\0", limit=7, serializable=True), True),
        (RangeRequest(b"\0", b"\0", limit=150, serializable=True), False),
        (
            RangeRequest(b"\0", b"\0", limit=7, sort_target=SortTarget.VERSION, serializable=True),
            True,
        ),
        (RangeRequest(b"\0", b"\0", count_only=True, serializable=True), False),
        (RangeRequest(b"\0", b"\0", keys_only=True, serializable=True), False),
        (RangeRequest(b"k000005", serializable=True), False),
        (RangeRequest(b"x", b"y", serializable=True), False),
        (RangeRequest(b"y", b"x", serializable=True), False),
    ],
)
def test_a_small_range_is_one_frame(request_: RangeRequest, more: bool) -> None:
    stage = filled(150, 10)
    request_id = stage.request(request_)
    frames = read_on(stage, request_id, turns=3)
    assert [header.type for header, _ in frames] == [FrameType.RES]
    body = frames[0][1]
    assert isinstance(body, RangeResponse)
    assert body.more == more
    if request_.limit:
        assert len(body.kvs) == min(request_.limit, 150)


def test_parts_show_one_revision_while_the_store_changes() -> None:
    stage = filled(100, 1_000, fragment_bytes=10_000)
    request_id = stage.request(EVERYTHING)
    stage.turn()
    for number in range(100):
        stage.request(PutRequest(b"k%06d" % number, b"new"), BOB)
    stage.request(PutRequest(b"z", b"new"), BOB)
    stage.turn()
    stage.commit()
    frames = [decoded for decoded in stage.received() if decoded[0].request_id == request_id]
    frames += read_on(stage, request_id)
    assert [len(kv.value) for kv in keys_of(frames)] == [1_000] * 100


def test_a_compaction_in_between_ends_an_answer_with_an_error() -> None:
    # Without confirmations only the first few parts leave.
    stage = filled(300, 50_000, fragment_bytes=400_000)
    request_id = stage.request(EVERYTHING)
    stage.turn()
    assert not stage.has_answer(request_id)
    stage.request(PutRequest(b"k000000", b"new"), BOB)
    stage.request(CompactionRequest(302), BOB)
    stage.settle()
    frames = read_on(stage, request_id)
    assert frames[-1][0].type == FrameType.ERR
    assert getattr(frames[-1][1], "text", "") == Compacted.text


def test_a_client_that_does_not_read_gets_only_a_window_and_holds_up_nobody() -> None:
    stage = filled(300, 50_000, fragment_bytes=400_000)
    big = stage.request(EVERYTHING, ALICE)
    for _ in range(20):
        stage.turn(0.02)
    unread = sum(len(frame) for frame in stage.sent[ALICE])
    assert 3_000_000 < unread < 5_000_000
    small = stage.request(RangeRequest(b"k000001", serializable=True), BOB)
    stage.turn()
    assert isinstance(stage.answer(small, BOB), RangeResponse)
    frames = stage.received()
    pings = [header.request_id for header, _ in frames if header.type == FrameType.PING]
    assert pings
    for ping in pings:
        stage.frame(ALICE, pack_frame(FrameType.PONG, ping))
    parts = [decoded for decoded in frames if decoded[0].request_id == big]
    parts += read_on(stage, big)
    assert len(keys_of(parts)) == 300


@pytest.mark.parametrize(
    "request_",
    [
        RangeRequest(b"k000001", serializable=True),
        RangeRequest(b"k000001", b"k000002", serializable=True),
        TxnRequest(success=(RangeRequest(b"k000001", serializable=True),)),
    ],
    ids=["one key", "a range", "a transaction"],
)
def test_a_client_that_does_not_read_is_read_for_no_more(request_: Message) -> None:
    """Whole answers count like parts: else a few requests fill the memory with what nobody takes."""
    stage = filled(2, 50_000)
    asked = [stage.request(request_, ALICE) for _ in range(200)]
    for _ in range(20):
        stage.turn(0.02)
    unread = sum(len(frame) for frame in stage.sent[ALICE])
    assert 3_000_000 < unread < 6_000_000
    small = stage.request(RangeRequest(b"x", serializable=True), BOB)
    stage.turn()
    assert isinstance(stage.answer(small, BOB), RangeResponse)
    answered: set[int] = set()
    for _ in range(60):
        for header, _body in stage.received():
            if header.type == FrameType.PING:
                stage.frame(ALICE, pack_frame(FrameType.PONG, header.request_id))
            else:
                assert header.type == FrameType.RES
                answered.add(header.request_id)
        stage.turn(0.02)
    assert answered == set(asked)


def test_a_cancelled_answer_stops() -> None:
    stage = filled(300, 50_000, fragment_bytes=400_000)
    request_id = stage.request(EVERYTHING)
    stage.turn()
    stage.frame(ALICE, pack_frame(FrameType.CANCEL, request_id))
    stage.received()
    assert not read_on(stage, request_id, turns=5)


def test_a_turn_reads_a_bounded_amount() -> None:
    stage = filled(TURN_COST_MAX // 4, 10)
    ids = [stage.request(EVERYTHING) for _ in range(20)]
    turns = 0
    while not all(stage.has_answer(each) for each in ids):
        stage.turn()
        turns += 1
        assert turns < 50
    assert turns >= 4


def test_counting_many_keys_takes_several_turns() -> None:
    stage = filled(25_000, 1)
    request_id = stage.request(RangeRequest(b"\0", b"\0", count_only=True, serializable=True))
    answer = read_on(stage, request_id)
    [(_, body)] = answer
    assert isinstance(body, RangeResponse)
    assert body.count == 25_000


def test_alarms_are_listed_by_kind_and_forbid_writes() -> None:
    stage = filled(1, 1)
    corrupt, full = AlarmMember(7, AlarmType.CORRUPT), AlarmMember(8, AlarmType.NOSPACE)
    for alarm in (corrupt, full):
        request = AlarmRequest(AlarmAction.ACTIVATE, alarm.member_id, alarm.alarm)
        changed = stage.do(request)
        assert isinstance(changed, AlarmResponse)
        assert changed.alarms == (alarm,)
    listed = stage.do(AlarmRequest())
    assert isinstance(listed, AlarmResponse)
    assert listed.alarms == (full, corrupt)
    assert listed.header.revision > 1
    of_a_kind = stage.do(AlarmRequest(alarm=AlarmType.CORRUPT))
    assert isinstance(of_a_kind, AlarmResponse)
    assert of_a_kind.alarms == (corrupt,)
    refused = stage.do(PutRequest(b"a"))
    assert isinstance(refused, ErrorBody)
    assert refused.text == "etcdserver: corrupt cluster"


def test_hashing_goes_on_over_turns() -> None:
    stage = filled(6_000, 1)
    request_id = stage.request(HashKVRequest())
    stage.turn()
    assert not stage.has_answer(request_id)
    for _ in range(10):
        stage.turn()
    assert isinstance(stage.answer(request_id), HashKVResponse)

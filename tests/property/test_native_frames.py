"""Whatever a client sends, a gateway answers or ignores it, keeps its invariants and serves others."""

from __future__ import annotations

import json
import types
import typing
from enum import IntEnum
from pathlib import Path
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.gateway.stage import ALICE, BOB, Stage, decoded
from zetcd.messages.base import Message
from zetcd.messages.client import FrameType, UnaryRequest, pack_frame
from zetcd.messages.cluster import AlarmAction, AlarmRequest, AlarmResponse, AlarmType
from zetcd.messages.codec import encode
from zetcd.messages.kv import PutRequest, PutResponse, RangeRequest, RangeResponse, TxnRequest
from zetcd.messages.watch import WatchCreateRequest, WatchCredit

_FILE: Final = Path(__file__).parents[1] / "testdata" / "protocol" / "vectors.json"
_FRAMES: Final = [
    bytes.fromhex(vector["frame"]) for vector in json.loads(_FILE.read_text())["positive"]
]

frames = st.sampled_from(_FRAMES)
headers = st.builds(
    pack_frame,
    st.integers(0, 255),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=60),
    st.integers(0, 2**32 - 1),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a good frame with some bytes changed, cut, or added."""
    frame = bytearray(draw(frames))
    for _ in range(draw(st.integers(1, 4))):
        if frame:
            frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(frame)))
    keeps_all = draw(st.booleans())
    return bytes(frame if keeps_all else frame[:cut]) + draw(st.binary(max_size=4))


anything = st.one_of(frames, headers, damaged(), st.binary(max_size=40), st.none())


def is_served(stage: Stage) -> bool:
    """Whether a good client gets its answers, once it has put out whatever alarms were raised."""
    raised = stage.do(AlarmRequest(), BOB)
    assert isinstance(raised, AlarmResponse)
    for alarm in raised.alarms:
        stage.do(AlarmRequest(AlarmAction.DEACTIVATE, alarm.member_id, alarm.alarm), BOB)
    put = stage.do(PutRequest(b"good", b"client"), BOB)
    get = stage.do(RangeRequest(b"good"), BOB)
    return isinstance(put, PutResponse) and isinstance(get, RangeResponse)


_ALARM: Final = pack_frame(
    FrameType.REQ, 2, encode(AlarmRequest(AlarmAction.ACTIVATE, 2**64 - 1, AlarmType.CORRUPT))
)


@given(st.lists(anything, max_size=12), st.booleans())
@example([_ALARM], True)
def test_nothing_a_client_sends_raises_or_harms_another(
    sent: list[bytes | None], opens_session: bool
) -> None:
    stage = Stage()
    stage.hello(BOB)
    if opens_session:
        stage.hello(ALICE)
    for frame in sent:
        stage.frame(ALICE, frame)
        stage.turn(0.01)
        stage.commit()
        stage.confirm_reads()
    # Whatever came back can be read by a client.
    for frame in stage.sent.pop(ALICE, []):
        decoded(frame)
    assert is_served(stage)


@given(st.lists(anything, max_size=8))
def test_every_request_of_a_session_that_lives_is_answered(sent: list[bytes | None]) -> None:
    stage = Stage()
    stage.hello(ALICE)
    stage.hello(BOB)
    for frame in sent:
        stage.frame(ALICE, frame)
    for _ in range(20):
        # Frames keep the session alive until every deadline has passed.
        stage.frame(BOB, pack_frame(FrameType.PONG, 0))
        stage.turn(0.4)
    assert stage.gateway.facts()["pending"] == 0
    assert stage.gateway.is_idle


@given(st.integers(1, 400))
def test_transactions_of_any_depth_are_answered(depth: int) -> None:
    stage = Stage()
    stage.hello(ALICE)
    stage.hello(BOB)
    body = b"\x93\x04\x90\x91" * depth + encode(PutRequest(b"a"))
    request_id = stage.raw_request(body)
    stage.settle()
    answer = stage.answer(request_id)
    # The limit counts transactions; all of them are within what a decoder can hold.
    assert hasattr(answer, "succeeded") == (depth <= stage.options.limits.txn_depth_max)
    assert is_served(stage)


@given(
    st.lists(
        st.one_of(
            st.builds(WatchCreateRequest, st.integers(0, 3), st.binary(max_size=3)),
            st.builds(
                WatchCredit, st.integers(0, 3), st.integers(-9, 99), st.integers(-9, 2**64 - 1)
            ),
            st.builds(TxnRequest),
        ),
        max_size=15,
    ),
    st.data(),
)
def test_watch_frames_keep_the_books(requests: list[object], data: st.DataObject) -> None:
    stage = Stage()
    stage.hello(ALICE)
    stage.hello(BOB)
    for request in requests:
        kind = data.draw(st.sampled_from([FrameType.WATCH, FrameType.CREDIT]))
        stream_id = data.draw(st.integers(0, 3))
        stage.frame(ALICE, pack_frame(kind, stream_id, encode(request)))
        stage.turn()
    stage.gateway.watch_restarted()
    stage.turn()
    stage.frame(ALICE, pack_frame(FrameType.GOAWAY, 0))
    stage.turn()
    assert stage.gateway.facts()["watchers"] == 0
    assert is_served(stage)


# --- requests that decode ---------------------------------------------------------------------------

#: What arithmetic, ``struct`` and Python's own functions trip over, and numbers that mean something.
#: Mostly harmless, so that most requests pass the checks before the one that matters.
numbers = st.one_of(
    st.sampled_from([0, 0, 0, 1, 2, 7]),
    st.sampled_from([-1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]),
)
keys = st.sampled_from([b"a", b"b", b"good", b"\0", b"", b"\xff" * 600, b"k" * 2000])
_SCALARS: Final[dict[object, st.SearchStrategy[object]]] = {
    int: numbers,
    bytes: keys,
    bool: st.sampled_from([False, False, False, True]),
    str: st.sampled_from(["", "tcp://127.0.0.1:1", "http://[::1", "x" * 300]),
    types.NoneType: st.none(),
}


def anything_of(kind: object) -> st.SearchStrategy[object]:
    """Return every value of a field's type, small and extreme."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if typing.get_origin(kind) is tuple:
        (item, *_) = typing.get_args(kind)
        return st.lists(st.deferred(lambda: anything_of(item)), max_size=2).map(tuple)
    if typing.get_args(kind):
        return st.one_of([anything_of(each) for each in typing.get_args(kind)])
    assert isinstance(kind, type)
    if issubclass(kind, IntEnum):
        return st.sampled_from(list(kind))
    assert issubclass(kind, Message)
    hints = typing.get_type_hints(kind)
    fields = {name: anything_of(hints[name]) for name in kind.__struct_fields__}
    return st.builds(kind, **fields)


requests = st.one_of([anything_of(each) for each in typing.get_args(UnaryRequest)])


@example([AlarmRequest(AlarmAction.ACTIVATE, -1, AlarmType.NOSPACE)])
@example([TxnRequest((), (PutRequest(b"a"), RangeRequest(b"a", b"b", limit=2**63)))])
@example([RangeRequest(b"a", limit=2**63)])
@given(st.lists(requests, min_size=10, max_size=30))
def test_no_request_that_decodes_ends_a_gateway_or_apply(sent: list[Message]) -> None:
    """What reaches the log is executed by every member: one exception there ends the cluster."""
    stage = Stage()
    stage.hello(ALICE)
    stage.hello(BOB)
    for request in sent:
        stage.request(request)
        stage.settle()
    stage.applier.check()
    # Not a put: an alarm may be on now.
    assert isinstance(stage.do(RangeRequest(b"good"), BOB), RangeResponse)

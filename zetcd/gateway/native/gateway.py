"""Responsible for the native protocol (`docs/protocol.md`): sessions, and what each frame means.

The core of a native gateway, without sockets: frames of clients and messages of the node go in
through `step_client` and `step_node`, frames and messages come out of `ready`.

Invariants
    - Nothing a client sends raises: it gets an ERR, and loses its session if it broke the protocol.
    - After the end of a session nothing is sent to it but its GOAWAY.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, cast

from zetcd.errors import (
    BadFrame,
    InvalidArgument,
    InvalidSortOption,
    NoLeader,
    NotSupportedForLearner,
    RequestTooManyRequests,
    SessionExpired,
    Stopped,
    TooManySessions,
    TxnTooDeep,
    UnknownMessage,
    UnsupportedVersion,
    ZetcdError,
)
from zetcd.gateway.native.replies import NativeReplies, error_frame, goaway_frame
from zetcd.gateway.native.session import Session
from zetcd.gateway.native.watch_router import ToWatch, WatchRouter
from zetcd.gateway.options import GatewayOptions
from zetcd.gateway.pending import Pending, begun_nothing
from zetcd.gateway.service import Service, ToApply, ToRaft
from zetcd.messages.base import Message
from zetcd.messages.client import (
    HEADER_BYTES,
    MAGIC,
    ClientHello,
    FrameHeader,
    FrameType,
    UnaryRequest,
    WatchRequest,
    Welcome,
    pack_frame,
    unpack_header,
)
from zetcd.messages.codec import TAGS, UnionDecoder, decoder_of, encode
from zetcd.messages.kv import RangeRequest
from zetcd.messages.node import (
    ApplyReached,
    ApplyResults,
    ChangeMemberRefused,
    Defragmented,
    Figure,
    LeaderAnswer,
    LeaderInfo,
    MemberChanged,
    MemberTable,
    ProposeRefused,
    RaftStatus,
    ReadIndexResult,
    SnapshotPart,
    WatchDelivery,
)
from zetcd.messages.watch import WatchCredit
from zetcd.metrics import figure
from zetcd.mvcc.backend import Backend

#: Minor versions this server speaks.
MINORS: Final = (0,)
#: Features both sides may rely on if both name them.
FEATURES: Final = ("partial-range",)
#: How often silent sessions are looked for, as a share of the ping interval.
_LIVENESS_SHARE: Final = 0.25
#: Frames kept for a client whose pipe is full are tried again.
_OUTBOX_RETRY_SECONDS: Final = 0.005
#: Seconds for which a GOAWAY is offered to a client that does not read.
_FAREWELL_SECONDS: Final = 30.0
#: GOAWAYs that wait at the same time.
_FAREWELLS_MAX: Final = 1_024
#: What a client is told to wait when the member stops; with jitter of its own.
RECONNECT_AFTER_STOP_MS: Final = 500
#: The longest name of a client that is remembered.
_CLIENT_CHARACTERS_MAX: Final = 100

#: Everything that foreign bytes can make a decoder raise. Text that is not UTF-8 surfaces as
#: UnicodeDecodeError, which like msgspec's own errors is a ValueError.
DECODE_FAILURES: Final = (ValueError, RecursionError, MemoryError)

_decode_hello: Final = decoder_of(ClientHello).decode
_decode_unary: Final[Callable[[bytes | memoryview], Message]] = UnionDecoder(UnaryRequest).decode
_decode_watch: Final[Callable[[bytes | memoryview], Message]] = UnionDecoder(WatchRequest).decode
_decode_credit: Final = decoder_of(WatchCredit).decode

_PING: Final = int(FrameType.PING)
_PONG: Final = int(FrameType.PONG)
_GOAWAY: Final = int(FrameType.GOAWAY)


class GatewayReady(NamedTuple):
    """Everything to send since the last call, in order."""

    #: (routing id, frame).
    frames: list[tuple[bytes, bytes]]
    to_raft: list[ToRaft]
    to_apply: list[ToApply]
    to_watch: list[ToWatch]


class NativeGateway:
    """All sessions of one native gateway."""

    def __init__(self, options: GatewayOptions, now: float) -> None:
        """Start without sessions and without a store."""
        self._options = options
        self._sessions: dict[bytes, Session] = {}
        self._replies = NativeReplies(self._sessions)
        self._service = Service(options, self._replies)
        self._watch = WatchRouter(options, self._replies)
        self._last_session = options.incarnation << 32
        #: Sessions with frames that their pipe did not take, and when to try again.
        self._blocked: dict[bytes, float] = {}
        #: GOAWAYs that the pipe did not take, and until when to try.
        self._farewells: dict[bytes, tuple[bytes, float]] = {}
        self._liveness_at = now
        self._is_learner = False
        self._is_draining = False
        #: Figures for status.
        self.frames_count = 0
        self.dismissed_count = 0
        self._frame_handlers: dict[int, Callable[[Session, FrameHeader, bytes, float], None]] = {
            FrameType.REQ: self._on_request,
            FrameType.CANCEL: self._on_cancel,
            FrameType.WATCH: self._on_watch,
            FrameType.CREDIT: self._on_credit,
            FrameType.PING: self._on_ping,
            FrameType.PONG: self._on_pong,
            FrameType.GOAWAY: self._on_leave,
        }
        service = self._service
        self._node_handlers: dict[type[Message], Callable[[Message, float], None]] = {
            ApplyResults: lambda m, _: service.results(cast(ApplyResults, m)),
            ProposeRefused: lambda m, t: service.refused(cast(ProposeRefused, m), t),
            ReadIndexResult: lambda m, t: service.read_index_result(cast(ReadIndexResult, m), t),
            ApplyReached: lambda m, _: service.apply_reached(cast(ApplyReached, m)),
            Defragmented: lambda m, _: service.defragmented(cast(Defragmented, m)),
            SnapshotPart: lambda m, _: service.snapshot_part(cast(SnapshotPart, m)),
            LeaderAnswer: lambda m, t: service.leader_answer(cast(LeaderAnswer, m), t),
            LeaderInfo: lambda m, t: self._on_leader_info(cast(LeaderInfo, m), t),
            RaftStatus: lambda m, _: service.raft_status(cast(RaftStatus, m)),
            MemberTable: lambda m, _: service.member_table(cast(MemberTable, m)),
            ChangeMemberRefused: lambda m, t: service.change_refused(
                cast(ChangeMemberRefused, m), t
            ),
            MemberChanged: lambda m, _: service.member_changed(cast(MemberChanged, m)),
            WatchDelivery: lambda m, _: self._watch.deliver(cast(WatchDelivery, m)),
        }

    # --- frames of clients ------------------------------------------------------------------------

    def step_client(self, routing_id: bytes, frame: bytes | None, now: float) -> None:
        """Consume one message of a client; None: it did not consist of exactly one frame."""
        self.frames_count += 1
        session = self._sessions.get(routing_id)
        if frame is None:
            self._break(routing_id, BadFrame("a message must be exactly one frame"))
            return
        try:
            header = unpack_header(frame)
        except ValueError as error:
            self._break(routing_id, _header_error(frame, str(error)))
            return
        if session is None or header.type == FrameType.HELLO:
            self._greet(routing_id, header, frame, now)
            return
        session.last_seen = now
        handler = self._frame_handlers.get(header.type)
        if handler is None:
            error_ = UnknownMessage(f"frame type {header.type}")
            self._replies.send(session, error_frame(header.request_id, error_))
        else:
            handler(session, header, frame, now)

    def _greet(self, routing_id: bytes, header: FrameHeader, frame: bytes, now: float) -> None:
        """Open a session, or say why not."""
        if header.type != FrameType.HELLO:
            # Also what a client sees whose session ended while it was not reading.
            self._break(routing_id, SessionExpired("a session begins with HELLO"))
            return
        try:
            hello = _decode_hello(memoryview(frame)[HEADER_BYTES:])
            self._check_hello(routing_id, hello)
        except DECODE_FAILURES as error:
            self._break(routing_id, BadFrame(f"HELLO: {error}"))
            return
        except ZetcdError as error:
            self._break(routing_id, error)
            return
        self._drop(routing_id)
        self._last_session += 1
        client = hello.client[:_CLIENT_CHARACTERS_MAX]
        session = Session(routing_id, self._last_session, client, now)
        self._sessions[routing_id] = session
        self._watch.session_opened(session)
        self._farewells.pop(routing_id, None)
        self._replies.send(
            session, pack_frame(FrameType.WELCOME, 0, encode(self._welcome(session, hello)))
        )

    def _check_hello(self, routing_id: bytes, hello: ClientHello) -> None:
        """Refuse a session that cannot work."""
        if len(routing_id) != 5 or routing_id[0] != 0:
            raise BadFrame("routing ids are assigned by the server; do not set one")
        if not set(MINORS).intersection(hello.minors):
            raise UnsupportedVersion(
                f"minor versions {hello.minors[:8]}, this server speaks {MINORS}"
            )
        if self._is_draining:
            raise Stopped("the member is stopping")
        if (
            len(self._sessions) >= self._options.limits.sessions_max
            and routing_id not in self._sessions
        ):
            raise TooManySessions(f"{len(self._sessions)} sessions are open")

    def _welcome(self, session: Session, hello: ClientHello) -> Welcome:
        options = self._options
        return Welcome(
            max(set(MINORS).intersection(hello.minors)),
            FEATURES,
            options.cluster_id,
            options.node_id,
            options.member_name,
            session.session_id,
            options.server_version,
            options.request_bytes_max,
            options.txn_ops_max,
            options.limits.session_requests_max,
            int(options.ping_interval_seconds * 1000),
            int(options.dead_after_seconds * 1000),
        )

    def _on_request(self, session: Session, header: FrameHeader, frame: bytes, now: float) -> None:
        request_id = header.request_id
        if request_id == 0 or request_id in session.pending:
            # An answer could not be told from another one's.
            self._break(session.routing_id, BadFrame(f"request id {request_id} is 0 or in use"))
            return
        timeout = self._options.request_timeout_seconds
        if header.deadline_ms:
            timeout = min(timeout, header.deadline_ms / 1000)
        try:
            request = _decode_unary(memoryview(frame)[HEADER_BYTES:])
        except DECODE_FAILURES as error:
            self._replies.send(session, error_frame(request_id, _decode_error(frame, error)))
            return
        pending = Pending(session, request_id, request, started=now, deadline=now + timeout)
        self._replies.open(pending)
        if (
            len(session.pending) > self._options.limits.session_requests_max
            or self._replies.pending_count > self._options.limits.pending_requests_max
        ):
            count = len(session.pending) - 1
            self._replies.fail(
                pending, RequestTooManyRequests(f"{count} requests wait for an answer")
            )
            return
        try:
            self._service.submit(pending, len(frame) - HEADER_BYTES)
        except ZetcdError as error:
            self._replies.fail(pending, begun_nothing(error))

    def _on_cancel(self, session: Session, header: FrameHeader, frame: bytes, now: float) -> None:
        del frame, now
        pending = session.pending.get(header.request_id)
        if pending is not None:
            self._replies.close(pending)

    def _on_watch(self, session: Session, header: FrameHeader, frame: bytes, now: float) -> None:
        del now
        stream_id = header.request_id
        try:
            if self._is_learner:
                raise NotSupportedForLearner
            request = _decode_watch(memoryview(frame)[HEADER_BYTES:])
            self._watch.request(session, stream_id, cast(WatchRequest, request))
        except ZetcdError as error:
            self._replies.send(session, error_frame(stream_id, error))
        except DECODE_FAILURES as error:
            self._watch.end_stream(session, stream_id)
            self._replies.send(session, error_frame(stream_id, _decode_error(frame, error)))

    def _on_credit(self, session: Session, header: FrameHeader, frame: bytes, now: float) -> None:
        del now
        stream_id = header.request_id
        try:
            credit = _decode_credit(memoryview(frame)[HEADER_BYTES:])
            self._watch.credit(session, stream_id, credit)
        except ZetcdError as error:
            self._replies.send(session, error_frame(stream_id, error))
        except DECODE_FAILURES as error:
            self._watch.end_stream(session, stream_id)
            self._replies.send(session, error_frame(stream_id, _decode_error(frame, error)))

    def _on_ping(self, session: Session, header: FrameHeader, frame: bytes, now: float) -> None:
        del frame, now
        self._replies.send(session, pack_frame(_PONG, header.request_id))

    def _on_pong(self, session: Session, header: FrameHeader, frame: bytes, now: float) -> None:
        del frame, now
        session.pinged_at = float("-inf")
        confirmed = session.stream_pings.pop(header.request_id, 0)
        session.stream_bytes_confirmed = max(session.stream_bytes_confirmed, confirmed)

    def _on_leave(self, session: Session, header: FrameHeader, frame: bytes, now: float) -> None:
        del header, frame, now
        self._drop(session.routing_id)

    # --- the end of sessions ----------------------------------------------------------------------

    def _break(self, routing_id: bytes, error: ZetcdError) -> None:
        """Tell a client what it did wrong and end its session, if it has one."""
        self._drop(routing_id)
        self._replies.frames.append((routing_id, error_frame(0, error)))

    def _drop(self, routing_id: bytes) -> None:
        """Forget a session; its unanswered requests get no answer any more."""
        session = self._sessions.pop(routing_id, None)
        if session is None:
            return
        session.is_open = False
        for pending in list(session.pending.values()):
            self._replies.close(pending)
        self._watch.session_closed(session)
        self._blocked.pop(routing_id, None)

    def _dismiss(self, session: Session, reason: str, reconnect_after_ms: int = 0) -> None:
        """End a session from this side."""
        self._drop(session.routing_id)
        self.dismissed_count += 1
        frame = goaway_frame(reason, reconnect_after_ms)
        self._replies.frames.append((session.routing_id, frame))

    def send_failed(self, routing_id: bytes, frame: bytes, now: float, *, is_gone: bool) -> None:
        """Note that a frame of `ready` could not be sent; the client is gone, or does not read."""
        if is_gone:
            self._farewells.pop(routing_id, None)
            self._drop(routing_id)
            return
        session = self._sessions.get(routing_id)
        if session is not None:
            self._blocked[routing_id] = now + _OUTBOX_RETRY_SECONDS
            if not session.keep(frame):
                self._dismiss(session, "the client does not read its answers")
        elif frame[2] == _GOAWAY and len(self._farewells) < _FAREWELLS_MAX:
            _, until = self._farewells.get(routing_id, (b"", now + _FAREWELL_SECONDS))
            self._farewells[routing_id] = (frame, until)

    def dismiss_session(self, session_id: int, reason: str) -> None:
        """End a session whose watches can no longer be served."""
        session = next(
            (each for each in self._sessions.values() if each.session_id == session_id), None
        )
        if session is not None:
            self._dismiss(session, reason)

    # --- messages of the node ---------------------------------------------------------------------

    def step_node(self, message: Message, now: float) -> None:
        """Consume one message of raft, apply or watch."""
        self._node_handlers[type(message)](message, now)

    def _on_leader_info(self, info: LeaderInfo, now: float) -> None:
        self._is_learner = info.is_learner
        self._service.leader_info(info, now)

    def raft_restarted(self, now: float) -> None:
        """Note a new incarnation of raft: what the old one held is lost."""
        self._service.raft_restarted(now)

    def snapshot_restarted(self) -> None:
        """Note a new incarnation of snapshot: the parts that clients wait for are lost."""
        self._service.snapshot_restarted()

    def apply_restarted(self) -> None:
        """Note a new incarnation of apply: results on their way are lost."""
        self._service.apply_restarted()

    def watch_restarted(self) -> None:
        """Note a new incarnation of watch: it must be told of every watcher."""
        for session in self._watch.watch_restarted():
            self._dismiss(session, "watch restarted in the middle of a revision")

    def set_backend(self, backend: Backend | None) -> None:
        """Read from this store from now on; None: there is none, reads wait."""
        self._service.set_backend(backend)

    def refuse_proposal(self, batch_id: int, now: float) -> None:
        """Note that a proposal of `ready` could not be sent to raft."""
        self._service.refused(ProposeRefused(batch_id, NoLeader.number), now)

    def refuse_change(self, request_id: int, now: float) -> None:
        """Note that a membership change of `ready` could not be sent to raft."""
        self._service.change_unreachable(request_id, now)

    def drain(self) -> None:
        """Take nothing new; what was taken is still answered."""
        self._is_draining = True
        self._service.drain()

    @property
    def is_idle(self) -> bool:
        """Whether every request has its answer."""
        return self._replies.pending_count == 0

    def say_goodbye(self) -> None:
        """End every session: the member stops."""
        for session in list(self._sessions.values()):
            self._dismiss(session, "the member is stopping", RECONNECT_AFTER_STOP_MS)

    # --- once per turn ----------------------------------------------------------------------------

    def ready(self, now: float) -> GatewayReady:
        """Do a bounded amount of reading; return everything to send since the last call."""
        if now >= self._liveness_at:
            self._check_liveness(now)
        service, watch = self._service, self._watch
        service.advance(now)
        frames = self._replies.take()
        if self._blocked:
            frames = self._with_outboxes(frames, now)
        ready = GatewayReady(frames, service.to_raft, service.to_apply, watch.to_watch)
        service.to_raft, service.to_apply, watch.to_watch = [], [], []
        return ready

    def _with_outboxes(
        self, frames: list[tuple[bytes, bytes]], now: float
    ) -> list[tuple[bytes, bytes]]:
        """Put kept frames before the new ones of the same client, or the new ones behind them."""
        merged: list[tuple[bytes, bytes]] = []
        overflowed: dict[bytes, Session] = {}
        for routing_id in [key for key, at in self._blocked.items() if at <= now]:
            session = self._sessions[routing_id]
            del self._blocked[routing_id]
            merged.extend((routing_id, frame) for frame in session.outbox)
            session.outbox.clear()
            session.outbox_bytes = 0
        for routing_id, frame in frames:
            if routing_id not in self._blocked:
                merged.append((routing_id, frame))
            elif not self._sessions[routing_id].keep(frame):
                overflowed[routing_id] = self._sessions[routing_id]
        for session in overflowed.values():
            self._dismiss(session, "the client does not read its answers")
        return merged

    def _check_liveness(self, now: float) -> None:
        """Ping silent sessions, end dead ones, and offer GOAWAYs again."""
        interval = self._options.ping_interval_seconds
        paused = now - self._liveness_at
        if paused > interval:
            # This process did not run: its own pause is not the clients' silence.
            for session in self._sessions.values():
                session.last_seen += paused
        self._liveness_at = now + interval * _LIVENESS_SHARE
        dead_after = self._options.dead_after_seconds
        dead: list[Session] = []
        for session in self._sessions.values():
            silence = now - session.last_seen
            if silence >= dead_after:
                dead.append(session)
            elif silence >= interval and now - session.pinged_at >= interval:
                session.pinged_at = now
                self._replies.send(session, pack_frame(_PING, 0))
        for session in dead:
            self._dismiss(session, f"nothing was heard for {dead_after:g} s")
        farewells, self._farewells = self._farewells, {}
        for routing_id, (frame, until) in farewells.items():
            if now < until:
                self._replies.frames.append((routing_id, frame))

    def wake_at(self) -> float:
        """Return when `ready` has something to do, even without input."""
        wake_at = min(self._liveness_at, self._service.wake_at())
        if self._blocked:
            wake_at = min(wake_at, *self._blocked.values())
        return wake_at

    def figures(self) -> tuple[Figure, ...]:
        """Return figures for /metrics."""
        sessions = figure("zetcd_gateway_connections", len(self._sessions), "native")
        return (*self._service.figures(), sessions)

    def facts(self) -> dict[str, int]:
        """Return figures for status."""
        return self._service.facts() | {
            "dismissed": self.dismissed_count,
            "errors": self._replies.errors_count,
            "frames": self.frames_count,
            "pending": self._replies.pending_count,
            "sessions": len(self._sessions),
            "watchers": self._watch.watchers_count,
            "watch_responses": self._watch.delivered_count,
        }

    def check(self) -> None:
        """Assert the invariants."""
        self._service.check()
        count = 0
        for routing_id, session in self._sessions.items():
            assert session.is_open
            assert session.routing_id == routing_id
            assert session.outbox_bytes == sum(len(frame) for frame in session.outbox)
            assert session.watchers_count == sum(s.watchers_count for s in session.streams.values())
            for request_id, pending in session.pending.items():
                assert pending.is_open
                assert pending.request_id == request_id
                count += 1
        assert count == self._replies.pending_count


def _header_error(frame: bytes, reason: str) -> ZetcdError:
    """Return the error for a frame whose header cannot be read."""
    if len(frame) >= HEADER_BYTES and frame[0] == MAGIC:
        return UnsupportedVersion(reason)
    return BadFrame(reason)


def _decode_error(frame: bytes, error: BaseException) -> ZetcdError:
    """Return the error for a body that cannot be decoded, with etcd's text where etcd has one."""
    if isinstance(error, RecursionError):
        return TxnTooDeep("the body is nested deeper than can be decoded")
    if isinstance(error, MemoryError):
        return BadFrame("the body needs more memory than there is")
    tag = _tag_of(frame)
    if tag is not None and tag not in TAGS:
        return UnknownMessage(f"message {tag}")
    # What proto enums would let through, and etcd's own check refuses.
    if tag == _RANGE_TAG and "enum" in str(error):
        return InvalidSortOption(str(error))
    return InvalidArgument(str(error))


def _tag_of(frame: bytes) -> int | None:
    """Return the tag of a body that looks like a message, else None."""
    body = frame[HEADER_BYTES : HEADER_BYTES + 1 + 9]
    if len(body) < 2 or not 0x91 <= body[0] <= 0x9F:
        return None
    if body[1] < 0x80:
        return body[1]
    size = _UNSIGNED_BYTES.get(body[1], 0)
    number = body[2 : 2 + size]
    return int.from_bytes(number, "big") if size and len(number) == size else None


#: MessagePack's unsigned integers: first byte → bytes of the number.
_UNSIGNED_BYTES: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}


_RANGE_TAG: Final = RangeRequest.__struct_config__.tag

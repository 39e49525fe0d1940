"""Responsible for the client's side of the native protocol: bytes and time in, frames and results out.

The core shared by `Client` and `AsyncClient`; it never waits, reads no clock and knows no socket.
An adapter calls `submit`, `watch` and the like, feeds `receive`, `lost` and `handle_timer`, and does
after each what the session shows:

    connection   which endpoint a socket must be connected to (None: to none); a new number = a new socket
    outbox       frames to send on it, in order
    completed    calls that have their answer
    woken        watches that have something to read, or are open now

States
    IDLE ──call──> CONNECTING ──WELCOME──> READY
      ^                │ ^                   │
      │         failed │ │ pause over        │ silence, GOAWAY, disconnect, gap, refused session
      │                v │                   │
      └─nothing wanted─ PAUSED <─────────────┘   (no pause if another endpoint is still untried)

Invariants
    - Requests are sent only after WELCOME: a connection that never came up has carried nothing.
    - A request that is not repeatable is sent once, unless the server said that nothing was done.
    - ``wake_at`` is never later than the first moment at which `handle_timer` has something to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from heapq import heappop, heappush
from random import Random
from typing import Final, NamedTuple, cast

from zetcd import __version__
from zetcd.client.call import Call, lost_in_flight, unknown_outcome
from zetcd.client.options import ClientOptions
from zetcd.client.requests import encoded
from zetcd.client.watch_stream import WatchStream
from zetcd.errors import (
    BadFrame,
    Code,
    NotConnected,
    RequestTooLarge,
    RetryClass,
    SessionExpired,
    Stopped,
    ZetcdError,
    from_wire,
)
from zetcd.messages.client import (
    HEADER_BYTES,
    ClientHello,
    ErrorBody,
    FrameHeader,
    FrameType,
    GoAway,
    UnaryResponse,
    Welcome,
    pack_frame,
    unpack_header,
)
from zetcd.messages.codec import DECODE_ERRORS, UnionDecoder, decoder_of, encode
from zetcd.messages.kv import KeyValue, RangeResponse
from zetcd.messages.watch import (
    WatchCloseRequest,
    WatchCreateRequest,
    WatchProgressRequest,
    WatchResponse,
)

_decode_response: Final[Callable[[bytes | memoryview], UnaryResponse]] = cast(
    "Callable[[bytes | memoryview], UnaryResponse]", UnionDecoder(UnaryResponse).decode
)
_decode_watch: Final = decoder_of(WatchResponse).decode
_decode_error: Final = decoder_of(ErrorBody).decode
_decode_welcome: Final = decoder_of(Welcome).decode
_decode_goaway: Final = decoder_of(GoAway).decode
#: Text that is not UTF-8 surfaces as UnicodeDecodeError, a ValueError as msgspec's own errors are.
_DECODE_FAILURES: Final = (ValueError, *DECODE_ERRORS)

# Plain integers: packing and comparing an IntEnum costs three times as much.
_HELLO: Final = int(FrameType.HELLO)
_REQ: Final = int(FrameType.REQ)
_RES: Final = int(FrameType.RES)
_CANCEL: Final = int(FrameType.CANCEL)
_WATCH: Final = int(FrameType.WATCH)
_CREDIT: Final = int(FrameType.CREDIT)
_PING: Final = int(FrameType.PING)
_PONG: Final = int(FrameType.PONG)
_GOAWAY: Final = int(FrameType.GOAWAY)

_FAR: Final = float("inf")
#: Refusals in a row, with nothing answered between them, after which another member is tried.
_UNAVAILABLE_MAX: Final = 3
#: Seconds a connection is kept at least before it is given up for such refusals.
_MOVE_INTERVAL_SECONDS: Final = 1.0
#: Most a frame's deadline field can carry.
_DEADLINE_MS_MAX: Final = 2**32 - 1


class SessionState(IntEnum):
    """Where the session is in its life; see the module."""

    IDLE = 0
    CONNECTING = 1
    READY = 2
    PAUSED = 3
    CLOSED = 4


class Connection(NamedTuple):
    """The connection that should exist; another number is another socket."""

    number: int
    endpoint: str


class ClientSession:
    """The protocol core of one client; see the module."""

    def __init__(self, options: ClientOptions, rng: Random) -> None:
        """Start idle: the first call or watch connects."""
        self.options = options
        self._rng = rng
        self.state = SessionState.IDLE
        self.connection: Connection | None = None
        self.welcome: Welcome | None = None
        self.outbox: list[bytes] = []
        self.completed: list[Call] = []
        self.woken: list[WatchStream] = []
        #: Why the last connection failed or ended.
        self.last_error: ZetcdError | None = None
        #: Connections begun; for the curious.
        self.connections_count = 0
        self._position = 0
        self._failures = 0
        #: Endpoints that will never have us, and why.
        self._refusals: dict[str, ZetcdError] = {}
        self._last_id = 0
        self._inflight: dict[int, Call] = {}
        self._inflight_max = 1
        self._ping_interval = options.ping_interval
        self._dead_after = 3 * options.ping_interval
        #: Calls without a connection, or beyond what the server allows at once; oldest first.
        self._waiting: deque[Call] = deque()
        self._retry_serial = 0
        self._retries: list[tuple[float, int, Call]] = []
        self._streams: dict[int, WatchStream] = {}
        self._watches: dict[WatchStream, None] = {}
        self._ready_at = 0.0
        self._last_received = 0.0
        self._last_answer = 0.0
        self._last_turn = 0.0
        self._unavailable_count = 0
        #: When the state's own timer is due, and a lower bound of every call's deadline.
        self._timer_at = _FAR
        self._deadline_at = _FAR
        self._handlers: dict[int, Callable[[FrameHeader, memoryview, float], None]] = {
            FrameType.WELCOME: self._on_welcome,
            FrameType.PARTIAL: self._on_partial,
            FrameType.ERR: self._on_error,
            FrameType.WATCH: self._on_watch,
            FrameType.PING: self._on_ping,
            FrameType.PONG: self._on_pong,
            FrameType.GOAWAY: self._on_goaway,
        }

    # --- calls ------------------------------------------------------------------------------------

    def submit(self, call: Call, now: float) -> None:
        """Send ``call`` now, or as soon as there is a session with room for it."""
        self._deadline_at = min(self._deadline_at, call.deadline)
        if self.state is SessionState.READY and len(self._inflight) < self._inflight_max:
            self._send(call, now)
            return
        assert self.state is not SessionState.CLOSED, "the client is closed"
        self._waiting.append(call)
        if self.state is SessionState.IDLE:
            self._connect(now)

    def cancel(self, call: Call, now: float) -> None:
        """Forget ``call``: nobody waits for it any more. If it was proposed, it still happens."""
        if call.is_done:
            return
        call.is_done = True
        if self._inflight.pop(call.request_id, None) is not None:
            self.outbox.append(pack_frame(_CANCEL, call.request_id))
            self._send_waiting(now)

    def _send(self, call: Call, now: float) -> None:
        assert self.welcome is not None
        if len(call.body) > self.welcome.request_bytes_max:
            limit = self.welcome.request_bytes_max
            self._fail(
                call, RequestTooLarge(f"{len(call.body)} bytes, at most {limit} are allowed")
            )
            return
        self._last_id = call.request_id = self._last_id + 1
        call.is_sent = True
        call.sent_at = now
        call.parts = None
        self._inflight[call.request_id] = call
        deadline_ms = min(int((call.deadline - now) * 1000) + 1, _DEADLINE_MS_MAX)
        self.outbox.append(pack_frame(_REQ, call.request_id, call.body, max(deadline_ms, 1)))

    def _send_waiting(self, now: float) -> None:
        if self.state is not SessionState.READY:
            return
        while self._waiting and len(self._inflight) < self._inflight_max:
            call = self._waiting.popleft()
            if not call.is_done:
                self._send(call, now)

    def _succeed(self, call: Call, result: UnaryResponse) -> None:
        call.result = result
        call.is_done = True
        self.completed.append(call)

    def _fail(self, call: Call, error: ZetcdError) -> None:
        call.error = error
        call.is_done = True
        self.completed.append(call)

    # --- watches ----------------------------------------------------------------------------------

    def watch(self, request: WatchCreateRequest, now: float) -> WatchStream:
        """Begin a watch; it goes on across connections until `close_watch` or an error.

        Raises:
            InvalidArgument: the request cannot be encoded.
        """
        assert self.state is not SessionState.CLOSED, "the client is closed"
        encoded(request)
        stream = WatchStream(request)
        self._watches[stream] = None
        if self.state is SessionState.READY:
            self._open_stream(stream)
        elif self.state is SessionState.IDLE:
            self._connect(now)
        return stream

    def take(self, stream: WatchStream) -> WatchResponse | None:
        """Return the next response of a watch, None if there is none yet; grants credit.

        Raises:
            ZetcdError: the watch has ended.
        """
        response = stream.take()
        if stream.can_open and self.state is SessionState.READY:
            self._open_stream(stream)
        credit = stream.credit()
        if credit is not None:
            self.outbox.append(pack_frame(_CREDIT, stream.stream_id, encode(credit)))
        return response

    def request_progress(self, stream: WatchStream) -> None:
        """Ask for a progress notification; the server ignores it while the watch is catching up."""
        if stream.stream_id and stream.is_created:
            body = encode(WatchProgressRequest(stream.stream_id))
            self.outbox.append(pack_frame(_WATCH, stream.stream_id, body))
        else:
            stream.is_progress_wanted = True

    def close_watch(self, stream: WatchStream) -> None:
        """End a watch; what is unread stays readable."""
        stream.is_closed = True
        self._watches.pop(stream, None)
        self._close_stream(stream)

    def _open_stream(self, stream: WatchStream) -> None:
        self._last_id += 1
        request = stream.open(self._last_id)
        self._streams[stream.stream_id] = stream
        self.outbox.append(pack_frame(_WATCH, stream.stream_id, encode(request)))

    def _close_stream(self, stream: WatchStream) -> None:
        if self._streams.pop(stream.stream_id, None) is not None:
            body = encode(WatchCloseRequest(stream.stream_id))
            self.outbox.append(pack_frame(_WATCH, stream.stream_id, body))
        stream.suspend(stream.last_error)

    # --- frames of the server -----------------------------------------------------------------------

    def receive(self, frame: bytes, now: float) -> None:
        """Consume one frame of the current connection; what breaks the protocol ends the connection."""
        if self.connection is None:
            return
        self._last_received = self._last_turn = now
        try:
            header = unpack_header(frame)
            body = memoryview(frame)[HEADER_BYTES:]
            if header.type == _RES:
                self._on_response(header, body, now)
            else:
                handler = self._handlers.get(header.type)
                # A type of a later minor version says nothing to this one.
                if handler is not None:
                    handler(header, body, now)
        except _DECODE_FAILURES as error:
            self._end_connection(BadFrame(f"from the server: {error}"), now)

    def _on_welcome(self, header: FrameHeader, body: memoryview, now: float) -> None:
        del header
        if self.state is not SessionState.CONNECTING:
            return
        self.welcome = welcome = _decode_welcome(body)
        self.state = SessionState.READY
        self._inflight_max = max(welcome.requests_inflight_max, 1)
        self._ping_interval = welcome.ping_interval_ms / 1000 or self.options.ping_interval
        self._dead_after = welcome.dead_after_ms / 1000 or 3 * self._ping_interval
        self._ready_at = self._last_answer = now
        self._unavailable_count = 0
        self._refusals.clear()
        self._timer_at = now + self._ping_interval
        for stream in self._watches:
            if stream.can_open:
                self._open_stream(stream)
        self._send_waiting(now)

    def _on_response(self, header: FrameHeader, body: memoryview, now: float) -> None:
        call = self._inflight.pop(header.request_id, None)
        if call is None:
            return  # Canceled meanwhile.
        try:
            result = _decode_response(body)
        except _DECODE_FAILURES:
            # Put back, so that the end of the connection ends it like every other one.
            self._inflight[header.request_id] = call
            raise
        if call.parts is not None:
            result = _joined(call.parts, result)
        self._last_answer = now
        self._failures = self._unavailable_count = 0
        self._succeed(call, result)
        if self._waiting:
            self._send_waiting(now)

    def _on_partial(self, header: FrameHeader, body: memoryview, now: float) -> None:
        self._last_answer = now
        call = self._inflight.get(header.request_id)
        if call is None:
            return
        part = _decode_response(body)
        if isinstance(part, RangeResponse):
            call.parts = [] if call.parts is None else call.parts
            call.parts.extend(part.kvs)

    def _on_error(self, header: FrameHeader, body: memoryview, now: float) -> None:
        fields = _decode_error(body)
        error = from_wire(fields.number, fields.code, fields.text, fields.retry, fields.detail)
        stream = self._streams.get(header.request_id)
        call = self._inflight.pop(header.request_id, None)
        if call is not None:
            self._refused(call, error, now)
            self._send_waiting(now)
        elif stream is not None:
            self._stream_refused(stream, error)
        elif header.request_id == 0:
            self._session_refused(error, now)

    def _refused(self, call: Call, error: ZetcdError, now: float) -> None:
        """Try again what may be tried again while there is time; else the call has failed."""
        is_safe = error.retry is RetryClass.SAFE and error.code is not Code.UNAUTHENTICATED
        is_repeatable = error.retry is RetryClass.AMBIGUOUS and call.is_repeatable
        if call.is_retried and (is_safe or is_repeatable):
            call.is_sent = False
            call.last_error = error
            pause = self._pause(
                self.options.retry_pause, self.options.retry_pause_max, call.attempts
            )
            call.attempts += 1
            if now + pause < call.deadline:
                self._retry_serial += 1
                heappush(self._retries, (now + pause, self._retry_serial, call))
            else:
                self._fail(call, error)
        elif error.retry is RetryClass.AMBIGUOUS and not call.is_repeatable:
            self._fail(call, unknown_outcome(error))
        else:
            self._fail(call, error)
        if error.code is Code.UNAVAILABLE:
            self._unavailable_count += 1
            if self._unavailable_count >= _UNAVAILABLE_MAX:
                self._move_on(error, now)

    def _stream_refused(self, stream: WatchStream, error: ZetcdError) -> None:
        del self._streams[stream.stream_id]
        stream.suspend(error)
        stream.error = error
        self._watches.pop(stream, None)
        self.woken.append(stream)

    def _session_refused(self, error: ZetcdError, now: float) -> None:
        """Note that the server has no session for us, or wants none."""
        is_handshake = self.state is SessionState.CONNECTING
        if is_handshake and error.retry is RetryClass.NEVER and self.connection is not None:
            self._refusals[self.connection.endpoint] = error
        # A session that only fell asleep may go on where it was.
        self._end_connection(error, now, moves=not isinstance(error, SessionExpired))
        if len(self._refusals) >= len(self.options.endpoints):
            self._fail_everything(error)

    def _fail_everything(self, error: ZetcdError) -> None:
        """No endpoint will ever take us: say so at once instead of at each deadline."""
        self._refusals.clear()
        for call in [*self._waiting, *(entry[2] for entry in self._retries)]:
            if not call.is_done:
                self._fail(call, error)
        self._waiting.clear()
        self._retries.clear()
        for stream in self._watches:
            stream.error = error
            self.woken.append(stream)
        self._watches.clear()

    def _on_watch(self, header: FrameHeader, body: memoryview, now: float) -> None:
        stream = self._streams.get(header.request_id)
        if stream is None:
            return  # Closed meanwhile.
        response = _decode_watch(body)
        self._failures = 0
        if not stream.receive(response, len(body)):
            reason = f"a watch response was lost before number {response.sequence}"
            self._end_connection(NotConnected(reason), now, moves=False)
            return
        if stream.error is not None:
            self._watches.pop(stream, None)
            self._close_stream(stream)
        elif stream.is_progress_wanted and stream.is_created:
            stream.is_progress_wanted = False
            self.request_progress(stream)
        self.woken.append(stream)

    def _on_ping(self, header: FrameHeader, body: memoryview, now: float) -> None:
        del body, now
        self.outbox.append(pack_frame(_PONG, header.request_id))

    def _on_pong(self, header: FrameHeader, body: memoryview, now: float) -> None:
        """Nothing to do: `receive` has noted that the server lives."""

    def _on_goaway(self, header: FrameHeader, body: memoryview, now: float) -> None:
        del header
        goaway = _decode_goaway(body)
        pause = goaway.reconnect_after_ms / 1000
        # Jitter, or all clients of a member that stops come to the next one at the same moment.
        self._end_connection(Stopped(goaway.reason), now, pause=pause * (1 + self._rng.random()))

    # --- connections --------------------------------------------------------------------------------

    def _connect(self, now: float) -> None:
        self.connections_count += 1
        endpoint = self.options.endpoints[self._position % len(self.options.endpoints)]
        self.connection = Connection(self.connections_count, endpoint)
        self.state = SessionState.CONNECTING
        client = f"{self.options.client}/{__version__}"
        hello = ClientHello(client=client, token=self.options.token)
        self.outbox.clear()
        self.outbox.append(pack_frame(_HELLO, 0, encode(hello)))
        self._last_received = now
        self._timer_at = now + self.options.connect_timeout

    def lost(self, number: int, reason: str, now: float) -> None:
        """Note that the socket of connection ``number`` came to an end."""
        if self.connection is not None and self.connection.number == number:
            self._end_connection(NotConnected(f"{self.connection.endpoint}: {reason}"), now)

    def _end_connection(
        self, error: ZetcdError, now: float, *, pause: float = 0.0, moves: bool = True
    ) -> None:
        """Give the connection up, and go on with the next endpoint if anything is wanted."""
        self.last_error = error
        self.connection = None
        self.outbox.clear()
        self._failures += 1
        if moves:
            self._position += 1
        inflight, self._inflight = self._inflight, {}
        self._streams.clear()
        for stream in self._watches:
            stream.suspend(error)
        repeated = []
        for call in inflight.values():
            if call.is_repeatable:
                call.is_sent = False
                call.last_error = error
                repeated.append(call)
            else:
                self._fail(call, lost_in_flight(str(error)))
        self._waiting.extendleft(reversed(repeated))
        if not (self._waiting or self._retries or self._watches):
            self.state = SessionState.IDLE
            self._timer_at = _FAR
            return
        rounds = self._failures // len(self.options.endpoints)
        if rounds and self.state is not SessionState.CLOSED:
            backoff = self._pause(
                self.options.reconnect_pause, self.options.reconnect_pause_max, rounds - 1
            )
            pause = max(pause, backoff)
        if pause:
            self.state = SessionState.PAUSED
            self._timer_at = now + pause
        else:
            self._connect(now)

    def _move_on(self, error: ZetcdError, now: float) -> None:
        """Try another member if this one does not serve, unless that would leave outcomes unknown."""
        if len(self.options.endpoints) < 2 or now < self._ready_at + _MOVE_INTERVAL_SECONDS:
            return
        if self.state is SessionState.READY and all(
            call.is_repeatable for call in self._inflight.values()
        ):
            self._end_connection(NotConnected(f"{self._endpoint}: {error}"), now)

    def _pause(self, first: float, longest: float, attempts: int) -> float:
        """Return a pause that doubles with each attempt, half of it random."""
        pause = min(first * 2.0 ** min(attempts, 30), longest)
        return pause * (0.5 + 0.5 * self._rng.random())

    def close(self) -> list[object]:
        """End the session; returns the waiters of calls and watches that are left without an end.

        Only ``outbox`` may be used afterwards.
        """
        if self.state is SessionState.READY:
            self.outbox.append(pack_frame(_GOAWAY, 0))
        self.state = SessionState.CLOSED
        self._timer_at = self._deadline_at = _FAR
        calls = [*self._inflight.values(), *self._waiting, *(entry[2] for entry in self._retries)]
        waiters = [call.waiter for call in calls if not call.is_done]
        return waiters + [stream.waiter for stream in self._watches]

    # --- time ---------------------------------------------------------------------------------------

    @property
    def wake_at(self) -> float:
        """When `handle_timer` must be called at the latest (monotonic seconds)."""
        wake_at = min(self._timer_at, self._deadline_at)
        return min(wake_at, self._retries[0][0]) if self._retries else wake_at

    def wake(self, now: float) -> None:
        """Note that the adapter is back after any time without a turn.

        The server gives up a session that was silent for too long. Nobody should learn that from the
        answer to a mutation, whose outcome would then be unknown.
        """
        slept = now - self._last_turn
        self._last_turn = now
        if self.state is SessionState.READY and slept >= self._dead_after - self._ping_interval / 2:
            error = NotConnected("the client did nothing for too long")
            self._failures = -1  # Not the server's fault: no pause.
            self._end_connection(error, now, moves=False)

    def handle_timer(self, now: float) -> None:
        """Do what is due: deadlines, retries, pings, fail-over."""
        self._last_turn = now
        if now >= self._deadline_at:
            self._expire(now)
        while self._retries and self._retries[0][0] <= now:
            call = heappop(self._retries)[2]
            if not call.is_done:
                self.submit(call, now)
        if now < self._timer_at:
            return
        if self.state is SessionState.READY:
            self._check_liveness(now)
        elif self.state is SessionState.CONNECTING:
            seconds = self.options.connect_timeout
            reason = f"{self._endpoint}: no answer within {seconds:g} s"
            self._end_connection(NotConnected(reason), now)
        elif self.state is SessionState.PAUSED:
            self._connect(now)
        else:
            self._timer_at = _FAR

    def _check_liveness(self, now: float) -> None:
        silence = now - self._last_received
        if silence >= self._dead_after:
            reason = f"{self._endpoint}: silent for {silence:.1f} s"
            self._end_connection(NotConnected(reason), now)
        elif silence >= self._ping_interval:
            self.outbox.append(pack_frame(_PING, 0))
            dead_at = self._last_received + self._dead_after
            self._timer_at = min(now + self._ping_interval, max(dead_at, now))
        else:
            self._timer_at = self._last_received + self._ping_interval

    def _expire(self, now: float) -> None:
        """End every call whose deadline has passed; rare, because most are answered long before."""
        self._deadline_at = _FAR
        needs_move: ZetcdError | None = None
        inflight, waiting = list(self._inflight.values()), list(self._waiting)
        retries = [entry[2] for entry in self._retries]
        for call in (*inflight, *waiting, *retries):
            if call.is_done:
                continue
            if call.deadline > now:
                self._deadline_at = min(self._deadline_at, call.deadline)
                continue
            if self._inflight.pop(call.request_id, None) is call:
                self.outbox.append(pack_frame(_CANCEL, call.request_id))
            error = call.expired(self._obstacle())
            self._fail(call, error)
            if call.is_sent and self._last_answer < call.sent_at:
                needs_move = error
        self._waiting = deque(call for call in self._waiting if not call.is_done)
        if needs_move is not None:
            self._move_on(needs_move, now)
        self._send_waiting(now)

    def _obstacle(self) -> ZetcdError | None:
        """Return why nothing can be sent now, None if it can."""
        if self.state is SessionState.READY:
            return None
        return self.last_error or NotConnected(f"{self._endpoint}: no answer yet")

    @property
    def _endpoint(self) -> str:
        return self.connection.endpoint if self.connection is not None else "no endpoint"

    def check(self) -> None:
        """Assert the invariants."""
        for request_id, call in self._inflight.items():
            assert call.request_id == request_id
            assert call.is_sent
            assert not call.is_done
            assert self._deadline_at <= call.deadline
        for stream_id, stream in self._streams.items():
            assert stream.stream_id == stream_id
            assert stream in self._watches
        if self.state is SessionState.READY:
            assert self.connection is not None
            assert not self._waiting or len(self._inflight) >= self._inflight_max
        if self.state is SessionState.IDLE:
            assert not self._waiting
            assert not self._retries
            assert not self._watches


def _joined(parts: list[KeyValue], last: UnaryResponse) -> UnaryResponse:
    """Return the response of which the server sent ``parts`` ahead."""
    if not isinstance(last, RangeResponse):
        return last
    return RangeResponse(last.header, (*parts, *last.kvs), last.more, last.count)

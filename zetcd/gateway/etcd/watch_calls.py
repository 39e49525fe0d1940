"""Responsible for watch streams of the etcd API: calls on one side, the watch actor on the other.

Each call is a session of its own with one stream, so that nothing has to be told apart twice. What
the client says is passed on in order; what watch answers is translated and sent. Credit, which the
native protocol leaves to its clients, is granted here: as long as the transport takes what is sent.

Invariants
    - Every call is known to watch from its first request until `WatchSessionClosed`.
    - A call whose client does not read has granted no more than `_CREDIT_MESSAGES`, `_CREDIT_BYTES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from zetcd.errors import Code, RequestTooManyRequests, TooManyWatches
from zetcd.gateway.etcd.outbox import Outbox
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.requests import watch_create_request
from zetcd.gateway.etcd.responses import Responses
from zetcd.gateway.etcd.statuses import malformed, reason_text, status_of
from zetcd.gateway.etcd.watch_responses import WatchBody, WatchResponses, decode_body
from zetcd.gateway.grpc import Status
from zetcd.gateway.native.watch_streams import WHOLE_STREAM, WatchStream
from zetcd.messages.client import WATCH_CREDIT_INITIAL
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.node import WatchDelivery, WatchForward, WatchRegister, WatchSessionClosed
from zetcd.messages.watch import (
    WatchCancelRequest,
    WatchCreateRequest,
    WatchCredit,
    WatchProgressRequest,
)

ToWatch = WatchForward | WatchRegister | WatchSessionClosed

#: Every session has one stream, of this number.
STREAM: Final = 1
#: What watch may send before the transport has taken something of it: one event for each of
#: thousands of watchers of one stream.
_CREDIT_MESSAGES: Final = 16_384
_CREDIT_BYTES: Final = WATCH_CREDIT_INITIAL[1]
#: Credit goes back in pieces of a quarter, so that granting costs little.
_GRANT_MESSAGES: Final = _CREDIT_MESSAGES // 4
_GRANT_BYTES: Final = _CREDIT_BYTES // 4


@dataclass(slots=True)
class _WatchCall:
    """One call."""

    token: int
    session_id: int
    stream: WatchStream
    #: Used up and not yet granted again.
    used_messages: int = 0
    used_bytes: int = 0


class Listener(Protocol):
    """Somebody within the gateway who watches."""

    def delivered(self, session_id: int, body: WatchBody) -> None:
        """Take a response."""
        ...

    def broken(self, session_id: int) -> None:
        """The watch is lost; start again."""
        ...


class WatchCalls:
    """The watches of one gateway, those of clients and those of its own recipes."""

    def __init__(
        self, outbox: Outbox, responses: Responses, *, incarnation: int, watches_max: int
    ) -> None:
        """Start without calls; a call may have ``watches_max`` watchers."""
        self._outbox = outbox
        self._responses = responses
        self._encoder = WatchResponses(responses)
        self._watches_max = watches_max
        self._last_session = incarnation << 32
        self._calls: dict[int, _WatchCall] = {}
        self._by_session: dict[int, _WatchCall] = {}
        self._listeners: dict[int, Listener] = {}
        self.to_watch: list[ToWatch] = []
        #: Figures for status.
        self.delivered_count = 0

    # --- calls of clients -------------------------------------------------------------------------

    def open(self, token: int) -> None:
        """Begin a call."""
        self._last_session += 1
        call = _WatchCall(token, self._last_session, WatchStream(STREAM))
        self._calls[token] = call
        self._by_session[call.session_id] = call

    def close(self, token: int) -> None:
        """Forget a call that is over."""
        call = self._calls.pop(token, None)
        if call is not None:
            del self._by_session[call.session_id]
            self.to_watch.append(WatchSessionClosed(call.session_id))
            self._outbox.forget(token)

    def end(self, token: int, status: Status) -> None:
        """End a call from this side."""
        if token in self._calls:
            self._outbox.finish(token, status)
            self._forget(token)

    def _forget(self, token: int) -> None:
        call = self._calls.pop(token)
        del self._by_session[call.session_id]
        self.to_watch.append(WatchSessionClosed(call.session_id))

    def message(self, token: int, message: bytes) -> None:
        """Take what a client says on its stream."""
        call = self._calls.get(token)
        if call is None:
            return
        try:
            request = pb.WatchRequest.FromString(message)
        except DecodeError as error:
            self.end(token, malformed(error))
            return
        kind = request.WhichOneof("request_union")
        if kind == "create_request":
            self._create(call, request.create_request)
        elif not call.stream.watchers_count:
            # There is nothing that could be cancelled or make progress.
            return
        elif kind == "cancel_request":
            self._cancel(call, request.cancel_request.watch_id)
        elif kind == "progress_request":
            self._forward(call, WatchProgressRequest(STREAM))

    def _create(self, call: _WatchCall, message: pb.WatchCreateRequest) -> None:
        stream = call.stream
        if stream.watchers_count >= self._watches_max:
            self._refuse(call, reason_text(TooManyWatches()))
            return
        is_first = not stream.sequence and not stream.creating
        request = watch_create_request(message, STREAM)
        stream.creating.append(request)
        self._forward(call, request)
        if is_first and stream.credit_messages < _CREDIT_MESSAGES:
            self._grant(call, _CREDIT_MESSAGES - stream.credit_messages, 0)

    def _refuse(self, call: _WatchCall, reason: str) -> None:
        """Answer a creation as etcd refuses one: created and cancelled at once."""
        header = self._responses.header(ResponseHeader(0, 0))
        refused = pb.WatchResponse(
            watch_id=WHOLE_STREAM, created=True, canceled=True, cancel_reason=reason
        )
        self._outbox.send(call.token, header + refused.SerializeToString())

    def _cancel(self, call: _WatchCall, watch_id: int) -> None:
        watcher = call.stream.watchers.get(watch_id)
        if watcher is not None:
            watcher.is_canceling = True
        self._forward(call, WatchCancelRequest(STREAM, watch_id))

    def _forward(
        self,
        call: _WatchCall,
        request: WatchCreateRequest | WatchCancelRequest | WatchProgressRequest | WatchCredit,
    ) -> None:
        self.to_watch.append(WatchForward(call.session_id, request))

    # --- credit -------------------------------------------------------------------------------------

    def _grant(self, call: _WatchCall, messages: int, size: int) -> None:
        call.stream.credit_messages += messages
        call.stream.credit_bytes += size
        self._forward(call, WatchCredit(STREAM, messages, size))

    def _grant_again(self, call: _WatchCall) -> None:
        messages, size = call.used_messages, call.used_bytes
        if messages >= _GRANT_MESSAGES or size >= _GRANT_BYTES:
            call.used_messages = call.used_bytes = 0
            self._grant(call, messages, size)

    def writable(self, token: int) -> None:
        """Note that a client that did not read does so again; its outbox is empty."""
        call = self._calls.get(token)
        if call is not None:
            self._grant_again(call)

    # --- watches of the gateway itself ----------------------------------------------------------------

    def listen(self, listener: Listener, request: WatchCreateRequest) -> int:
        """Watch for ``listener`` until `unlisten`; returns the session."""
        self._last_session += 1
        session_id = self._last_session
        self._listeners[session_id] = listener
        self.to_watch.append(WatchForward(session_id, request))
        return session_id

    def unlisten(self, session_id: int) -> None:
        """End such a watch."""
        if self._listeners.pop(session_id, None) is not None:
            self.to_watch.append(WatchSessionClosed(session_id))

    # --- watch → clients --------------------------------------------------------------------------

    def deliver(self, delivery: WatchDelivery) -> None:
        """Pass responses on; those of a call that is over are dropped."""
        call = self._by_session.get(delivery.session_id)
        if call is None:
            self._deliver_inside(delivery)
            return
        outbox, stream = self._outbox, call.stream
        for _, encoded in delivery.bodies:
            body = decode_body(encoded)
            if body.canceled and body.watch_id == WHOLE_STREAM and not body.created:
                # The client asks on without reading; watch has given the stream up.
                self.end(call.token, status_of(RequestTooManyRequests()))
                return
            stream.delivered(body, len(encoded))
            call.used_messages += 1
            call.used_bytes += len(encoded)
            outbox.send(call.token, self._encoder.encode(body))
        self.delivered_count += len(delivery.bodies)
        if not outbox.is_full(call.token):
            self._grant_again(call)

    def _deliver_inside(self, delivery: WatchDelivery) -> None:
        for _, encoded in delivery.bodies:
            listener = self._listeners.get(delivery.session_id)
            if listener is None:
                return
            body = decode_body(encoded)
            self.to_watch.append(
                WatchForward(delivery.session_id, WatchCredit(STREAM, 1, len(encoded)))
            )
            listener.delivered(delivery.session_id, body)

    def watch_restarted(self) -> None:
        """Bring every call to the new watch actor; clients in the middle of a revision must resume.

        etcd's clients do so by themselves after UNAVAILABLE, from the last revision they have.
        """
        self.to_watch.clear()
        for token, call in list(self._calls.items()):
            if call.stream.can_move:
                self.to_watch.extend(call.stream.resume(call.session_id))
            else:
                self.end(token, Status(Code.UNAVAILABLE, "zetcd: watch restarted"))
        listeners, self._listeners = self._listeners, {}
        for session_id, listener in listeners.items():
            listener.broken(session_id)

    def tokens(self) -> list[int]:
        """Return the calls that are open."""
        return list(self._calls)

    @property
    def watchers_count(self) -> int:
        """Watchers of all calls."""
        return sum(call.stream.watchers_count for call in self._calls.values())

    def check(self) -> None:
        """Assert the invariants."""
        assert len(self._calls) == len(self._by_session)
        for token, call in self._calls.items():
            assert call.token == token
            assert self._by_session[call.session_id] is call

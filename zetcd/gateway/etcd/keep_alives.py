"""Responsible for streams of keep-alives: any number of leases on each, answered as the lessor answers.

etcd answers one after the other; here those of a turn travel to the lessor together, from all
streams, so that ten thousand leases cost a few messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from google.protobuf.message import DecodeError

from zetcd.errors import ZetcdError
from zetcd.gateway.etcd.call_transport import CallTransport
from zetcd.gateway.etcd.outbox import Outbox
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.replies import EtcdReplies
from zetcd.gateway.etcd.requests import lease_keep_alive_request
from zetcd.gateway.etcd.responses import Responses
from zetcd.gateway.etcd.statuses import malformed, status_of
from zetcd.gateway.grpc import OK, Status
from zetcd.gateway.pending import Pending
from zetcd.messages.base import Message
from zetcd.messages.kv import RangeResponse
from zetcd.messages.lease import LeaseKeepAliveResponse

#: Requests of one stream without an answer, beyond which it is not read from.
_WAITING_MAX: Final = 4096


class Submit(Protocol):
    """Submits a request under an id of its own."""

    def __call__(
        self, request_id: int, request: Message, asker: KeepAlives, body_bytes: int
    ) -> None:
        """Answer through ``asker``, at once if it is refused."""
        ...


@dataclass(slots=True)
class _KeepAliveCall:
    """One stream."""

    token: int
    #: Request ids without an answer.
    waiting: dict[int, None] = field(default_factory=dict)
    is_half_closed: bool = False
    is_held: bool = False


class KeepAlives:
    """All streams of keep-alives of one gateway; the asker of their requests."""

    def __init__(
        self,
        transport: CallTransport,
        outbox: Outbox,
        replies: EtcdReplies,
        responses: Responses,
        submit: Submit,
    ) -> None:
        """Start without streams."""
        self._transport = transport
        self._outbox = outbox
        self._replies = replies
        self._responses = responses
        self._submit = submit
        self._calls: dict[int, _KeepAliveCall] = {}
        self._by_request: dict[int, _KeepAliveCall] = {}

    def open(self, token: int) -> None:
        """Begin a stream."""
        self._calls[token] = _KeepAliveCall(token)

    def message(self, token: int, message: bytes) -> None:
        """Take a request."""
        call = self._calls.get(token)
        if call is None:
            return
        try:
            request = lease_keep_alive_request(pb.LeaseKeepAliveRequest.FromString(message))
        except DecodeError as error:
            self.end(token, malformed(error))
            return
        request_id = self._replies.inner_id()
        call.waiting[request_id] = None
        self._by_request[request_id] = call
        self._submit(request_id, request, self, len(message))
        self._hold_or_release(call)

    def half_closed(self, token: int) -> None:
        """Note that no more requests come; the stream ends with the last answer."""
        call = self._calls.get(token)
        if call is not None:
            call.is_half_closed = True
            self._end_if_done(call)

    def close(self, token: int) -> None:
        """Forget a stream that is over."""
        call = self._calls.pop(token, None)
        if call is not None:
            self._forget_requests(call)

    def end(self, token: int, status: Status) -> None:
        """End a stream from this side."""
        call = self._calls.pop(token, None)
        if call is not None:
            self._forget_requests(call)
            self._outbox.finish(token, status)

    def _forget_requests(self, call: _KeepAliveCall) -> None:
        for request_id in call.waiting:
            self._by_request.pop(request_id, None)
            pending = self._replies.find(request_id)
            if pending is not None:
                self._replies.close(pending)
        call.waiting.clear()

    def writable(self, token: int) -> None:
        """Note that the client reads again."""
        call = self._calls.get(token)
        if call is not None:
            self._hold_or_release(call)

    def _hold_or_release(self, call: _KeepAliveCall) -> None:
        """Read on only while the answers find their way."""
        is_too_much = len(call.waiting) >= _WAITING_MAX or self._outbox.is_full(call.token)
        if is_too_much and not call.is_held:
            call.is_held = True
            self._transport.hold(call.token)
        elif call.is_held and not is_too_much:
            call.is_held = False
            self._transport.release(call.token)

    def _end_if_done(self, call: _KeepAliveCall) -> None:
        if call.is_half_closed and not call.waiting:
            self.end(call.token, OK)

    # --- answers ------------------------------------------------------------------------------------

    def answered(self, pending: Pending, response: Message) -> None:
        """Send an answer; TTL 0 means that there is no such lease."""
        call = self._by_request.pop(pending.request_id, None)
        if call is None:
            return
        del call.waiting[pending.request_id]
        encoded = self._responses.lease_keep_alive(cast(LeaseKeepAliveResponse, response))
        self._outbox.send(call.token, encoded)
        self._hold_or_release(call)
        self._end_if_done(call)

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Never called: only ranges come in parts."""
        raise AssertionError("a keep-alive has no parts")

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """End the stream, as etcd does; clients open another one."""
        call = self._by_request.pop(pending.request_id, None)
        if call is not None:
            call.waiting.pop(pending.request_id, None)
            self.end(call.token, status_of(error))

    def tokens(self) -> list[int]:
        """Return the streams that are open."""
        return list(self._calls)

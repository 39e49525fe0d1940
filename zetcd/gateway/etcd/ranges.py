"""Responsible for answers to ranges, which may be larger than what the gateway wants to hold.

A gRPC message announces its length, so a list cannot be sent while its end is unknown. Small ones,
up to `KEPT_BYTES_MAX`, are collected and sent whole. Of larger ones the first reading only adds up
the size; then they are read once more, at the revision of the first reading, and each part leaves
as it is read: a list of any size costs one part and one queue, and twice the reading.

    RangeStream has no such trouble: each part is a message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec

from zetcd.errors import Code, ZetcdError
from zetcd.gateway.etcd.call_transport import CallTransport
from zetcd.gateway.etcd.outbox import Outbox
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.responses import Responses, encoded_kvs, key_value
from zetcd.gateway.etcd.statuses import status_of
from zetcd.gateway.grpc import Status
from zetcd.gateway.pending import Pending
from zetcd.messages.base import Message
from zetcd.messages.kv import RangeRequest, RangeResponse

#: Bytes of an answer that is collected; a larger one is read twice.
KEPT_BYTES_MAX: Final = 4 * 1024 * 1024
#: Largest message that etcd's clients take (Go: math.MaxInt32).
_MESSAGE_BYTES_MAX: Final = 2**31 - 1

_CHANGED: Final = Status(Code.INTERNAL, "zetcd: a list changed while it was sent")

#: Submits a request that is read from the local store: (request id, request, asker).
Resubmit = Callable[[int, Message, "SecondReading"], None]


@dataclass(slots=True)
class _Collected:
    """Parts of an answer so far."""

    size: int = 0
    #: None: there are too many, only the size counts.
    pieces: list[bytes] | None = field(default_factory=list)


class RangeAsker:
    """Answers unary ranges."""

    def __init__(
        self, transport: CallTransport, outbox: Outbox, responses: Responses, resubmit: Resubmit
    ) -> None:
        """Start without parts."""
        self._transport = transport
        self._outbox = outbox
        self._responses = responses
        self._resubmit = resubmit
        self._collected: dict[int, _Collected] = {}
        #: Figures for status.
        self.read_twice_count = 0

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Collect a part, or add up its size."""
        collected = self._collected.setdefault(pending.request_id, _Collected())
        encoded = encoded_kvs(part.kvs)
        collected.size += len(encoded)
        if collected.pieces is not None:
            collected.pieces.append(encoded)
            if collected.size > KEPT_BYTES_MAX:
                collected.pieces = None
        return True

    def answered(self, pending: Pending, response: Message) -> None:
        """Send the whole answer, or begin to send it."""
        response = cast(RangeResponse, response)
        token = pending.request_id
        collected = self._collected.pop(token, None)
        if collected is None:
            self._transport.answer(token, self._responses.range(response))
            return
        header = self._responses.header(response.header)
        end = encoded_kvs(response.kvs) + self._responses.range_end(response)
        if collected.pieces is not None:
            self._transport.answer(token, b"".join((header, *collected.pieces, end)))
            return
        total = len(header) + collected.size + len(end)
        if total > _MESSAGE_BYTES_MAX:
            text = f"trying to send message larger than max ({total} vs. {_MESSAGE_BYTES_MAX})"
            self._transport.finish(token, Status(Code.RESOURCE_EXHAUSTED, text))
            return
        self.read_twice_count += 1
        self._transport.begin_message(token, total)
        self._outbox.send_part(token, header)
        request = cast(RangeRequest, pending.request)
        again = msgspec.structs.replace(
            request,
            revision=request.revision if request.revision > 0 else response.header.revision,
            serializable=True,
        )
        asker = SecondReading(self._outbox, self._responses, total - len(header))
        self._resubmit(token, again, asker)

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """End the call."""
        self._collected.pop(pending.request_id, None)
        self._transport.finish(pending.request_id, status_of(error))

    def forget(self, token: int) -> None:
        """Drop what was collected for a call that is over."""
        self._collected.pop(token, None)


class SecondReading:
    """Sends the answer to one range whose length was announced."""

    def __init__(self, outbox: Outbox, responses: Responses, left: int) -> None:
        """Expect exactly ``left`` bytes."""
        self._outbox = outbox
        self._responses = responses
        self._left = left

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Send a part, if the client reads."""
        token = pending.request_id
        if self._outbox.is_full(token):
            return False
        encoded = encoded_kvs(part.kvs)
        self._left -= len(encoded)
        if self._left >= 0:
            self._outbox.send_part(token, encoded)
        return True

    def answered(self, pending: Pending, response: Message) -> None:
        """Send the end, if it is the end that was announced."""
        response = cast(RangeResponse, response)
        end = encoded_kvs(response.kvs) + self._responses.range_end(response)
        if self._left == len(end):
            self._outbox.send_part(pending.request_id, end)
            self._outbox.finish(pending.request_id)
        else:
            self._outbox.finish(pending.request_id, _CHANGED)

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """Break the answer off: its revision was compacted meanwhile, or the client is too slow."""
        self._outbox.finish(pending.request_id, status_of(error))


class RangeStreamAsker:
    """Answers RangeStream: parts without header, then the last one with it, ``more`` and ``count``."""

    def __init__(self, outbox: Outbox, responses: Responses) -> None:
        """Answer through ``outbox``."""
        self._outbox = outbox
        self._responses = responses

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Send a part, if the client reads."""
        if self._outbox.is_full(pending.request_id):
            return False
        chunk = pb.RangeResponse(kvs=[key_value(kv) for kv in part.kvs])
        message = pb.RangeStreamResponse(range_response=chunk)
        self._outbox.send(pending.request_id, message.SerializeToString())
        return True

    def answered(self, pending: Pending, response: Message) -> None:
        """Send the last part."""
        response = cast(RangeResponse, response)
        chunk = pb.RangeResponse(
            header=self._responses.header_message(response.header),
            kvs=[key_value(kv) for kv in response.kvs],
            more=response.more,
            count=response.count,
        )
        message = pb.RangeStreamResponse(range_response=chunk)
        self._outbox.send(pending.request_id, message.SerializeToString())
        self._outbox.finish(pending.request_id)

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """End the call."""
        self._outbox.finish(pending.request_id, status_of(error))


def can_stream(request: RangeRequest) -> bool:
    """Whether RangeStream serves the request: in key order, and not filtered by revisions."""
    return not (
        request.sort_order
        or request.sort_target
        or request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )

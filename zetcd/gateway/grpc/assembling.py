"""Responsible for turning DATA into the messages of a call, within the limits of all three levels."""

from __future__ import annotations

from zetcd.errors import Code
from zetcd.gateway.grpc.codes import Status
from zetcd.gateway.grpc.connection import Connection
from zetcd.gateway.grpc.events import Call, Ending, HalfClosed, StreamMessage
from zetcd.gateway.grpc.message import BadMessage, take_message
from zetcd.gateway.grpc.sending import count_assembling, refuse_call
from zetcd.gateway.grpc.stream import Stream

_NO_MESSAGE = Status(
    Code.INTERNAL,
    "cardinality violation: received no request message from non-client-streaming RPC",
)
_SECOND_MESSAGE = Status(
    Code.INTERNAL,
    "cardinality violation: received multiple request messages for non-client-streaming RPC",
)
_CUT_SHORT = Status(Code.INTERNAL, "unexpected EOF")
_TOO_MUCH = Status(Code.RESOURCE_EXHAUSTED, "too many unfinished messages")


def take_in(connection: Connection, stream: Stream, payload: bytes) -> None:
    """Add the payload of a DATA frame to its call; complete messages become events."""
    shared, options = connection.shared, connection.options
    assembly = stream.assembly
    if assembly is None:
        assembly = stream.assembly = bytearray()
    assembly += payload
    count_assembling(connection, len(payload))
    try:
        while stream.is_open and (message := _take(connection, stream, assembly)) is not None:
            _receive_message(connection, stream, message)
    except BadMessage as bad:
        refuse_call(connection, stream, bad.status, Ending.REFUSED)
        return
    if (
        connection.assembling_bytes > options.assembling_bytes_max
        or shared.assembling_bytes > options.process_assembling_bytes_max
    ) and stream.is_open:
        refuse_call(connection, stream, _TOO_MUCH, Ending.REFUSED)


def _take(connection: Connection, stream: Stream, assembly: bytearray) -> bytes | None:
    before = len(assembly)
    try:
        return take_message(
            assembly, connection.options.message_bytes_max, is_gzip=stream.head.is_gzip
        )
    finally:
        count_assembling(connection, len(assembly) - before)


def _receive_message(connection: Connection, stream: Stream, message: bytes) -> None:
    method = stream.head.method
    method.figures.messages_received += 1
    stream.message_count += 1
    connection.useful_count += 1
    if method.client_streams:
        connection.shared.events.append(StreamMessage(stream.token, message))
    elif stream.message_count > 1:
        refuse_call(connection, stream, _SECOND_MESSAGE, Ending.REFUSED)
    else:
        # It counts until the request has ended: the client decides how long that takes.
        stream.only_message = message
        count_assembling(connection, len(message))


def end_request(connection: Connection, stream: Stream) -> None:
    """Handle the end of a call's request."""
    if stream.assembly:
        refuse_call(connection, stream, _CUT_SHORT, Ending.REFUSED)
    elif stream.head.method.client_streams:
        connection.shared.events.append(HalfClosed(stream.token))
    elif stream.only_message is None:
        refuse_call(connection, stream, _NO_MESSAGE, Ending.REFUSED)
    else:
        message, stream.only_message = stream.only_message, None
        count_assembling(connection, -len(message))
        stream.is_announced = True
        connection.shared.events.append(Call(stream.token, stream.head, message, stream.deadline))

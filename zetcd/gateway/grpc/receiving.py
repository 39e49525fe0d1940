"""Responsible for what comes in: octets to frames, frames to calls and messages (RFC 9113).

`receive` takes octets cut anywhere. A `ConnectionFault` ends the connection, a `StreamFault` the
stream; everything a peer can repeat without end costs it tokens of an allowance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zetcd.errors import Code
from zetcd.gateway.grpc.assembling import end_request, take_in
from zetcd.gateway.grpc.codes import ConnectionFault, ErrorCode, Status, StreamFault
from zetcd.gateway.grpc.connection import Connection
from zetcd.gateway.grpc.events import Call, Ending, Opened
from zetcd.gateway.grpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    FRAME_PAYLOAD_BYTES_MAX,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    LOW_31_BITS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    SETTINGS_ENABLE_PUSH,
    SETTINGS_INITIAL_WINDOW_SIZE,
    SETTINGS_MAX_CONCURRENT_STREAMS,
    SETTINGS_MAX_FRAME_SIZE,
    SETTINGS_MAX_HEADER_LIST_SIZE,
    WINDOW_BYTES_DEFAULT,
    WINDOW_BYTES_MAX,
    WINDOW_UPDATE,
    pack_frame,
    pack_settings,
    pack_window_update,
    unpack_number,
    unpack_settings,
)
from zetcd.gateway.grpc.head import Head, Refusal, has_valid_trailers
from zetcd.gateway.grpc.liveness import receive_ping
from zetcd.gateway.grpc.message import PREFIX_BYTES
from zetcd.gateway.grpc.options import UNLIMITED_STREAMS
from zetcd.gateway.grpc.sending import (
    announce_end,
    answer_foreign,
    close_connection,
    forget,
    refuse_call,
    reset,
    schedule,
)
from zetcd.gateway.grpc.stream import FOREIGN, Stream

#: A window update that opens less than this is one of those that cost tokens.
_TINY_WINDOW_BYTES: Final = 1024
#: PING, its ACK, and windows of stream and connection: what one message may bring with it.
_IDLE_FRAMES_PER_USEFUL: Final = 4
_CALM: Final = ErrorCode.ENHANCE_YOUR_CALM
_PROTOCOL: Final = ErrorCode.PROTOCOL_ERROR


def start_http2(connection: Connection) -> None:
    """Say what the server says first: its settings, and a larger window."""
    options = connection.options
    settings = {
        SETTINGS_INITIAL_WINDOW_SIZE: options.stream_window_bytes,
        SETTINGS_MAX_HEADER_LIST_SIZE: options.header_list_bytes_max,
    }
    if options.streams_max != UNLIMITED_STREAMS:
        settings[SETTINGS_MAX_CONCURRENT_STREAMS] = options.streams_max
    connection.is_http2 = True
    connection.put(
        pack_settings(settings)
        + pack_window_update(0, options.connection_window_bytes - WINDOW_BYTES_DEFAULT)
    )


def receive(connection: Connection, octets: bytes, now: float) -> None:
    """Take in octets of a connection that speaks HTTP/2, after the preface."""
    connection.now = now
    connection.received_at = now
    try:
        _read_frames(connection, octets)
    except ConnectionFault as fault:
        close_connection(connection, fault.code, fault.reason)
    if connection.partial and connection.is_closed:
        connection.partial = b""


def _read_frames(connection: Connection, octets: bytes) -> None:
    if connection.partial:
        octets = connection.partial + octets
    position, end = 0, len(octets)
    unpack = FRAME_HEADER.unpack_from
    while end - position >= FRAME_HEADER_BYTES:
        length_and_type, flags, stream_id = unpack(octets, position)
        length = length_and_type >> 8
        if length > FRAME_PAYLOAD_BYTES_MAX:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame larger than agreed")
        start = position + FRAME_HEADER_BYTES
        if start + length > end:
            break
        position = start + length
        kind = length_and_type & 0xFF
        if connection.continued_id or not connection.has_settings:
            _check_expected(connection, kind, flags, stream_id & LOW_31_BITS)
        handler = _HANDLERS.get(kind, _receive_unknown)
        try:
            handler(connection, flags, stream_id & LOW_31_BITS, octets[start:position])
        except StreamFault as fault:
            _reset_faulty(connection, fault)
        if connection.is_closed:
            return
    connection.partial = octets[position:]


def _check_expected(connection: Connection, kind: int, flags: int, stream_id: int) -> None:
    """Check the two places where only one kind of frame may come."""
    if not connection.has_settings:
        if kind != SETTINGS or flags & ACK:
            raise ConnectionFault(_PROTOCOL, "the first frame must be SETTINGS")
    elif kind != CONTINUATION or stream_id != connection.continued_id:
        raise ConnectionFault(_PROTOCOL, "a header block must be continued")


def _reset_faulty(connection: Connection, fault: StreamFault) -> None:
    # What a client makes us reset costs as much as what it resets itself.
    _spend_reset(connection)
    stream = connection.streams.get(fault.stream_id)
    reset(connection, fault.stream_id, fault.code)
    if stream is not None:
        announce_end(connection, stream, Ending.REFUSED, Code.INTERNAL)
        forget(connection, stream)


def _spend_reset(connection: Connection) -> None:
    if not connection.resets.spend(1, connection.now):
        raise ConnectionFault(_CALM, "too many resets")


def _spend_idle(connection: Connection, count: float = 1) -> None:
    if connection.useful_count:
        connection.idle_frames.earn(connection.useful_count * _IDLE_FRAMES_PER_USEFUL)
        connection.useful_count = 0
    if not connection.idle_frames.spend(count, connection.now):
        raise ConnectionFault(_CALM, "too many frames without content")


def _strip_padding(payload: bytes, start: int) -> bytes:
    """Return the payload from ``start`` without its padding, whose length is its first octet."""
    if not payload or payload[0] > len(payload) - 1 - start:
        raise ConnectionFault(_PROTOCOL, "more padding than payload")
    return payload[1 + start : len(payload) - payload[0]]


# --- requests -------------------------------------------------------------------------------------


def _receive_headers(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    if flags & (PADDED | HAS_PRIORITY):
        payload = _strip_headers(stream_id, flags, payload)
    if flags & END_HEADERS:
        _receive_block(connection, flags, stream_id, payload)
        return
    if stream_id == 0:
        raise ConnectionFault(_PROTOCOL, "HEADERS on stream 0")
    connection.continued_id = stream_id
    connection.continued_flags = flags
    connection.fragments = [payload]


def _strip_headers(stream_id: int, flags: int, payload: bytes) -> bytes:
    """Return the fragment of a HEADERS frame without padding and priority."""
    priority_bytes = 5 if flags & HAS_PRIORITY else 0
    at = 1 if flags & PADDED else 0
    if len(payload) < at + priority_bytes:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS cut short")
    if priority_bytes and unpack_number(payload[at:]) & LOW_31_BITS == stream_id:
        # A stream error would do, but the block had to be decoded all the same.
        raise ConnectionFault(_PROTOCOL, "a stream that depends on itself")
    return _strip_padding(payload, priority_bytes) if at else payload[priority_bytes:]


def _receive_continuation(connection: Connection, flags: int, _: int, payload: bytes) -> None:
    if not connection.continued_id:
        raise ConnectionFault(_PROTOCOL, "CONTINUATION of nothing")
    fragments, options = connection.fragments, connection.options
    fragments.append(payload)
    if (
        len(fragments) > options.continuations_max + 1
        or sum(map(len, fragments)) > options.header_block_bytes_max
    ):
        raise ConnectionFault(_CALM, "a header block too large")
    if flags & END_HEADERS:
        stream_id = connection.continued_id
        connection.continued_id = 0
        connection.fragments = []
        _receive_block(connection, connection.continued_flags, stream_id, b"".join(fragments))


def _receive_block(connection: Connection, flags: int, stream_id: int, block: bytes) -> None:
    if stream_id <= connection.last_stream_id or not stream_id & 1:
        _receive_late_block(connection, flags, stream_id, block)
        return
    if stream_id > connection.last_stream_id + 2:
        connection.skipped.append((connection.last_stream_id + 2, stream_id))
    connection.last_stream_id = stream_id
    # The table must be kept in step even when the stream will not be served.
    head, timeout = connection.routes.read(block)
    if not _may_open(connection, stream_id):
        return
    if isinstance(head, Refusal):
        _refuse_request(connection, flags, stream_id, head)
        return
    shared = connection.shared
    stream = _open(connection, stream_id, head)
    stream.began_at = head.method.figures.begin()
    if timeout is not None:
        stream.deadline = connection.now + timeout
        stream.deadline_slot = shared.deadlines.add(
            stream.token, stream.token, stream.deadline, connection.now
        )
    if head.method.client_streams:
        stream.is_announced = True
        shared.events.append(Opened(stream.token, head, stream.deadline))
    if connection.queued_bytes >= connection.options.connection_queue_bytes_max:
        status = Status(Code.RESOURCE_EXHAUSTED, "too many answers wait to be read")
        refuse_call(connection, stream, status, Ending.REFUSED)
    elif flags & END_STREAM:
        _end_request(connection, stream)


def _open(connection: Connection, stream_id: int, head: Head) -> Stream:
    stream = Stream(
        stream_id,
        connection.token_of(stream_id),
        head,
        send_window=connection.stream_send_window,
        receive_window=connection.options.stream_window_bytes,
    )
    connection.streams[stream_id] = stream
    connection.shared.stream_count += 1
    return stream


def _may_open(connection: Connection, stream_id: int) -> bool:
    """Whether one more stream is welcome; if not, the client is told, or knows already."""
    if connection.is_last_call_over:
        return False
    shared, options = connection.shared, connection.options
    if (
        len(connection.streams) >= options.streams_max
        or shared.stream_count >= options.process_streams_max
    ):
        # A client that opens more than it was allowed to, again and again, floods.
        _spend_reset(connection)
        reset(connection, stream_id, ErrorCode.REFUSED_STREAM)
        return False
    return True


def _refuse_request(connection: Connection, flags: int, stream_id: int, refusal: Refusal) -> None:
    if refusal.block is None:
        raise StreamFault(stream_id, _PROTOCOL)
    if refusal.is_foreign:
        # HTTP clients want their request to have been read; its body is counted and dropped.
        stream = _open(connection, stream_id, FOREIGN)
        stream.foreign_body = refusal.block, refusal.body
        stream.content_left = refusal.content_length
        if flags & END_STREAM:
            _end_request(connection, stream)
        return
    connection.put(pack_frame(HEADERS, END_HEADERS | END_STREAM, stream_id, refusal.block))
    if not flags & END_STREAM:
        reset(connection, stream_id, ErrorCode.NO_ERROR)


def _receive_late_block(connection: Connection, flags: int, stream_id: int, block: bytes) -> None:
    """Take a block that opens no stream: trailers, or an error."""
    fields = connection.routes.read_trailers(block)
    stream = connection.streams.get(stream_id)
    if stream is not None:
        if stream.is_remote_closed:
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED)
        if not flags & END_STREAM or not has_valid_trailers(fields):
            raise StreamFault(stream_id, _PROTOCOL)
        _end_request(connection, stream)
    elif stream_id in connection.reset_ids:
        return
    elif stream_id & 1 and not any(low <= stream_id < high for low, high in connection.skipped):
        raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
    else:
        raise ConnectionFault(_PROTOCOL, "HEADERS on a stream that cannot be opened")


def _end_request(connection: Connection, stream: Stream) -> None:
    """Handle the end of the client's side."""
    if stream.content_left:
        raise StreamFault(stream.id, _PROTOCOL)
    stream.is_remote_closed = True
    if stream.foreign_body is not None:
        answer_foreign(connection, stream)
    else:
        end_request(connection, stream)


def _receive_data(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    size = len(payload)
    options = connection.options
    window = connection.receive_window - size
    if window < 0:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window")
    if window < options.connection_window_bytes >> 1:
        connection.put(pack_window_update(0, options.connection_window_bytes - window))
        window = options.connection_window_bytes
    connection.receive_window = window
    stream = connection.streams.get(stream_id)
    if stream is None:
        _receive_late_data(connection, stream_id)
        return
    if stream.is_remote_closed:
        raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED)
    stream.receive_window -= size
    if stream.receive_window < 0:
        raise StreamFault(stream_id, ErrorCode.FLOW_CONTROL_ERROR)
    if flags & PADDED:
        payload = _strip_padding(payload, 0)
    if stream.content_left is not None:
        stream.content_left -= len(payload)
        if stream.content_left < 0:
            raise StreamFault(stream_id, _PROTOCOL)
    if flags & END_STREAM:
        if _is_whole_call(stream, payload, options.message_bytes_max):
            stream.is_remote_closed = stream.is_announced = True
            stream.head.method.figures.messages_received += 1
            connection.useful_count += 1
            connection.shared.events.append(
                Call(stream.token, stream.head, payload[PREFIX_BYTES:], stream.deadline)
            )
            return
    elif not payload:
        _spend_idle(connection)
    if payload and stream.foreign_body is None:
        take_in(connection, stream, payload)
    if not stream.is_open:
        return
    if flags & END_STREAM:
        _end_request(connection, stream)
    elif not stream.is_held:
        open_window(connection, stream)


def _is_whole_call(stream: Stream, payload: bytes, bytes_max: int) -> bool:
    """Whether this last DATA is one plain message of a call with one message: the common case."""
    return (
        PREFIX_BYTES <= len(payload) <= PREFIX_BYTES + bytes_max
        and payload[0] == 0
        and stream.assembly is None
        and not stream.content_left
        and not stream.head.method.client_streams
        and stream.foreign_body is None
        and int.from_bytes(payload[1:PREFIX_BYTES], "big") == len(payload) - PREFIX_BYTES
    )


def open_window(connection: Connection, stream: Stream) -> None:
    """Let the client send on, once half of the stream's window is used up."""
    window = connection.options.stream_window_bytes
    if stream.receive_window < window >> 1:
        connection.put(pack_window_update(stream.id, window - stream.receive_window))
        stream.receive_window = window


def _receive_late_data(connection: Connection, stream_id: int) -> None:
    if stream_id in connection.reset_ids or connection.is_last_call_over:
        _spend_idle(connection)
        return
    if stream_id > connection.last_stream_id or not stream_id & 1:
        raise ConnectionFault(_PROTOCOL, "DATA on an idle stream")
    raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED)


# --- everything else ------------------------------------------------------------------------------


def _receive_priority(connection: Connection, _: int, stream_id: int, payload: bytes) -> None:
    if stream_id == 0:
        raise ConnectionFault(_PROTOCOL, "PRIORITY on stream 0")
    _spend_idle(connection)
    if len(payload) != 5:
        raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR)
    if unpack_number(payload) & LOW_31_BITS == stream_id:
        raise StreamFault(stream_id, _PROTOCOL)


def _receive_rst_stream(connection: Connection, _: int, stream_id: int, payload: bytes) -> None:
    _check_length(payload, 4)
    if stream_id == 0 or stream_id > connection.last_stream_id:
        raise ConnectionFault(_PROTOCOL, "RST_STREAM on an idle stream")
    stream = connection.streams.get(stream_id)
    if stream is None:
        _spend_idle(connection)
        return
    if not stream.has_headers:
        # A call that was being answered is no rapid reset: streams end that way.
        _spend_reset(connection)
    announce_end(connection, stream, Ending.CANCELLED, Code.CANCELED)
    forget(connection, stream)


def _receive_settings(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    if stream_id:
        raise ConnectionFault(_PROTOCOL, "SETTINGS on a stream")
    if flags & ACK:
        _check_length(payload, 0)
        _spend_idle(connection)
        return
    if len(payload) % 6:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS cut short")
    connection.has_settings = True
    settings = unpack_settings(payload)
    # A new window size is a visit to every stream.
    _spend_idle(connection, 1 + len(settings) + len(connection.streams) / 64)
    for key, value in settings:
        if key == SETTINGS_INITIAL_WINDOW_SIZE:
            _resize_windows(connection, value)
        elif key == SETTINGS_MAX_FRAME_SIZE:
            # We send frames of the smallest size that every peer takes.
            if not FRAME_PAYLOAD_BYTES_MAX <= value <= 0xFF_FFFF:
                raise ConnectionFault(_PROTOCOL, "SETTINGS_MAX_FRAME_SIZE out of range")
        elif key == SETTINGS_ENABLE_PUSH and value > 1:
            raise ConnectionFault(_PROTOCOL, "SETTINGS_ENABLE_PUSH out of range")
    connection.put(SETTINGS_ACK)


def _resize_windows(connection: Connection, size: int) -> None:
    """Apply a new initial window to streams that are open; theirs may become negative."""
    if size > WINDOW_BYTES_MAX:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE")
    change = size - connection.stream_send_window
    connection.stream_send_window = size
    if change == 0:
        return
    for stream in connection.streams.values():
        stream.send_window += change
        if stream.send_window > WINDOW_BYTES_MAX:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window too large")
        if stream.send_window > 0:
            schedule(connection, stream)
        elif stream.is_scheduled:
            connection.ready.remove(stream)
            stream.is_scheduled = False


def _receive_ping(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    if stream_id:
        raise ConnectionFault(_PROTOCOL, "PING on a stream")
    _check_length(payload, 8)
    _spend_idle(connection)
    receive_ping(connection, payload, is_ack=bool(flags & ACK))


def _receive_goaway(connection: Connection, _: int, stream_id: int, payload: bytes) -> None:
    if stream_id:
        raise ConnectionFault(_PROTOCOL, "GOAWAY on a stream")
    if len(payload) < 8:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY cut short")
    # It concerns streams that a server opens; ours has none. The client will close.
    _spend_idle(connection)


def _receive_window_update(connection: Connection, _: int, stream_id: int, payload: bytes) -> None:
    _check_length(payload, 4)
    increment = unpack_number(payload) & LOW_31_BITS
    if increment < _TINY_WINDOW_BYTES:
        _spend_idle(connection)
    if stream_id == 0:
        connection.send_window += increment
        if increment == 0:
            raise ConnectionFault(_PROTOCOL, "a window update of 0")
        if connection.send_window > WINDOW_BYTES_MAX:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window too large")
        return
    stream = connection.streams.get(stream_id)
    if stream is None:
        if stream_id > connection.last_stream_id or not stream_id & 1:
            raise ConnectionFault(_PROTOCOL, "WINDOW_UPDATE on an idle stream")
        return
    if increment == 0:
        raise StreamFault(stream_id, _PROTOCOL)
    stream.send_window += increment
    if stream.send_window > WINDOW_BYTES_MAX:
        raise StreamFault(stream_id, ErrorCode.FLOW_CONTROL_ERROR)
    schedule(connection, stream)


def _receive_push_promise(connection: Connection, _: int, __: int, ___: bytes) -> None:
    raise ConnectionFault(_PROTOCOL, f"connection {connection.number}: PUSH_PROMISE of a client")


def _receive_unknown(connection: Connection, _: int, __: int, ___: bytes) -> None:
    """Ignore a frame of an extension (RFC 9113 §5.5)."""
    _spend_idle(connection)


def _check_length(payload: bytes, length: int) -> None:
    if len(payload) != length:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame of the wrong length")


_Handler = Callable[[Connection, int, int, bytes], None]

_HANDLERS: Final[dict[int, _Handler]] = {
    DATA: _receive_data,
    HEADERS: _receive_headers,
    PRIORITY: _receive_priority,
    RST_STREAM: _receive_rst_stream,
    SETTINGS: _receive_settings,
    PUSH_PROMISE: _receive_push_promise,
    PING: _receive_ping,
    GOAWAY: _receive_goaway,
    WINDOW_UPDATE: _receive_window_update,
    CONTINUATION: _receive_continuation,
}

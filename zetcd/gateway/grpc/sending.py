"""Responsible for what goes out: answers, stream messages, and who is next when windows are short.

The short way is for answers that fit at once: headers, message and trailers leave together. What does
not fit waits on its stream; `pump` gives each stream that has something and may send it one frame of
at most 16 KiB in turn, so that a long list and a small event wait for each other no longer than that.
"""

from __future__ import annotations

import struct
from collections import deque
from enum import IntEnum
from typing import Final

from zetcd.errors import Code
from zetcd.gateway.grpc.answers import ANSWER_HEADERS, OK_TRAILERS, trailers_of
from zetcd.gateway.grpc.codes import OK, ErrorCode, Status
from zetcd.gateway.grpc.connection import Connection
from zetcd.gateway.grpc.events import Closed, Ending, Writable
from zetcd.gateway.grpc.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    HEADERS,
    pack_frame,
    pack_goaway,
    pack_rst_stream,
)
from zetcd.gateway.grpc.message import PREFIX, PREFIX_BYTES
from zetcd.gateway.grpc.stream import FOREIGN, Stream

#: Streams remembered after we closed them first.
_RESET_IDS_MAX: Final = 1024
#: Largest message of gRPC clients (etcd: math.MaxInt32).
MESSAGE_BYTES_MAX: Final = 2**31 - 1

#: Smaller frames are useful only as the end of what was queued.
_USEFUL_BYTES_MIN: Final = 1024

#: Response headers, then DATA with the prefix of one message.
_ANSWER: Final = struct.Struct(f">IBI{len(ANSWER_HEADERS)}sIBIBI")
_HEADERS_FIRST: Final = len(ANSWER_HEADERS) << 8 | HEADERS
_OK_END: Final = struct.Struct(f">IBI{len(OK_TRAILERS)}s")
_OK_END_FIRST: Final = len(OK_TRAILERS) << 8 | HEADERS
_OK_END_FLAGS: Final = END_HEADERS | END_STREAM


class Sent(IntEnum):
    """What became of a message for a stream."""

    #: It is on its way or waits in the stream's queue.
    TAKEN = 0
    #: It was not taken; `Writable` will say when to try again.
    FULL = 1
    #: The call is over.
    GONE = 2


# --- whole answers ------------------------------------------------------------------------------


def answer(connection: Connection, stream: Stream, message: bytes) -> None:
    """Send one message and the status OK. Always taken: the call itself was let in."""
    size = len(message) + PREFIX_BYTES
    if (
        stream.has_headers
        or size > connection.payload_bytes_max
        or size > stream.send_window
        or size > connection.send_window
        or connection.is_paused
        or connection.ready
        or not stream.is_remote_closed
        or connection.output_bytes > connection.options.turn_bytes_max
    ):
        _queue_message(connection, stream, message)
        finish(connection, stream, OK)
        return
    stream_id = stream.id
    frames = (
        _ANSWER.pack(
            *(_HEADERS_FIRST, END_HEADERS, stream_id, ANSWER_HEADERS),
            *(size << 8, 0, stream_id, 0, size - PREFIX_BYTES),
        )
        + message
        + _OK_END.pack(_OK_END_FIRST, _OK_END_FLAGS, stream_id, OK_TRAILERS)
    )
    connection.output.append(frames)
    connection.output_bytes += len(frames)
    connection.send_window -= size
    connection.useful_count += 1
    connection.has_answered = True
    figures = stream.head.method.figures
    figures.messages_sent += 1
    figures.end(Code.OK, stream.began_at)
    forget(connection, stream)


def finish(connection: Connection, stream: Stream, status: Status) -> None:
    """End a call with ``status``, after what its queue holds."""
    assert not stream.part_left or status.code is not Code.OK, "a message without its end"
    stream.head.method.figures.end(status.code, stream.began_at)
    if not stream.has_headers:
        # Headers and trailers in one block, as gRPC has it for calls without a message.
        stream.trailers = ANSWER_HEADERS + trailers_of(status)
    else:
        stream.trailers = trailers_of(status)
    stream.has_trailers = True
    if not stream.queued_bytes:
        _send_end(connection, stream)


def answer_foreign(connection: Connection, stream: Stream) -> None:
    """Answer a request that is no gRPC call, now that it has ended."""
    assert stream.foreign_body is not None
    block, body = stream.foreign_body
    connection.put(pack_frame(HEADERS, END_HEADERS, stream.id, block))
    stream.has_headers = True
    stream.has_trailers = True
    _enqueue(connection, stream, body)
    if not body:
        _send_end(connection, stream)


def _send_end(connection: Connection, stream: Stream) -> None:
    """Send what ends the stream; its queue is empty."""
    if stream.trailers:
        connection.put(pack_frame(HEADERS, _OK_END_FLAGS, stream.id, stream.trailers))
    else:
        connection.put(pack_frame(DATA, END_STREAM, stream.id, b""))
    connection.has_answered = True
    if not stream.is_remote_closed:
        # The client may stop sending; what is already on its way is ignored (RFC 9113 §8.1).
        connection.put(pack_rst_stream(stream.id, ErrorCode.NO_ERROR))
        _remember_reset(connection, stream.id)
    forget(connection, stream)


# --- messages of streams --------------------------------------------------------------------------


def send(connection: Connection, stream: Stream, message: bytes) -> Sent:
    """Send one of several messages, if there is room."""
    assert not stream.has_trailers, "a message after the end of the call"
    if not has_room(connection, stream):
        stream.wants_room = True
        return Sent.FULL
    _queue_message(connection, stream, message)
    return Sent.TAKEN


def begin_message(connection: Connection, stream: Stream, length: int) -> Sent:
    """Begin a message whose octets come in parts, by `send_part`."""
    assert not stream.has_trailers, "a message after the end of the call"
    assert not stream.part_left, "a message within a message"
    assert 0 <= length <= MESSAGE_BYTES_MAX
    if not has_room(connection, stream):
        stream.wants_room = True
        return Sent.FULL
    send_headers(connection, stream)
    stream.head.method.figures.messages_sent += 1
    stream.part_left = length
    _enqueue(connection, stream, PREFIX.pack(0, length))
    return Sent.TAKEN


def send_part(connection: Connection, stream: Stream, part: bytes) -> Sent:
    """Send the next octets of the message that was begun, if there is room."""
    assert len(part) <= stream.part_left, "more octets than announced"
    if not has_room(connection, stream):
        stream.wants_room = True
        return Sent.FULL
    stream.part_left -= len(part)
    _enqueue(connection, stream, part)
    return Sent.TAKEN


def has_room(connection: Connection, stream: Stream) -> bool:
    """Whether the stream may queue more; a queue overshoots by one message at most."""
    options = connection.options
    if stream.queued_bytes >= options.stream_queue_bytes_max:
        return False
    # A stream whose queue is empty always gets on: others' stalls are not its own.
    return not stream.queued_bytes or (
        connection.queued_bytes < options.connection_queue_bytes_max
        and connection.shared.queued_bytes < options.process_queue_bytes_max
    )


def send_headers(connection: Connection, stream: Stream) -> None:
    """Send the response headers, if that has not happened."""
    if not stream.has_headers:
        stream.has_headers = True
        connection.put(pack_frame(HEADERS, END_HEADERS, stream.id, ANSWER_HEADERS))
        connection.has_answered = True


def _queue_message(connection: Connection, stream: Stream, message: bytes) -> None:
    assert len(message) <= MESSAGE_BYTES_MAX
    assert not stream.part_left, "a message within a message"
    send_headers(connection, stream)
    stream.head.method.figures.messages_sent += 1
    prefix = PREFIX.pack(0, len(message))
    size = len(message) + PREFIX_BYTES
    if (
        not stream.queued_bytes
        and size <= connection.payload_bytes_max
        and size <= stream.send_window
        and size <= connection.send_window
        and not connection.is_paused
        and not connection.ready
        and connection.output_bytes <= connection.options.turn_bytes_max
    ):
        # The short way: nobody waits, and everything has room.
        connection.useful_count += 1
        connection.has_answered = True
        stream.send_window -= size
        connection.send_window -= size
        connection.put(FRAME_HEADER.pack(size << 8, 0, stream.id) + prefix + message)
    elif size <= connection.payload_bytes_max:
        _enqueue(connection, stream, prefix + message)
    else:
        _enqueue(connection, stream, prefix)
        _enqueue(connection, stream, message)


def _enqueue(connection: Connection, stream: Stream, chunk: bytes) -> None:
    if not chunk:
        return
    if stream.queue is None:
        stream.queue = deque()
    stream.queue.append(chunk)
    _count_queued(connection, stream, len(chunk))
    schedule(connection, stream)


def _count_queued(connection: Connection, stream: Stream, change: int) -> None:
    stream.queued_bytes += change
    connection.queued_bytes += change
    connection.shared.queued_bytes += change


# --- whose turn it is -----------------------------------------------------------------------------


def schedule(connection: Connection, stream: Stream) -> None:
    """Let a stream take part in the turns, if it has something and may send it."""
    if not stream.is_scheduled and stream.queued_bytes and stream.send_window > 0:
        stream.is_scheduled = True
        connection.ready.append(stream)


def pump(connection: Connection) -> None:
    """Turn queued octets into frames: one for each stream in turn, as far as windows and turn go."""
    ready = connection.ready
    turn_bytes_max = connection.options.turn_bytes_max
    while (
        ready
        and connection.send_window > 0
        and not connection.is_paused
        and connection.output_bytes < turn_bytes_max
    ):
        stream = ready.popleft()
        stream.is_scheduled = False
        _send_frame(connection, stream)
        if stream.queued_bytes:
            schedule(connection, stream)
        elif stream.has_trailers:
            _send_end(connection, stream)
        if stream.wants_room and has_half_room(stream, connection):
            stream.wants_room = False
            connection.shared.events.append(Writable(stream.token))


def has_half_room(stream: Stream, connection: Connection) -> bool:
    """Whether the queue is empty enough that being told is worth it."""
    return stream.queued_bytes <= connection.options.stream_queue_bytes_max // 2 and has_room(
        connection, stream
    )


def has_more(connection: Connection) -> bool:
    """Whether `pump` could go on at once."""
    return bool(connection.ready) and connection.send_window > 0 and not connection.is_paused


def _send_frame(connection: Connection, stream: Stream) -> None:
    """Send one DATA frame from the queue, of one chunk or of several small ones."""
    size = min(
        connection.payload_bytes_max,
        connection.send_window,
        stream.send_window,
        stream.queued_bytes,
    )
    assert size > 0
    payload = _take_queued(stream, size)
    connection.put(FRAME_HEADER.pack(size << 8, 0, stream.id) + payload)
    stream.send_window -= size
    connection.send_window -= size
    connection.has_answered = True
    _count_queued(connection, stream, -size)
    if size >= _USEFUL_BYTES_MIN or not stream.queued_bytes:
        # A window opened by the octet earns nothing.
        connection.useful_count += 1


def _take_queued(stream: Stream, size: int) -> bytes:
    """Remove and return ``size`` octets of the queue, which has as many."""
    queue = stream.queue
    assert queue is not None
    start = stream.sent_of_first
    taken = queue[0][start : start + size]
    if start + len(taken) < len(queue[0]):
        stream.sent_of_first = start + len(taken)
        return taken
    queue.popleft()
    stream.sent_of_first = 0
    if len(taken) == size:
        return taken
    parts, missing = [taken], size - len(taken)
    while missing >= len(queue[0]) if missing else False:
        parts.append(queue.popleft())
        missing -= len(parts[-1])
    if missing:
        parts.append(queue[0][:missing])
        stream.sent_of_first = missing
    return b"".join(parts)


def release_acks(connection: Connection) -> None:
    """Let the answers to PINGs leave with the next output."""
    for ack in connection.acks:
        connection.put(ack)
    connection.acks.clear()
    del connection.shared.holding[connection.number]


# --- ends -----------------------------------------------------------------------------------------


def forget(connection: Connection, stream: Stream) -> None:
    """Drop a stream and whatever it holds."""
    shared = connection.shared
    stream.is_open = False
    del connection.streams[stream.id]
    shared.stream_count -= 1
    if stream.deadline_slot:
        shared.deadlines.remove(stream.token, stream.deadline_slot)
    if stream.queued_bytes:
        drop_queue(connection, stream)
    if stream.assembly:
        count_assembling(connection, -len(stream.assembly))
        stream.assembly = None
    if stream.only_message:
        count_assembling(connection, -len(stream.only_message))
        stream.only_message = None


def drop_queue(connection: Connection, stream: Stream) -> None:
    """Forget what waits on a stream."""
    _count_queued(connection, stream, -stream.queued_bytes)
    stream.queue = None
    stream.sent_of_first = 0
    stream.part_left = 0
    if stream.is_scheduled:
        connection.ready.remove(stream)
        stream.is_scheduled = False


def count_assembling(connection: Connection, change: int) -> None:
    """Keep account of messages that have begun and not ended."""
    connection.assembling_bytes += change
    connection.shared.assembling_bytes += change


def reset(connection: Connection, stream_id: int, code: ErrorCode) -> None:
    """Tell the client that a stream is over, whatever was on its way."""
    connection.put(pack_rst_stream(stream_id, code))
    _remember_reset(connection, stream_id)


def _remember_reset(connection: Connection, stream_id: int) -> None:
    ids = connection.reset_ids
    ids[stream_id] = None
    if len(ids) > _RESET_IDS_MAX:
        del ids[next(iter(ids))]


def announce_end(connection: Connection, stream: Stream, ending: Ending, code: Code) -> None:
    """Tell the application that a call it knows is over; count it."""
    if stream.has_trailers or stream.head is FOREIGN:
        # The application has finished the call, or never heard of it.
        return
    stream.head.method.figures.end(code, stream.began_at)
    if stream.is_announced:
        connection.shared.events.append(Closed(stream.token, ending))
        connection.shared.cancelled[stream.token] = None


def refuse_call(connection: Connection, stream: Stream, status: Status, ending: Ending) -> None:
    """End a call by ourselves: its queue is dropped, the status is sent."""
    if stream.has_trailers:
        # The application finished it before; its octets never found a window.
        reset(connection, stream.id, ErrorCode.CANCEL)
        forget(connection, stream)
        return
    if stream.is_announced:
        connection.shared.events.append(Closed(stream.token, ending))
        connection.shared.cancelled[stream.token] = None
    if stream.queued_bytes:
        drop_queue(connection, stream)
    finish(connection, stream, status)


def close_connection(connection: Connection, code: ErrorCode, reason: str) -> None:
    """Say GOAWAY and end everything on the connection; what is in `output` is still written."""
    if connection.is_closed:
        return
    if connection.acks:
        release_acks(connection)
    if connection.is_http2:
        # Nothing comes after it.
        connection.put(pack_goaway(connection.last_stream_id, code, reason))
    end_connection(connection, reason)


def end_connection(connection: Connection, reason: str) -> None:
    """End every call of a connection that is closed or lost."""
    if connection.is_closed:
        return
    connection.is_closed = True
    connection.close_reason = reason
    for stream in list(connection.streams.values()):
        announce_end(connection, stream, Ending.LOST, Code.CANCELED)
        forget(connection, stream)
    if connection.acks:
        release_acks(connection)
    connection.fragments.clear()
    connection.partial = b""
    shared = connection.shared
    shared.connection_timers.remove(connection.number, connection.timer_slot)
    shared.dirty[connection.number] = connection

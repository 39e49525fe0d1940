"""Responsible for requests: octets to exchanges, and exchanges to what the application hears of.

A request is screened when its head is there (host, origin, path, method), and served when its end is
there; only streams of messages are served as they come.
"""

from __future__ import annotations

from typing import Final

import h11

from zetcd.errors import Code
from zetcd.gateway.grpc import (
    Call,
    Closed,
    Ending,
    HalfClosed,
    Head,
    Opened,
    Status,
    StreamMessage,
)
from zetcd.gateway.grpc.head import parse_timeout
from zetcd.gateway.http.access import (
    cors_headers,
    host_of,
    is_host_allowed,
    is_origin_allowed,
    refused_host,
)
from zetcd.gateway.http.connection import HttpConnection
from zetcd.gateway.http.events import HttpRequest
from zetcd.gateway.http.exchange import Answer, Exchange, Request, read_request
from zetcd.gateway.http.frames import (
    CLOSE,
    NORMAL,
    PING,
    PONG,
    PROTOCOL_ERROR,
    Control,
    FrameReader,
    Piece,
    WebSocketFault,
    frame,
)
from zetcd.gateway.http.json_messages import BadJson, read_json
from zetcd.gateway.http.json_stream import JsonSplitter
from zetcd.gateway.http.options import Surface
from zetcd.gateway.http.web_socket import is_upgrade, refusal, switch
from zetcd.gateway.http.writing import (
    abort,
    call_error,
    drop_body,
    finish_call,
    leave,
    redirect,
    respond,
    text_error,
)

#: Where the JSON gateway is; clients of old say the second.
GATEWAY_PREFIX: Final = "/v3/"
_GATEWAY_NAME: Final = GATEWAY_PREFIX.removesuffix("/")
_BETA_PREFIX: Final = "/v3beta/"
#: Bytes of a body that nobody wants which are waited for.
_UNWANTED_BYTES_MAX: Final = 64 * 1024
#: Headers whose rest of the name is a call's metadata (grpc-gateway).
_METADATA_PREFIX: Final = "grpc-metadata-"
_TOO_LARGE: Final = Status(Code.RESOURCE_EXHAUSTED, "http: request body too large")
_NO_ROOM: Final = Status(Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests")


def receive(connection: HttpConnection, octets: bytes) -> None:
    """Take in octets of a connection, cut anywhere."""
    if connection.is_closed or connection.is_lingering:
        return
    if connection.frames is not None:
        _take_frames(connection, connection.frames, octets)
        return
    if connection.exchange is None and not connection.has_partial:
        connection.has_partial = True
        connection.since = connection.shared.now
    connection.machine.receive_data(octets)
    read_on(connection)


def read_on(connection: HttpConnection) -> None:
    """Go through what has come; called again when an answer has left."""
    if connection.is_reading:
        return
    connection.is_reading = True
    try:
        while _is_read_by_h11(connection) and _step(connection):
            pass
    except h11.RemoteProtocolError as error:
        _give_up(connection, error.error_status_hint, str(error))
    finally:
        connection.is_reading = False
    if not connection.is_closed:
        connection.set_timer()


def _is_read_by_h11(connection: HttpConnection) -> bool:
    return not (connection.is_closed or connection.is_lingering or connection.frames is not None)


def _step(connection: HttpConnection) -> bool:
    """Handle one event; False: there is none."""
    machine = connection.machine
    event = machine.next_event()
    if event is h11.NEED_DATA:
        if machine.they_are_waiting_for_100_continue:
            _continue(connection)
        return False
    if event is h11.PAUSED:
        if len(machine.trailing_data[0]) > connection.shared.options.pipelined_bytes_max:
            _give_up(connection, 400, "too much before the answer to the request ahead of it")
        return False
    if type(event) is h11.Request:
        _begin(connection, event)
    elif type(event) is h11.Data:
        _take_body(connection, bytes(event.data))
    elif type(event) is h11.EndOfMessage:
        _end(connection)
    else:
        connection.close()
    return True


def _give_up(connection: HttpConnection, status: int, reason: str) -> None:
    """End a connection on which nothing can be understood any more."""
    exchange = connection.exchange
    if exchange is not None and exchange.is_open:
        _close_call(connection, exchange, Ending.REFUSED)
    if exchange is not None and exchange.has_begun:
        abort(connection, exchange)
        return
    if exchange is None:
        exchange = Exchange(0, Request("", "", (), ()), ())
    exchange.has_ended = False
    if connection.machine.our_state in (h11.IDLE, h11.SEND_RESPONSE):
        respond(connection, exchange, text_error(status, f"{reason}\n"))
    else:
        connection.close()


def _close_call(connection: HttpConnection, exchange: Exchange, ending: Ending) -> None:
    """Tell the application that a request is over without its doing."""
    shared = connection.shared
    if exchange.is_open:
        exchange.is_open = False
        shared.open.pop(exchange.token, None)
        shared.events.append(Closed(exchange.token, ending))
        if exchange.binding is not None:
            code = Code.DEADLINE_EXCEEDED if ending is Ending.DEADLINE else Code.CANCELED
            exchange.binding.method.figures.end(code, exchange.began_at)


def lose(connection: HttpConnection) -> None:
    """Note that the socket is gone."""
    exchange = connection.exchange
    if exchange is not None:
        _close_call(connection, exchange, Ending.LOST)
        drop_body(connection, exchange)
    connection.exchange = None
    connection.is_closed = True
    connection.take_output()


def expire(connection: HttpConnection, exchange: Exchange) -> None:
    """End a call whose deadline has passed."""
    status = Status(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
    connection.shared.events.append(Closed(exchange.token, Ending.DEADLINE))
    finish_call(connection, exchange, status)
    read_on(connection)


# --- the head ----------------------------------------------------------------------------------------


def _begin(connection: HttpConnection, event: h11.Request) -> None:
    """Screen a request whose head is there."""
    shared = connection.shared
    shared.last_token += 1
    connection.has_partial = False
    try:
        request = read_request(event.method, event.target, list(event.headers))
    except ValueError as error:
        exchange = Exchange(shared.last_token, Request("", "", (), ()), ())
        exchange.refusal = text_error(400, f"malformed request: {error}\n")
    else:
        path = request.path
        if path.startswith(_BETA_PREFIX):
            path = GATEWAY_PREFIX + path.removeprefix(_BETA_PREFIX)
            request = request._replace(path=path)
        cors = cors_headers(request.header("origin"), shared.options)
        exchange = Exchange(shared.last_token, request, cors)
        exchange.refusal = _screen(connection, exchange)
    if _head_bytes(event) > shared.options.header_bytes_max:
        # h11 lets a head pass that comes in one piece.
        exchange.refusal = text_error(431, "request header fields too large\n")
    exchange.is_head = event.method == b"HEAD"
    connection.exchange = exchange
    if exchange.refusal is not None or exchange.binding is None or exchange.is_web_socket:
        return
    if exchange.binding.method.client_streams:
        _open(connection, exchange)


def _head_bytes(event: h11.Request) -> int:
    return len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers)


def _screen(connection: HttpConnection, exchange: Exchange) -> Answer | None:
    """Return how a request is answered that is not served; None: it is."""
    request, options = exchange.request, connection.shared.options
    host = host_of(request)
    if not is_host_allowed(host, options, is_secure=connection.is_secure):
        return text_error(421, refused_host(host))
    if request.method == "OPTIONS" and connection.surface is Surface.CLIENT:
        return Answer(200, "", b"")
    has_gateway = connection.surface is Surface.CLIENT and options.has_json_gateway
    if has_gateway and request.path.startswith(GATEWAY_PREFIX):
        return _screen_call(connection, exchange)
    if has_gateway and request.path == _GATEWAY_NAME:
        query = f"?{request.raw_query}" if request.raw_query else ""
        return redirect(request, GATEWAY_PREFIX + query)
    if request.path in connection.shared.endpoints[connection.surface]:
        return None
    return text_error(404, "404 page not found\n")


def _screen_call(connection: HttpConnection, exchange: Exchange) -> Answer | None:
    request, shared = exchange.request, connection.shared
    binding = shared.bindings.get(request.path)
    if binding is None:
        return call_error(Status(Code.NOT_FOUND, "Not Found"))
    # Browsers open a WebSocket without asking first: the check of the origin below is the only one.
    wants_socket = binding.method.server_streams and is_upgrade(request)
    if request.method != "POST" and not wants_socket:
        # The status is grpc-gateway's: that of the code, not 405.
        return call_error(Status(Code.UNIMPLEMENTED, "Method Not Allowed"))
    origin = request.header("origin")
    if not is_origin_allowed(origin, shared.options):
        text = f"pages from {origin} may not call; see cors"
        return call_error(Status(Code.PERMISSION_DENIED, text))
    timeout = request.header("grpc-timeout")
    if timeout and parse_timeout(timeout.encode("latin-1")) is None:
        return call_error(Status(Code.INVALID_ARGUMENT, f"invalid grpc-timeout: {timeout}"))
    exchange.binding = binding
    exchange.is_web_socket = wants_socket
    return refusal(request) if wants_socket else None


def _continue(connection: HttpConnection) -> None:
    """Let a client send its body, or tell it that nobody wants it."""
    exchange = connection.exchange
    assert exchange is not None
    if exchange.refusal is not None:
        respond(connection, exchange, exchange.refusal)
    elif _length(exchange) > connection.shared.options.body_bytes_max:
        respond(connection, exchange, call_error(_TOO_LARGE, 413))
    else:
        informational = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
        connection.write(connection.machine.send(informational))


def _length(exchange: Exchange) -> int:
    text = exchange.request.header("content-length")
    return int(text) if text.isdigit() else 0


# --- the body ----------------------------------------------------------------------------------------


def _take_body(connection: HttpConnection, octets: bytes) -> None:
    exchange, shared = connection.exchange, connection.shared
    if exchange is None:
        return
    exchange.body_bytes += len(octets)
    if exchange.splitter is not None:
        _take_messages(connection, exchange, exchange.splitter, octets)
    elif exchange.refusal is not None or exchange.binding is None:
        if exchange.body_bytes > _UNWANTED_BYTES_MAX:
            too_large = text_error(413, "request body too large\n")
            respond(connection, exchange, exchange.refusal or too_large)
    elif max(exchange.body_bytes, _length(exchange)) > shared.options.body_bytes_max:
        respond(connection, exchange, call_error(_TOO_LARGE, 413))
    elif shared.body_bytes + len(octets) > shared.options.process_body_bytes_max:
        respond(connection, exchange, call_error(_NO_ROOM))
    else:
        exchange.body += octets
        shared.body_bytes += len(octets)


def _take_messages(
    connection: HttpConnection, exchange: Exchange, splitter: JsonSplitter, octets: bytes
) -> None:
    """Take a piece of a stream of messages."""
    shared, kept_bytes = connection.shared, exchange.kept_bytes
    try:
        try:
            texts = splitter.feed(octets)
        finally:
            shared.body_bytes += exchange.kept_bytes - kept_bytes
        for text in texts:
            if not exchange.is_asked:
                _take_message(connection, exchange, text)
            if not exchange.is_open:
                return
        if shared.body_bytes > shared.options.process_body_bytes_max:
            _break(connection, exchange, _NO_ROOM)
    except BadJson as error:
        _break(connection, exchange, Status(Code.INVALID_ARGUMENT, str(error)))


def _take_message(connection: HttpConnection, exchange: Exchange, text: bytes) -> None:
    shared, binding = connection.shared, exchange.binding
    assert binding is not None
    message = read_json(text, binding.request).SerializeToString()
    if len(message) > shared.options.message_bytes_max:
        raise BadJson(f"a message of more than {shared.options.message_bytes_max} bytes")
    binding.method.figures.messages_received += 1
    if not binding.method.client_streams:
        exchange.is_asked = True
        shared.events.append(Call(exchange.token, head_of(exchange), message, exchange.deadline))
    elif not exchange.is_held:
        shared.events.append(StreamMessage(exchange.token, message))
    else:
        exchange.held.append(message)
        exchange.held_bytes += len(message) + 64
        if exchange.held_bytes > shared.options.held_bytes_max:
            _break(connection, exchange, _NO_ROOM)


def _break(connection: HttpConnection, exchange: Exchange, status: Status) -> None:
    """End a stream because of what its client has sent."""
    connection.shared.events.append(Closed(exchange.token, Ending.REFUSED))
    finish_call(connection, exchange, status)


def release(connection: HttpConnection, exchange: Exchange) -> None:
    """Hand over the messages that nobody took."""
    events, token = connection.shared.events, exchange.token
    exchange.is_held = False
    events.extend(StreamMessage(token, message) for message in exchange.held)
    exchange.held.clear()
    exchange.held_bytes = 0
    if exchange.has_ended:
        events.append(HalfClosed(token))


# --- the end -----------------------------------------------------------------------------------------


def _end(connection: HttpConnection) -> None:
    """Serve a request that is complete."""
    exchange, shared = connection.exchange, connection.shared
    if exchange is None:
        return
    exchange.has_ended = True
    if exchange.refusal is not None:
        respond(connection, exchange, exchange.refusal)
    elif exchange.is_web_socket:
        _switch(connection, exchange)
    elif exchange.splitter is not None:
        try:
            exchange.splitter.end()
        except BadJson as error:
            _break(connection, exchange, Status(Code.INVALID_ARGUMENT, str(error)))
            return
        if not exchange.is_held:
            shared.events.append(HalfClosed(exchange.token))
    elif exchange.binding is not None:
        _call(connection, exchange)
    else:
        _note_open(connection, exchange)
        event = HttpRequest(exchange.token, exchange.request, connection.surface)
        shared.events.append(event)


def _call(connection: HttpConnection, exchange: Exchange) -> None:
    """Begin a call whose only message is there."""
    shared, binding = connection.shared, exchange.binding
    assert binding is not None
    try:
        message = read_json(bytes(exchange.body), binding.request).SerializeToString()
    except BadJson as error:
        respond(connection, exchange, call_error(Status(Code.INVALID_ARGUMENT, str(error))))
        return
    limit = shared.options.message_bytes_max
    if len(message) > limit:
        text = f"grpc: received message larger than max ({len(message)} vs. {limit})"
        respond(connection, exchange, call_error(Status(Code.RESOURCE_EXHAUSTED, text)))
        return
    shared.body_bytes -= len(exchange.body)
    exchange.body.clear()
    deadline = _note_open(connection, exchange)
    binding.method.figures.messages_received += 1
    call = Call(exchange.token, head_of(exchange), message, deadline)
    shared.events.append(call)


def _open(connection: HttpConnection, exchange: Exchange) -> None:
    """Begin a call whose messages are still to come."""
    shared, binding = connection.shared, exchange.binding
    assert binding is not None
    exchange.splitter = JsonSplitter(shared.options.body_bytes_max)
    exchange.deadline = _note_open(connection, exchange)
    if binding.method.client_streams:
        shared.events.append(Opened(exchange.token, head_of(exchange), exchange.deadline))


def _note_open(connection: HttpConnection, exchange: Exchange) -> float | None:
    """Note that the application is told of a request; returns its deadline."""
    shared = connection.shared
    exchange.is_open = True
    shared.open[exchange.token] = connection
    if exchange.binding is None:
        return None
    exchange.began_at = exchange.binding.method.figures.begin()
    seconds = parse_timeout(exchange.request.header("grpc-timeout").encode("latin-1"))
    if seconds is None:
        return None
    deadline = shared.now + seconds
    shared.deadlines.add(exchange.token, exchange.token, deadline, shared.now)
    return deadline


# --- WebSocket ---------------------------------------------------------------------------------------


def _switch(connection: HttpConnection, exchange: Exchange) -> None:
    """Go on in frames: the client sends its messages in them, and is answered in them."""
    machine = connection.machine
    connection.write(machine.send(switch(exchange.request)))
    connection.frames = FrameReader()
    exchange.has_begun, exchange.has_ended = True, False
    _open(connection, exchange)
    _take_frames(connection, connection.frames, machine.trailing_data[0])


def _take_frames(connection: HttpConnection, reader: FrameReader, octets: bytes) -> None:
    """Take a piece of what a client says by WebSocket."""
    exchange = connection.exchange
    assert exchange is not None
    assert exchange.splitter is not None
    try:
        for each in reader.feed(octets):
            if type(each) is Piece:
                _take_messages(connection, exchange, exchange.splitter, each.octets)
            elif type(each) is Control:
                _take_control(connection, exchange, each)
            if not exchange.is_open:
                return
    except WebSocketFault as fault:
        _close_call(connection, exchange, Ending.REFUSED)
        leave(connection, exchange, PROTOCOL_ERROR, str(fault))


def _take_control(connection: HttpConnection, exchange: Exchange, control: Control) -> None:
    if control.opcode == CLOSE:
        _close_call(connection, exchange, Ending.CANCELLED)
        # What they said, if it was something: both sides then agree how it ended.
        code = int.from_bytes(control.payload[:2], "big") if len(control.payload) > 1 else NORMAL
        leave(connection, exchange, code)
    elif control.opcode == PING:
        connection.write(frame(PONG, control.payload))
        if connection.output_bytes > 2 * connection.shared.options.queue_bytes_max:
            # Who asks on and reads nothing would fill the memory.
            lose(connection)
            connection.close()


def head_of(exchange: Exchange) -> Head:
    """Return what a call's headers say: its token, its metadata, and nothing of its certificate."""
    assert exchange.binding is not None
    metadata = tuple(
        (name.removeprefix(_METADATA_PREFIX), value)
        for name, value in exchange.request.headers
        if name == "authorization" or name.startswith(_METADATA_PREFIX)
    )
    return Head(exchange.binding.method, metadata, exchange.request.header("host"))

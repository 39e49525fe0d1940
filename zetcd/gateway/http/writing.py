"""Responsible for answers: whole ones, streams of lines, and lists that come in parts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import h11
import msgspec
from google.protobuf.message import DecodeError

from zetcd.errors import Code
from zetcd.gateway.grpc import Sent, Status
from zetcd.gateway.http.connection import HttpConnection
from zetcd.gateway.http.errors import error_body, http_status, stream_error
from zetcd.gateway.http.exchange import Answer, Exchange, Request
from zetcd.gateway.http.frames import NORMAL, TEXT_FRAME, close_frame, frame
from zetcd.gateway.http.json_messages import field_json, to_json

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
NO_SNIFF: Final = (("X-Content-Type-Options", "nosniff"),)
#: What Go writes for characters that mean something to HTML.
_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})
_REASONS: Final = {each.value: each.phrase for each in HTTPStatus} | {499: "Client Closed Request"}


def text_error(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Return an error of an endpoint, as Go's ``http.Error`` writes it."""
    return Answer(status, TEXT, text.encode(), (*NO_SNIFF, *headers))


def redirect(request: Request, location: str) -> Answer:
    """Return the way to where a request should have gone, as Go's ``http.Redirect`` writes it.

    With 307 a client repeats its method and its body there.
    """
    headers = (("Location", location),)
    if request.method not in ("GET", "HEAD"):
        return Answer(307, "", b"", headers)
    body = f'<a href="{location.translate(_HTML)}">Temporary Redirect</a>.\n\n'
    return Answer(307, "text/html; charset=utf-8", body.encode(), headers)


def call_error(status: Status, http: int = 0) -> Answer:
    """Return an error of a call."""
    return Answer(http or http_status(status.code), JSON, error_body(status))


def begin_answer(connection: HttpConnection, exchange: Exchange, answer: Answer) -> None:
    """Send the head of an answer; its body is framed as the head says."""
    assert connection.frames is None, "a WebSocket has only frames"
    exchange.has_begun = True
    kind = (("Content-Type", answer.content_type),) if answer.content_type else ()
    headers = [*kind, *exchange.cors, *answer.headers]
    if not exchange.has_ended or connection.shared.is_draining:
        headers.append(("Connection", "close"))
    reason = _REASONS.get(answer.status, "")
    response = h11.Response(
        status_code=answer.status, headers=headers, reason=reason.encode("ascii")
    )
    connection.write(connection.machine.send(response))


def respond(connection: HttpConnection, exchange: Exchange, answer: Answer) -> None:
    """Send a whole answer; the exchange is over."""
    length = (("Content-Length", str(len(answer.body))),)
    begin_answer(connection, exchange, answer._replace(headers=(*length, *answer.headers)))
    if answer.body and not exchange.is_head:
        connection.write(connection.machine.send(h11.Data(data=answer.body)))
    end_answer(connection, exchange)


def end_answer(connection: HttpConnection, exchange: Exchange) -> None:
    """End the answer, and make ready for the next request, or for the end of the connection."""
    if connection.frames is not None:
        leave(connection, exchange, NORMAL)
        return
    shared = connection.shared
    connection.write(connection.machine.send(h11.EndOfMessage()))
    forget(connection, exchange)
    connection.since = shared.now
    if not exchange.has_ended:
        linger(connection)
    elif connection.machine.our_state is h11.DONE and connection.machine.their_state is h11.DONE:
        connection.machine.start_next_cycle()
        connection.has_partial = bool(connection.machine.trailing_data[0])
        connection.set_timer()
    else:
        connection.close()


def linger(connection: HttpConnection) -> None:
    """Close a moment later: closing while the client still sends could destroy what is on its way."""
    connection.since = connection.shared.now
    connection.is_lingering = True
    connection.set_timer()


def leave(connection: HttpConnection, exchange: Exchange, code: int, reason: str = "") -> None:
    """End a WebSocket; the client closes the connection, or we do."""
    connection.write(close_frame(code, reason))
    forget(connection, exchange)
    linger(connection)


def abort(connection: HttpConnection, exchange: Exchange) -> None:
    """Close in the middle of an answer, so that the client sees that it is not whole."""
    forget(connection, exchange)
    connection.close()


def forget(connection: HttpConnection, exchange: Exchange) -> None:
    """Let a token go."""
    shared = connection.shared
    shared.open.pop(exchange.token, None)
    drop_body(connection, exchange)
    exchange.is_open = False
    connection.exchange = None


def drop_body(connection: HttpConnection, exchange: Exchange) -> None:
    """Forget what has come of a request's body."""
    connection.shared.body_bytes -= exchange.kept_bytes
    exchange.body.clear()
    if exchange.splitter is not None:
        exchange.splitter.drop()


# --- calls -----------------------------------------------------------------------------------------


def count_end(exchange: Exchange, code: Code) -> None:
    """Count the end of a call."""
    if exchange.binding is not None:
        exchange.binding.method.figures.end(code, exchange.began_at)


def answer_call(connection: HttpConnection, exchange: Exchange, message: bytes) -> None:
    """Send the only message of a call."""
    binding = exchange.binding
    assert binding is not None
    if binding.method.server_streams:
        send_line(connection, exchange, message)
        finish_call(connection, exchange, Status(Code.OK))
        return
    binding.method.figures.messages_sent += 1
    count_end(exchange, Code.OK)
    body = msgspec.json.encode(to_json(binding.response.FromString(message)))
    respond(connection, exchange, Answer(200, JSON, body))


def send_line(connection: HttpConnection, exchange: Exchange, message: bytes) -> Sent:
    """Send one of several messages."""
    binding = exchange.binding
    assert binding is not None
    if not exchange.has_begun:
        begin_answer(connection, exchange, Answer(200, JSON, b""))
    binding.method.figures.messages_sent += 1
    fields = to_json(binding.response.FromString(message))
    _write_line(connection, msgspec.json.encode({"result": fields}))
    return Sent.TAKEN


def _write_line(connection: HttpConnection, text: bytes) -> None:
    """Send a text of a stream: a line, or a frame of a WebSocket."""
    if connection.frames is not None:
        connection.write(frame(TEXT_FRAME, text))
    else:
        connection.write(connection.machine.send(h11.Data(data=text + b"\n")))


def finish_call(connection: HttpConnection, exchange: Exchange, status: Status) -> None:
    """End a call."""
    binding = exchange.binding
    assert binding is not None
    count_end(exchange, status.code)
    is_good = status.code is Code.OK
    if exchange.part_left or (exchange.has_begun and not binding.method.server_streams):
        _finish_parts(connection, exchange, is_good=is_good)
    elif exchange.has_begun:
        if not is_good:
            _write_line(connection, stream_error(status))
        end_answer(connection, exchange)
    elif is_good:
        body = b"" if binding.method.server_streams else b"{}"
        respond(connection, exchange, Answer(200, JSON, body))
    elif binding.method.server_streams:
        line = stream_error(status) + b"\n"
        answer = Answer(http_status(status.code), JSON, line)
        respond(connection, exchange, answer)
    else:
        respond(connection, exchange, call_error(status))


# --- a list in parts ---------------------------------------------------------------------------------


def begin_parts(connection: HttpConnection, exchange: Exchange, length: int) -> Sent:
    """Begin a message that comes in parts, each of which is protobuf of the same message."""
    assert exchange.binding is not None
    exchange.part_left = length
    exchange.binding.method.figures.messages_sent += 1
    begin_answer(connection, exchange, Answer(200, JSON, b""))
    connection.write(connection.machine.send(h11.Data(data=b"{")))
    return Sent.TAKEN


def send_part(connection: HttpConnection, exchange: Exchange, part: bytes) -> Sent:
    """Send the fields of a part; a list goes on where the last part left it."""
    assert exchange.binding is not None
    assert len(part) <= exchange.part_left, "more parts than were announced"
    exchange.part_left -= len(part)
    try:
        message = exchange.binding.response.FromString(part)
    except DecodeError:
        raise AssertionError("a part that ends within a field") from None
    pieces: list[bytes] = []
    for field, value in message.ListFields():
        if field.is_repeated:
            encoded = msgspec.json.encode(field_json(field, value))[1:-1]
            if exchange.open_list == field.name:
                pieces += (b",", encoded)
                continue
            pieces += (_separator(exchange), msgspec.json.encode(field.name), b":[", encoded)
            exchange.open_list = field.name
        else:
            encoded = msgspec.json.encode(field_json(field, value))
            pieces += (_separator(exchange), msgspec.json.encode(field.name), b":", encoded)
    if pieces:
        connection.write(connection.machine.send(h11.Data(data=b"".join(pieces))))
    return Sent.TAKEN


def _separator(exchange: Exchange) -> bytes:
    """Return what stands between the last field and the next one."""
    closing = b"]" if exchange.open_list else b""
    exchange.open_list = ""
    comma = b"" if exchange.is_first_field else b","
    exchange.is_first_field = False
    return closing + comma


def _finish_parts(connection: HttpConnection, exchange: Exchange, *, is_good: bool) -> None:
    if not is_good or exchange.part_left:
        abort(connection, exchange)
        return
    end = b"]}" if exchange.open_list else b"}"
    connection.write(connection.machine.send(h11.Data(data=end)))
    end_answer(connection, exchange)

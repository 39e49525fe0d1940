r"""gRPC over HTTP/2 for a server, as a calculation: octets and time in, calls out, and back.

How it works
    gRPC needs little of HTTP/2, and what it needs repeats: the same header blocks in, the same
    header blocks out. So this is not an HTTP/2 library with gRPC on top. A request's header block
    is looked up by its octets, a whole call in one DATA frame becomes an event without being copied
    around, and an answer is three packed frames between constants. Everything else (padding,
    windows, continuations, resets, floods) takes the long way, and is taken just as seriously.

    No socket, clock or loop is in here. The driver (`zetcd.gateway.grpc_server`) goes in turns:

        receive(number, octets, now)     any number of connections, octets cut anywhere
        take_events() → [Event]          the batch of this turn, for the application
        answer, send, finish, …          now, or in a later turn
        take_output() → [Output]         one piece of octets for each connection
        next_timer, handle_timer(now)    deadlines, keep-alive, time-outs

    A call is named by a *token*, an integer that is never used again. What is sent to a token whose
    call is over is dropped, so that the application need not look first.

        unary, server stream     Call(token, head, message, deadline)
        client stream, bidi      Opened, StreamMessage…, HalfClosed
        any                      Closed(token, ending) when it ended by itself: cancelled, deadline,
                                 connection lost, refused; never after the application's own end

Worked example
    >>> from zetcd.gateway.grpc.frames import *
    >>> from zetcd.gateway.grpc.hpack import pack_field
    >>> transport = Transport([Method("/echo.Echo/Say")])
    >>> number = transport.connect(now=0.0)
    >>> block = b"".join(pack_field(*field) for field in (
    ...     (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/echo.Echo/Say"),
    ...     (b"content-type", b"application/grpc"), (b"hasleader", b"true")))
    >>> message = b"\0\0\0\0\5hello"
    >>> transport.receive(number, PREFACE + pack_settings({})
    ...     + pack_frame(HEADERS, END_HEADERS, 1, block)
    ...     + pack_frame(DATA, END_STREAM, 1, message), now=0.0)
    >>> (call,) = transport.take_events()
    >>> call.head.method.path, call.head.get("hasleader"), call.message
    ('/echo.Echo/Say', 'true', b'hello')
    >>> transport.answer(call.token, b"hello yourself")
    >>> (output,) = transport.take_output()
    >>> b"hello yourself" in output.octets, output.is_last
    (True, False)

Who waits for whom
    Nobody for a client that does not read. What finds no window waits on its stream; streams that
    may send take turns of one frame (16 KiB), connections take turns of 128 KiB. A stream's queue is
    bounded: beyond its limit `send` says FULL, and `Writable` says when to go on. Messages of any
    size can be sent in parts (`begin_message`, `send_part`), so that a list of 100 MB costs the
    gateway one queue, not 100 MB. In the other direction `hold` keeps a client from sending more
    than a window.

    ============  ======================  ====================  ===================================
    bounded       per stream              per connection        per process
    ============  ======================  ====================  ===================================
    unsent        FULL                    FULL, new calls       the connection with the most is
                                          refused               closed
    unfinished    RESOURCE_EXHAUSTED      RESOURCE_EXHAUSTED    RESOURCE_EXHAUSTED
    streams                               REFUSED_STREAM        REFUSED_STREAM
    resets, empty                         GOAWAY
    frames, pings                         ENHANCE_YOUR_CALM
    ============  ======================  ====================  ===================================

    All limits are in `options`, each with its reason.

Why the cache of header blocks is right
    What a block means depends on its octets and on the dynamic table before it. A block is kept only
    if decoding it left the table as it was, and all are forgotten when a block changes the table. So
    between two changes equal octets mean equal fields.

Files
    transport     all connections; the interface     hpack, huffman     header blocks
    connection    state of one connection            head, routes       what headers say; caches
    stream        state of one call                  answers            blocks of answers
    receiving     frames → calls                     message            length prefix, gzip
    assembling    DATA → messages                    frames, codes      HTTP/2's vocabulary
    sending       queues, turns, windows             timers, allowance  deadlines, floods
    liveness      pings, time-outs, farewell         preface            HTTP/2 or something else
    figures       what is counted of each method

Sources
    RFC 9113 (HTTP/2), RFC 7541 (HPACK), "gRPC over HTTP2", gRPC proposals A8 and A9 (keep-alive).

Not implemented
    Compressed answers: they are always identity, which every client must accept. Message encodings
    other than gzip are refused with UNIMPLEMENTED, as gRPC has it. Metadata of our own in answers,
    beside status, text and details. Priorities of RFC 7540: read and ignored, as RFC 9113 advises.
    Server push. HTTP/2 requests that are no gRPC: they get 415 or 405; JSON over HTTP/2 needs
    another server. Frames larger than 16 KiB, in either direction.
"""

from zetcd.gateway.grpc.codes import OK, ErrorCode, Status
from zetcd.gateway.grpc.connection import connection_of
from zetcd.gateway.grpc.events import (
    Call,
    Closed,
    Ending,
    Event,
    HalfClosed,
    Opened,
    StreamMessage,
    Writable,
)
from zetcd.gateway.grpc.figures import HandlingTimes, MethodFigures
from zetcd.gateway.grpc.head import Head, Method
from zetcd.gateway.grpc.options import TransportOptions
from zetcd.gateway.grpc.sending import Sent
from zetcd.gateway.grpc.transport import Output, Transport

__all__ = [
    "OK",
    "Call",
    "Closed",
    "Ending",
    "ErrorCode",
    "Event",
    "HalfClosed",
    "HandlingTimes",
    "Head",
    "Method",
    "MethodFigures",
    "Opened",
    "Output",
    "Sent",
    "Status",
    "StreamMessage",
    "Transport",
    "TransportOptions",
    "Writable",
    "connection_of",
]

r"""HTTP/1.1 for a server, as a calculation: octets and time in, requests and calls out, and back.

How it works
    h11 tells where a request's head, body and end are; what is asked is decided here. The driver goes
    in the same turns as that of gRPC (`zetcd.gateway.grpc`), and calls of the JSON gateway are the same
    events, answered with the same verbs. JSON is translated on the way in and out, nowhere else:

        octets ─► h11 ─► exchange ─► screened ─┬─► JSON ─► protobuf ─► Call, Opened, StreamMessage …
                                               └─► HttpRequest          for /health and its like
        octets ◄─ h11 ◄─ JSON ◄─ protobuf ◄────┬── answer, send, finish …
                                               └── respond

    So a put over HTTP joins the same batch as one over gRPC, and what a call means is decided once.

Worked example
    >>> from zetcd.gateway.http import HttpTransport, Surface
    >>> transport = HttpTransport({}, {Surface.CLIENT: frozenset({"/health"})})
    >>> number = transport.connect(now=0.0)
    >>> transport.receive(number, b"GET /health?serializable=true HTTP/1.1\r\nHost: a\r\n\r\n", 0.0)
    >>> (asked,) = transport.take_events()
    >>> asked.request.path, asked.request.query_values("serializable")
    ('/health', ('true',))
    >>> transport.respond(asked.token, Answer(200, "text/plain", b"fine"))
    >>> (output,) = transport.take_output()
    >>> output.octets.partition(b"\r\n")[0], output.octets[-4:], output.is_last
    (b'HTTP/1.1 200 OK', b'fine', False)

Streams
    A call whose client streams is served while its body comes: any number of JSON objects, one after
    the other. A call whose server streams is answered in lines, ``{"result":{…}}`` each, and if it
    fails after the first one, ``{"error":{…}}`` is the last. A list of any size leaves in pieces as it
    is read.

    A call whose server streams may be had by WebSocket as well, a message in each frame: after the
    upgrade `frames` takes the place of h11, and everything else stays as it is.

What a client may cost
    Head, body, bodies of all, answers that wait, time for each of them: `options` has the limits. A
    client that does not read holds up nobody else; one that asks on before it is answered has a little
    room for that. A request that is refused before its end is answered, and the connection then closed
    a moment later, because closing at once could destroy the answer on its way.

Files
    transport     all connections; the interface    binding        path → call
    connection    state of one connection           json_messages  JSON ↔ protobuf
    exchange      one request and its answer        json_stream    where an object ends
    reading       octets → requests, calls          errors         status → HTTP
    writing       answers                           access         hosts, origins
    web_socket    who may switch to WebSocket       frames         what is said then

Not implemented
    HTTP/2 that is not gRPC. Extensions and subprotocols of WebSocket. Compressed bodies, in either
    direction. Answers have no Date.
"""

from zetcd.gateway.http.binding import Binding
from zetcd.gateway.http.connection import HttpEvent
from zetcd.gateway.http.events import HttpRequest
from zetcd.gateway.http.exchange import HTTP_TOKENS, Answer, Request
from zetcd.gateway.http.options import HttpOptions, Surface
from zetcd.gateway.http.transport import HttpTransport

__all__ = [
    "HTTP_TOKENS",
    "Answer",
    "Binding",
    "HttpEvent",
    "HttpOptions",
    "HttpRequest",
    "HttpTransport",
    "Request",
    "Surface",
]

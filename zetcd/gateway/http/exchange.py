"""Responsible for one request and the answer to it: what was asked, and how far the answer is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from zetcd.gateway.http.binding import Binding
from zetcd.gateway.http.json_stream import JsonSplitter

#: Tokens of calls over HTTP/1.1 are larger than those of any call over gRPC.
HTTP_TOKENS: Final = 1 << 62
#: Pairs of a query string that are looked at.
_QUERY_PAIRS_MAX: Final = 100


class Request(NamedTuple):
    """A request's first line and headers."""

    method: str
    #: Without the query; percent-encoding undone.
    path: str
    query: tuple[tuple[str, str], ...]
    #: Names in lower case.
    headers: tuple[tuple[str, str], ...]
    #: The query as it came, without its question mark; empty: there is none.
    raw_query: str = ""

    def header(self, name: str) -> str:
        """Return the first header of a name; empty: none."""
        return next((value for key, value in self.headers if key == name), "")

    def query_values(self, name: str) -> tuple[str, ...]:
        """Return the values of a parameter of the query that are not empty."""
        return tuple(value for key, value in self.query if key == name and value)

    def has_query(self, name: str) -> bool:
        """Whether a parameter is there, with or without a value."""
        return any(key == name for key, _ in self.query)


def read_request(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> Request:
    """Return a request as the rest of the gateway sees it.

    Raises:
        ValueError: the target is no path.
    """
    text = target.decode("ascii")
    if not text.startswith("/") and text != "*":
        # A proxy's form; what counts is the path behind the host.
        scheme, found, rest = text.partition("://")
        if not found or scheme not in ("http", "https"):
            raise ValueError("the target is no path")
        text = f"/{rest.partition('/')[2]}"
    path, _, query = text.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_PAIRS_MAX)
    return Request(
        method.decode("ascii"),
        unquote(path),
        tuple(pairs),
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers),
        query,
    )


class Answer(NamedTuple):
    """An answer as a whole, or the head of one whose body follows."""

    status: int
    #: Empty: there is no body.
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Exchange:
    """A request that is being read, served or answered; the owner of a token."""

    token: int
    request: Request
    #: Sent with every answer.
    cors: tuple[tuple[str, str], ...]
    #: How it is answered without being served; None: it is served.
    refusal: Answer | None = None
    #: The call of the JSON gateway that it is; None: something else.
    binding: Binding | None = None
    #: What the figures of the method gave when the call began.
    began_at: float = 0.0
    #: Octets of the body so far, kept or not.
    body_bytes: int = 0
    #: Body of a request that is one message.
    body: bytearray = field(default_factory=bytearray)
    #: Body of a stream of messages.
    splitter: JsonSplitter | None = None
    #: Messages that nobody takes yet.
    held: deque[bytes] = field(default_factory=deque)
    held_bytes: int = 0
    is_held: bool = False
    #: The client has said everything.
    has_ended: bool = False
    #: The application was told of it and has not ended it.
    is_open: bool = False
    #: The head of the answer has been sent; what is wrong from here on cannot be said in it.
    has_begun: bool = False
    #: Octets that `send_part` still owes to the message that was begun.
    part_left: int = 0
    #: Name of the list that is being written in parts; empty: none.
    open_list: str = ""
    is_first_field: bool = True
    #: The application was told FULL and waits for `Writable`.
    wants_room: bool = False
    #: Point in time after which nobody waits for the end of the call; None: never.
    deadline: float | None = None
    #: The only message of a call came in a stream of messages, as WebSocket has it.
    is_asked: bool = False
    #: A WebSocket: messages go both ways in frames, once the request has ended.
    is_web_socket: bool = False
    #: Answer without body (HEAD).
    is_head: bool = False

    @property
    def kept_bytes(self) -> int:
        """Octets of the body that are kept, as all bodies together are counted."""
        return len(self.body) + (0 if self.splitter is None else self.splitter.kept_bytes)

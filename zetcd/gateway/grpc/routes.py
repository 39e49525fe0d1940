"""Responsible for knowing a request's headers again without reading them.

Two caches, both plain dictionaries that are emptied when full:
    by octets  per connection: block → head. A block may be kept only if decoding it left the dynamic
               table as it was, and everything kept is forgotten when a later block changes the table:
               equal octets then mean equal fields.
    by fields  per process: what the client said apart from its time-out → head. Clients with
               deadlines change the table with every call, so that only this one helps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from zetcd.errors import Code
from zetcd.gateway.grpc.codes import Status
from zetcd.gateway.grpc.head import (
    Head,
    Method,
    Refusal,
    header_list_bytes,
    parse_timeout,
    read_head,
    refuse,
)
from zetcd.gateway.grpc.hpack import Field, HeaderDecoder

Route = tuple[Head | Refusal, float | None]

_ROUTES_MAX: Final = 256
_HEADS_MAX: Final = 2048
#: Larger ones are served, and read anew each time.
_KEPT_BYTES_MAX: Final = 1024
_TIMEOUT: Final = b"grpc-timeout"


class HeadReader:
    """Heads by the fields they were made of; one for all connections."""

    __slots__ = ("_heads", "_list_bytes_max", "_methods")

    def __init__(self, methods: Mapping[bytes, Method], list_bytes_max: int) -> None:
        """Know the methods that are served; keep nothing yet."""
        self._methods = methods
        self._list_bytes_max = list_bytes_max
        self._heads: dict[tuple[Field, ...], Head | Refusal] = {}

    def read(self, fields: list[Field]) -> Route:
        """Return what a request's fields say."""
        timeout: float | None = None
        for position, (name, value) in enumerate(fields):
            if name == _TIMEOUT:
                timeout = parse_timeout(value)
                if timeout is None:
                    text = value.decode("latin-1")
                    status = Status(Code.INTERNAL, f'malformed grpc-timeout: "{text}"')
                    return refuse(status), None
                del fields[position]
                break
        key = tuple(fields)
        head = self._heads.get(key)
        if head is None:
            head = self._read(key)
        return head, timeout

    def _read(self, fields: tuple[Field, ...]) -> Head | Refusal:
        size = header_list_bytes(fields)
        if size > self._list_bytes_max:
            text = f"header list of {size} bytes is larger than max ({self._list_bytes_max})"
            return refuse(Status(Code.RESOURCE_EXHAUSTED, text))
        head = read_head(fields, self._methods)
        if size <= _KEPT_BYTES_MAX:
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            self._heads[fields] = head
        return head


class RouteReader:
    """The decoder of one connection with its cache of blocks."""

    __slots__ = ("_decoder", "_heads", "_routes")

    def __init__(self, heads: HeadReader) -> None:
        """Start with an empty dynamic table."""
        self._heads = heads
        self._decoder = HeaderDecoder()
        self._routes: dict[bytes, Route] = {}

    def read(self, block: bytes) -> Route:
        """Return what the block of a request says.

        Raises:
            ConnectionFault: COMPRESSION_ERROR.
        """
        return self._routes.get(block) or self._decode(block)

    def _decode(self, block: bytes) -> Route:
        route = self._heads.read(self._decode_fields(block))
        if not self._decoder.has_changed and len(block) <= _KEPT_BYTES_MAX:
            if len(self._routes) >= _ROUTES_MAX:
                self._routes.clear()
            self._routes[block] = route
        return route

    def read_trailers(self, block: bytes) -> list[Field]:
        """Return the fields of a block that is no request's.

        Raises:
            ConnectionFault: COMPRESSION_ERROR.
        """
        return self._decode_fields(block)

    def _decode_fields(self, block: bytes) -> list[Field]:
        fields = self._decoder.decode(block)
        if self._decoder.has_changed:
            self._routes.clear()
        return fields

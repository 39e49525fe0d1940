"""Responsible for what a request's headers say: which method, how long, in which encoding.

Checks are thorough because they are rare: heads are kept by the fields they were made of, and
blocks by their octets (see `routes`). A request that cannot be served yields a `Refusal`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from zetcd.errors import Code
from zetcd.gateway.grpc.answers import ACCEPTED_ENCODINGS, http_headers, trailers_of
from zetcd.gateway.grpc.codes import Status
from zetcd.gateway.grpc.figures import MethodFigures
from zetcd.gateway.grpc.hpack import ENTRY_OVERHEAD_BYTES, Field, pack_field


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One RPC that is served; compared by identity, so that it can be a key of the application."""

    #: As in ``:path``: ``/package.Service/Method``.
    path: str
    #: Whether the client sends any number of messages rather than one.
    client_streams: bool = False
    #: Whether the server does.
    server_streams: bool = False
    figures: MethodFigures = field(default_factory=MethodFigures)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The headers of a call; shared by all calls that have the same ones, time-out aside."""

    method: Method
    #: Names in lower case and values, in the order of the client; without HTTP/2's and gRPC's own.
    metadata: tuple[tuple[str, str], ...]
    authority: str
    #: Whether messages may be compressed with gzip.
    is_gzip: bool = False
    #: Octets of the request's body as announced; None: not announced.
    content_length: int | None = None

    def get(self, name: str) -> str | None:
        """Return the first value of a text entry; None: there is none."""
        return next((value for key, value in self.metadata if key == name), None)

    def get_binary(self, name: str) -> bytes | None:
        """Return the first value of a ``-bin`` entry, decoded; None: none, or not base64."""
        value = self.get(name)
        if value is None:
            return None
        first = value.partition(",")[0]
        try:
            return base64.b64decode(first + "=" * (-len(first) % 4), validate=True)
        except binascii.Error:
            return None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the transport answers by itself."""

    #: The answer's header block; None: the request is malformed, and its stream is reset.
    block: bytes | None
    #: For clients that do not speak gRPC.
    body: bytes = b""
    #: Not gRPC at all; answered in HTTP's form once the request has ended.
    is_foreign: bool = False
    #: Octets of the request's body as announced.
    content_length: int | None = None


MALFORMED: Final = Refusal(None)

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")
_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
#: Fields of HTTP/1.1 connections (RFC 9113 §8.2.2).
_OF_CONNECTIONS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
#: gRPC's own; everything else is metadata.
_OF_GRPC: Final = frozenset(
    {"content-type", "te", "content-length", "grpc-encoding", "grpc-accept-encoding"}
)
_ENCODINGS: Final = frozenset({b"", b"identity", b"gzip"})
_TIMEOUT: Final = re.compile(rb"(\d{1,8})([HMSmun])")
_TIMEOUT_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_LENGTH_DIGITS_MAX: Final = 15


def header_list_bytes(fields: Sequence[Field]) -> int:
    """Return the size of a header list as RFC 9113 §6.5.2 counts it."""
    return sum(len(name) + len(value) for name, value in fields) + (
        ENTRY_OVERHEAD_BYTES * len(fields)
    )


def parse_timeout(value: bytes) -> float | None:
    """Return the seconds of a ``grpc-timeout``; None: it is malformed."""
    match = _TIMEOUT.fullmatch(value)
    return int(match[1]) * _TIMEOUT_SECONDS[match[2]] if match else None


def has_valid_fields(fields: Sequence[Field], pseudo: frozenset[bytes] = _PSEUDO) -> bool:
    """Whether a header list obeys RFC 9113 §8.2 and §8.3: names, values, order, no repetition."""
    seen: list[bytes] = []
    is_past_pseudo = False
    for name, value in fields:
        if name.startswith(b":"):
            if is_past_pseudo or name not in pseudo or name in seen:
                return False
            seen.append(name)
        else:
            is_past_pseudo = True
            if not _NAME.fullmatch(name) or name in _OF_CONNECTIONS:
                return False
            if name == b"te" and value != b"trailers":
                return False
        if _BAD_VALUE.search(value):
            return False
    return True


def has_valid_trailers(fields: Sequence[Field]) -> bool:
    """Whether a client's trailers obey the RFC; what they say does not matter to gRPC."""
    return has_valid_fields(fields, frozenset())


def read_head(fields: Sequence[Field], methods: Mapping[bytes, Method]) -> Head | Refusal:
    """Return what the fields of a request, without ``grpc-timeout``, say."""
    if not has_valid_fields(fields):
        return MALFORMED
    by_name: dict[bytes, bytes] = {}
    for name, value in fields:
        if name == b"content-length" and by_name.get(name, value) != value:
            return MALFORMED
        by_name.setdefault(name, value)
    path = by_name.get(b":path", b"")
    if not path or b":method" not in by_name or not by_name.get(b":scheme"):
        return MALFORMED
    length = by_name.get(b"content-length")
    if length is not None and not (length.isdigit() and len(length) <= _LENGTH_DIGITS_MAX):
        return MALFORMED
    content_length = None if length is None else int(length)
    if not _is_grpc(by_name):
        return _refuse_foreign(by_name, content_length)
    encoding = by_name.get(b"grpc-encoding", b"")
    if encoding not in _ENCODINGS:
        return _refuse_encoding(encoding)
    method = methods.get(path)
    if method is None:
        return refuse(_unknown_method(path, methods))
    return Head(
        method,
        _metadata(fields),
        by_name.get(b":authority", by_name.get(b"host", b"")).decode("latin-1"),
        is_gzip=encoding == b"gzip",
        content_length=content_length,
    )


def _metadata(fields: Sequence[Field]) -> tuple[tuple[str, str], ...]:
    named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
    return tuple(each for each in named if each[0][0] != ":" and each[0] not in _OF_GRPC)


def refuse(status: Status, extra: bytes = b"") -> Refusal:
    """Return a refusal in gRPC's form: one block with headers and status."""
    return Refusal(http_headers(200, "application/grpc") + trailers_of(status) + extra)


def _is_grpc(by_name: Mapping[bytes, bytes]) -> bool:
    kind = by_name.get(b"content-type", b"")
    return by_name[b":method"] == b"POST" and (
        kind == b"application/grpc" or kind.startswith((b"application/grpc+", b"application/grpc;"))
    )


def _refuse_foreign(by_name: Mapping[bytes, bytes], content_length: int | None) -> Refusal:
    """Refuse what is valid HTTP/2, but no gRPC."""
    method = by_name[b":method"]
    if method == b"POST":
        block, text = http_headers(415, "text/plain"), b"this port speaks gRPC\n"
    else:
        block = http_headers(405, "text/plain") + pack_field(b"allow", b"POST")
        text = b"gRPC needs POST\n"
    body = b"" if method == b"HEAD" else text
    return Refusal(block, body, is_foreign=True, content_length=content_length)


def _refuse_encoding(encoding: bytes) -> Refusal:
    text = encoding.decode("latin-1")
    status = Status(
        Code.UNIMPLEMENTED, f'grpc: Decompressor is not installed for grpc-encoding "{text}"'
    )
    return refuse(status, pack_field(b"grpc-accept-encoding", ACCEPTED_ENCODINGS))


def _unknown_method(path: bytes, methods: Mapping[bytes, Method]) -> Status:
    text = path.decode("utf-8", "replace")
    service, slash, method = text.removeprefix("/").rpartition("/")
    if not slash or not text.startswith("/"):
        return Status(Code.UNIMPLEMENTED, f'malformed method name: "{text}"')
    if not any(known.startswith(f"/{service}/".encode()) for known in methods):
        return Status(Code.UNIMPLEMENTED, f"unknown service {service}")
    return Status(Code.UNIMPLEMENTED, f"unknown method {method} for service {service}")

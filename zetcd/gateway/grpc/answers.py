"""Responsible for the header blocks of answers: constants where possible, gRPC's percent encoding."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Final

from zetcd.errors import Code
from zetcd.gateway.grpc.codes import Status
from zetcd.gateway.grpc.frames import FRAME_PAYLOAD_BYTES_MAX
from zetcd.gateway.grpc.hpack import pack_field, pack_status

#: Start of every answer that has a message.
ANSWER_HEADERS: Final = pack_status(200) + pack_field(b"content-type", b"application/grpc")
#: End of every call that went well.
OK_TRAILERS: Final = pack_field(b"grpc-status", b"0")
#: What the server can decompress.
ACCEPTED_ENCODINGS: Final = b"identity,gzip"
#: Octets of a status text; three times as many when percent-encoded, and still one frame.
_MESSAGE_BYTES_MAX: Final = 4096

_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {ord("%")}


def percent_encode(message: str) -> bytes:
    """Return a text as ``grpc-message`` carries it: printable ASCII, the rest as ``%XX``."""
    octets = message.encode("utf-8", "replace")[:_MESSAGE_BYTES_MAX]
    # A character that was cut in two would not decode.
    octets = octets.decode("utf-8", "ignore").encode()
    return b"".join(bytes((octet,)) if octet in _PLAIN else b"%%%02X" % octet for octet in octets)


def trailers_of(status: Status) -> bytes:
    """Return the block that ends a call with ``status``."""
    if status.details:
        return _trailers(status)
    return OK_TRAILERS if status.code is Code.OK else _cached_trailers(status)


def _trailers(status: Status) -> bytes:
    block = pack_field(b"grpc-status", b"%d" % status.code)
    if status.message:
        block += pack_field(b"grpc-message", percent_encode(status.message))
    if status.details:
        details = base64.b64encode(status.details).rstrip(b"=")
        detailed = block + pack_field(b"grpc-status-details-bin", details)
        # Details that would need a second frame are less than the status itself.
        block = detailed if len(detailed) <= FRAME_PAYLOAD_BYTES_MAX // 2 else block
    return block


#: Texts of errors repeat; few of them hold something of their request.
_cached_trailers: Final = lru_cache(maxsize=256)(_trailers)


def http_headers(status: int, content_type: str) -> bytes:
    """Return the block of an answer to what is no gRPC request."""
    return pack_status(status) + pack_field(b"content-type", content_type.encode())

"""Responsible for HTTP/2's error codes, and the ways in which a connection or a stream can be at fault."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from zetcd.errors import Code


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113 §7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFault(Exception):
    """The peer broke the protocol so that the connection must end: GOAWAY, then close."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        """Keep what the GOAWAY says."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StreamFault(Exception):
    """The peer broke the protocol on one stream: RST_STREAM, the connection stays."""

    def __init__(self, stream_id: int, code: ErrorCode) -> None:
        """Keep what the RST_STREAM says."""
        super().__init__(f"stream {stream_id}: {code.name}")
        self.stream_id = stream_id
        self.code = code


class Status(NamedTuple):
    """How a call ended."""

    code: Code
    #: Text for people and for clients that know errors by their text.
    message: str = ""
    #: Serialized ``google.rpc.Status`` for ``grpc-status-details-bin``; empty: none.
    details: bytes = b""


OK: Final = Status(Code.OK)

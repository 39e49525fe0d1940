"""Responsible for the frames of WebSocket (RFC 6455) in both directions, as a calculation.

Payloads are handed on in the pieces they come in, so that nothing is kept here but a header cut in two
and control frames, which are small. What the pieces mean, and whether they are too many, is for whoever
reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

CONTINUATION: Final = 0x0
TEXT_FRAME: Final = 0x1
BINARY_FRAME: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_CONTROLS: Final = frozenset({CLOSE, PING, PONG})
_OPCODES: Final = _CONTROLS | {CONTINUATION, TEXT_FRAME, BINARY_FRAME}

#: Codes of CLOSE.
NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002

_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_CONTROL_BYTES_MAX: Final = 125
_SHORT: Final = struct.Struct(">H")
_LONG: Final = struct.Struct(">Q")


class WebSocketFault(Exception):
    """A peer broke the protocol; the text says how."""


class Piece(NamedTuple):
    """Octets of a message; where it ends is for JSON to say."""

    octets: bytes


class Control(NamedTuple):
    """A control frame."""

    opcode: int
    payload: bytes


# --- out -------------------------------------------------------------------------------------------


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a whole message, or a control frame, of a server."""
    size = len(payload)
    first = bytes((_FINAL | opcode,))
    if size <= _CONTROL_BYTES_MAX:
        return first + bytes((size,)) + payload
    if size < 1 << 16:
        return first + b"\x7e" + _SHORT.pack(size) + payload
    return first + b"\x7f" + _LONG.pack(size) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a CLOSE frame."""
    text = reason.encode()[: _CONTROL_BYTES_MAX - 2].decode("utf-8", "ignore")
    return frame(CLOSE, _SHORT.pack(code) + text.encode())


# --- in --------------------------------------------------------------------------------------------


class FrameReader:
    """Reads the frames of a client, cut anywhere.

    Invariant: `_buffer` holds less than a header, or a control frame whose end is missing.
    """

    __slots__ = ("_buffer", "_is_in_message", "_left", "_mask", "_offset")

    def __init__(self) -> None:
        """Expect a frame."""
        self._buffer = b""
        #: Octets that the payload of a data frame still has.
        self._left = 0
        self._mask = b""
        #: Octets of that payload so far, modulo the mask.
        self._offset = 0
        #: A message has begun whose last frame has not come.
        self._is_in_message = False

    def feed(self, octets: bytes) -> Iterator[Piece | Control]:
        """Yield what ``octets`` bring.

        Raises:
            WebSocketFault: what comes is no frame of a client.
        """
        octets, self._buffer = self._buffer + octets, b""
        position = 0
        while position < len(octets):
            if self._left:
                payload = octets[position : position + self._left]
                position += len(payload)
                yield Piece(unmask(payload, self._mask, self._offset))
                self._left -= len(payload)
                self._offset = (self._offset + len(payload)) % 4
                continue
            header = _read_header(octets, position)
            if header is None:
                break
            if header.opcode in _CONTROLS:
                end = header.end + header.length
                if end > len(octets):
                    break
                yield Control(header.opcode, unmask(octets[header.end : end], header.mask, 0))
                position = end
            else:
                position = header.end
                self._begin(header)
        self._buffer = octets[position:]

    def _begin(self, header: _Header) -> None:
        """Note a frame of a message; its payload follows."""
        if (header.opcode == CONTINUATION) != self._is_in_message:
            raise WebSocketFault("a message within a message, or a continuation of nothing")
        self._is_in_message = not header.is_final
        self._mask = header.mask
        self._left, self._offset = header.length, 0


class _Header(NamedTuple):
    opcode: int
    is_final: bool
    length: int
    mask: bytes
    #: Where the payload begins.
    end: int


def _read_header(octets: bytes, start: int) -> _Header | None:
    """Return the header at ``start``; None: its end is missing."""
    if len(octets) < start + 2:
        return None
    first, second = octets[start], octets[start + 1]
    opcode, is_final, length = first & 0xF, bool(first & _FINAL), second & ~_MASKED
    if first & _RESERVED or opcode not in _OPCODES:
        raise WebSocketFault("a frame of an extension that was not agreed on")
    if not second & _MASKED:
        raise WebSocketFault("a frame that is not masked")
    if opcode in _CONTROLS and (not is_final or length > _CONTROL_BYTES_MAX):
        raise WebSocketFault("a control frame in pieces, or too large")
    extended = {126: _SHORT, 127: _LONG}.get(length)
    at = start + 2
    end = at + (extended.size if extended else 0) + 4
    if len(octets) < end:
        return None
    if extended is not None:
        (length,) = extended.unpack_from(octets, at)
        if length >> 63:
            raise WebSocketFault("a frame of an impossible length")
    return _Header(opcode, is_final, length, octets[end - 4 : end], end)


def unmask(payload: bytes, mask: bytes, offset: int) -> bytes:
    """Return what a client has said; ``offset`` octets of it came before."""
    size = len(payload)
    keys = (mask[offset:] + mask[:offset]) * (size // 4 + 1)
    both = int.from_bytes(payload, "big") ^ int.from_bytes(keys[:size], "big")
    return both.to_bytes(size, "big")

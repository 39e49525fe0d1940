"""Responsible for the outline of HTTP/2 frames: types, flags, settings, and how frames are packed.

Reading is inlined in `receiving`, which sees every frame there is; RFC 9113 §4 and §6.
"""

from __future__ import annotations

import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: Length and type in one number, flags, stream: the nine octets before every payload.
FRAME_HEADER: Final = struct.Struct(">IBI")
FRAME_HEADER_BYTES: Final = 9
#: Largest payload without an agreement on more, and the largest one we take or send.
FRAME_PAYLOAD_BYTES_MAX: Final = 16_384

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

SETTINGS_ENABLE_PUSH: Final = 2
SETTINGS_MAX_CONCURRENT_STREAMS: Final = 3
SETTINGS_INITIAL_WINDOW_SIZE: Final = 4
SETTINGS_MAX_FRAME_SIZE: Final = 5
SETTINGS_MAX_HEADER_LIST_SIZE: Final = 6

#: Streams and increments have 31 bits; the bit before them is reserved and ignored.
LOW_31_BITS: Final = 0x7FFF_FFFF
#: Window of streams and connections before anybody says otherwise.
WINDOW_BYTES_DEFAULT: Final = 65_535
WINDOW_BYTES_MAX: Final = 0x7FFF_FFFF

_NUMBER: Final = struct.Struct(">I")
_SETTING: Final = struct.Struct(">HI")
_RST: Final = struct.Struct(">IBII")
_TWO_NUMBERS: Final = struct.Struct(">II")

SETTINGS_ACK: Final = FRAME_HEADER.pack(SETTINGS, ACK, 0)


def pack_frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Return one frame."""
    return FRAME_HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def pack_settings(settings: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    payload = b"".join(_SETTING.pack(key, value) for key, value in settings.items())
    return pack_frame(SETTINGS, 0, 0, payload)


def unpack_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return the settings of a payload whose length is a multiple of six."""
    return list(_SETTING.iter_unpack(payload))


def pack_window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return _RST.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id, increment)


def pack_rst_stream(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return _RST.pack(4 << 8 | RST_STREAM, 0, stream_id, code)


def pack_ping(opaque: bytes, *, is_ack: bool) -> bytes:
    """Return a PING frame with its eight opaque octets."""
    return pack_frame(PING, ACK if is_ack else 0, 0, opaque)


def pack_goaway(last_stream_id: int, code: int, reason: str) -> bytes:
    """Return a GOAWAY frame."""
    payload = _TWO_NUMBERS.pack(last_stream_id, code) + reason.encode()
    return pack_frame(GOAWAY, 0, 0, payload)


def unpack_number(payload: bytes) -> int:
    """Return the 32-bit number at the start of a payload."""
    (number,) = _NUMBER.unpack_from(payload)
    assert isinstance(number, int)
    return number

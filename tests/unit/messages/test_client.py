"""Frames of the native client protocol: the fixed header."""

from __future__ import annotations

import pytest

from zetcd.messages.client import (
    HEADER_BYTES,
    FrameHeader,
    FrameType,
    pack_frame,
    unpack_header,
)


def test_a_frame_has_the_documented_bytes() -> None:
    frame = pack_frame(FrameType.REQ, 0x0102030405060708, b"\xaa", deadline_ms=0x11121314)
    assert frame.hex(" ") == "5a 01 03 00 01 02 03 04 05 06 07 08 11 12 13 14 aa"
    assert HEADER_BYTES == 16


@pytest.mark.parametrize("frame_type", list(FrameType))
@pytest.mark.parametrize("request_id", [0, 1, 2**64 - 1])
def test_a_header_comes_back_as_it_was_packed(frame_type: FrameType, request_id: int) -> None:
    frame = pack_frame(frame_type, request_id, b"body", deadline_ms=2**32 - 1)
    header = FrameHeader(frame_type, 0, request_id, 2**32 - 1)
    assert unpack_header(frame) == unpack_header(memoryview(frame)) == header
    assert frame[HEADER_BYTES:] == b"body"


def test_an_unknown_type_is_left_to_the_receiver() -> None:
    assert unpack_header(pack_frame(200, 1)).type == 200


def test_the_longest_fragment_without_a_header_is_refused() -> None:
    frame = pack_frame(FrameType.PING, 1)
    assert unpack_header(frame).type is not None
    for size in range(HEADER_BYTES):
        with pytest.raises(ValueError, match=f"frame has {size} bytes"):
            unpack_header(frame[:size])


def test_another_protocol_and_another_version_are_told_apart() -> None:
    frame = bytearray(pack_frame(FrameType.PING, 1))
    frame[0] = 0x47
    with pytest.raises(ValueError, match="starts with 0x47, expected 0x5a"):
        unpack_header(bytes(frame))
    frame[:2] = b"\x5a\x02"
    with pytest.raises(ValueError, match="version 2 is not supported, this server speaks 1"):
        unpack_header(bytes(frame))


def test_frame_types_are_never_renumbered() -> None:
    assert [each.value for each in FrameType] == list(range(1, 14))
    assert [each.name for each in FrameType] == [
        "HELLO", "WELCOME", "REQ", "RES", "PARTIAL", "ERR", "CANCEL",
        "WATCH", "CREDIT", "PING", "PONG", "GOAWAY", "REDIRECT",
    ]  # fmt: skip

"""Frames of WebSocket, with the examples of RFC 6455."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateway.http.browser import masked
from zetcd.gateway.http.frames import (
    BINARY_FRAME,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT_FRAME,
    Control,
    FrameReader,
    Piece,
    WebSocketFault,
    close_frame,
    frame,
    unmask,
)

HELLO = bytes.fromhex("818537fa213d7f9f4d5158")


def read(octets: bytes, *, step: int = 1 << 30) -> tuple[bytes, list[Control]]:
    """Return the octets of messages, and the control frames."""
    reader, content, controls = FrameReader(), b"", []
    for at in range(0, len(octets), step):
        for each in reader.feed(octets[at : at + step]):
            if isinstance(each, Piece):
                content += each.octets
            else:
                controls.append(each)
    return content, controls


def test_the_examples_of_the_protocol() -> None:
    assert read(HELLO) == (b"Hello", [])
    assert frame(TEXT_FRAME, b"Hello") == bytes.fromhex("810548656c6c6f")
    ping = bytes.fromhex("898537fa213d7f9f4d5158")
    assert read(ping) == (b"", [Control(PING, b"Hello")])
    assert frame(BINARY_FRAME, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(BINARY_FRAME, bytes(65_536))[:10] == bytes.fromhex("827f0000000000010000")
    assert close_frame(1002, "x" * 200)[:4] == bytes.fromhex("887d03ea")


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 64])
def test_frames_may_be_cut_anywhere(step: int) -> None:
    said = (
        masked(TEXT_FRAME, b"ab", is_final=False)
        + masked(PING, b"p")
        + masked(CONTINUATION, b"", is_final=False)
        + masked(CONTINUATION, b"c" * 200)
        + masked(BINARY_FRAME, b"d" * 70_000)
        + masked(CLOSE, b"\x03\xe8")
    )
    content, controls = read(said, step=step)
    assert content == b"ab" + b"c" * 200 + b"d" * 70_000
    assert controls == [Control(PING, b"p"), Control(CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize(
    "octets",
    [
        bytes.fromhex("810548656c6c6f"),
        masked(CONTINUATION, b"x"),
        masked(TEXT_FRAME, b"x", is_final=False) + masked(TEXT_FRAME, b"y"),
        masked(PING, b"x", is_final=False),
        masked(PING, b"x" * 126),
        masked(0x3, b"x"),
        bytes((0xC1, 0x80)) + bytes(4),
        bytes((0x81, 0xFF)) + b"\xff" * 8 + bytes(4),
    ],
    ids=[
        *("not masked", "continuation of nothing", "message within a message"),
        *("ping in pieces", "ping too large", "unknown", "reserved bit", "length"),
    ],
)
def test_what_is_no_frame(octets: bytes) -> None:
    with pytest.raises(WebSocketFault):
        read(octets)


@given(st.binary(max_size=40), st.binary(min_size=4, max_size=4), st.integers(0, 3))
def test_unmasking(payload: bytes, mask: bytes, offset: int) -> None:
    expected = bytes(each ^ mask[(offset + at) % 4] for at, each in enumerate(payload))
    assert unmask(payload, mask, offset) == expected


@given(st.binary(max_size=64))
def test_nothing_but_faults_comes_of_anything(octets: bytes) -> None:
    with contextlib.suppress(WebSocketFault):
        read(octets)

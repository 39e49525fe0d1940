"""A client of the transport made of frames: it says what a test tells it to, and reads everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import hpack

from zetcd.gateway.grpc import Event, Method, Transport, TransportOptions
from zetcd.gateway.grpc.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    pack_frame,
    pack_settings,
    pack_window_update,
)
from zetcd.gateway.grpc.hpack import pack_field

UNARY: Final = Method("/t.T/Unary")
SERVER_STREAM: Final = Method("/t.T/ServerStream", server_streams=True)
CLIENT_STREAM: Final = Method("/t.T/ClientStream", client_streams=True)
BIDI: Final = Method("/t.T/Bidi", client_streams=True, server_streams=True)

#: Content-type, method and scheme as every test needs them.
_COMMON: Final = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"a"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
)


def methods() -> tuple[Method, ...]:
    """Return the methods above with figures of their own."""
    return tuple(
        Method(m.path, client_streams=m.client_streams, server_streams=m.server_streams)
        for m in (UNARY, SERVER_STREAM, CLIENT_STREAM, BIDI)
    )


def message(content: bytes, flag: int = 0) -> bytes:
    """Return a length-prefixed message."""
    return bytes((flag,)) + len(content).to_bytes(4, "big") + content


def header_block(path: str = UNARY.path, *more: tuple[bytes, bytes]) -> bytes:
    """Return the block of a call, all literals."""
    fields = [*_COMMON[:2], (b":path", path.encode()), *_COMMON[2:], *more]
    return b"".join(pack_field(name, value) for name, value in fields)


def headers(stream_id: int, block: bytes, flags: int = END_HEADERS) -> bytes:
    """Return a HEADERS frame."""
    return pack_frame(HEADERS, flags, stream_id, block)


def data(stream_id: int, payload: bytes, *, is_last: bool = False) -> bytes:
    """Return DATA frames of at most 16 KiB."""
    pieces = [payload[at : at + 16_384] for at in range(0, len(payload), 16_384)] or [b""]
    return b"".join(
        pack_frame(DATA, END_STREAM if is_last and piece is pieces[-1] else 0, stream_id, piece)
        for piece in pieces
    )


def call(stream_id: int, content: bytes = b"", path: str = UNARY.path) -> bytes:
    """Return the frames of a whole call with one message."""
    return headers(stream_id, header_block(path)) + data(stream_id, message(content), is_last=True)


@dataclass(frozen=True)
class Frame:
    """A frame of the server."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes = field(repr=False)


def parse(octets: bytes) -> list[Frame]:
    """Return the frames of ``octets``, which must be whole."""
    frames, position = [], 0
    while position < len(octets):
        first, flags, stream_id = FRAME_HEADER.unpack_from(octets, position)
        start = position + 9
        position = start + (first >> 8)
        assert position <= len(octets), "a frame cut short"
        frames.append(Frame(first & 0xFF, flags, stream_id, octets[start:position]))
    return frames


class Peer:
    """One connection to a transport, with everything the server ever said."""

    def __init__(
        self,
        options: TransportOptions | None = None,
        *,
        settings: dict[int, int] | None = None,
        transport: Transport | None = None,
        is_started: bool = True,
    ) -> None:
        self.now = 100.0
        self.transport = transport or Transport(methods(), options)
        number = self.transport.connect(self.now)
        assert number is not None
        self.number = number
        self.frames: list[Frame] = []
        self.is_closed = False
        self._decoder = hpack.Decoder()
        if is_started:
            self.send(PREFACE, pack_settings(settings or {}))
            started = self.take()
            assert [frame.kind for frame in started] == [SETTINGS, WINDOW_UPDATE, SETTINGS]
            self.send(pack_frame(SETTINGS, ACK, 0, b""))

    def send(self, *octets: bytes) -> None:
        """Say something."""
        assert self.transport.receive(self.number, b"".join(octets), self.now) is None

    def events(self) -> list[Event]:
        """Return what the application hears."""
        return self.transport.take_events()

    def take(self) -> list[Frame]:
        """Return what the server says now, until it has nothing more to say."""
        octets = b""
        while self.transport.has_output:
            outputs = self.transport.take_output()
            if not outputs:
                break
            for output in outputs:
                if output.number == self.number:
                    octets += output.octets
                    self.is_closed |= output.is_last
        frames = parse(octets)
        self.frames += frames
        return frames

    def fields(self, frame: Frame) -> dict[str, str]:
        """Return the fields of a HEADERS frame."""
        assert frame.kind == HEADERS
        return {
            str(name): str(value) for name, value in self._decoder.decode(frame.payload, raw=False)
        }

    def goaway(self) -> tuple[int, int, str] | None:
        """Return the last stream, code and text of the server's GOAWAY, if there is one."""
        for frame in reversed(self.take() + self.frames):
            if frame.kind == GOAWAY:
                numbers = frame.payload[:4], frame.payload[4:8]
                last, code = (int.from_bytes(number, "big") for number in numbers)
                return last, code, frame.payload[8:].decode()
        return None

    def resets(self) -> dict[int, int]:
        """Return the codes with which the server reset streams so far."""
        self.take()
        return {
            frame.stream_id: int.from_bytes(frame.payload, "big")
            for frame in self.frames
            if frame.kind == RST_STREAM
        }

    def status(self, stream_id: int) -> tuple[int, str]:
        """Return the status and text with which a call ended."""
        self.take()
        ends = [
            self.fields(frame)
            for frame in self.frames
            if frame.stream_id == stream_id and frame.kind == HEADERS and frame.flags & END_STREAM
        ]
        assert len(ends) == 1, f"{len(ends)} ends of stream {stream_id}"
        return int(ends[0]["grpc-status"]), ends[0].get("grpc-message", "")

    def body(self, stream_id: int) -> bytes:
        """Return the DATA of a stream so far."""
        self.take()
        return b"".join(
            frame.payload
            for frame in self.frames
            if frame.kind == DATA and frame.stream_id == stream_id
        )

    def open_window(self, stream_id: int, increment: int) -> None:
        """Let the server send more."""
        self.send(pack_window_update(stream_id, increment))

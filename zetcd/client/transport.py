"""Responsible for the one socket of a client: a DEALER to one endpoint, and the news of its end.

Invariants
    - ZeroMQ never reconnects by itself: a new connection is a new session, which only the core begins.
    - Nothing here waits.
"""

from __future__ import annotations

import struct
from typing import Final

import zmq

#: Frames read in one turn, so that timers and the application get their turn too.
RECEIVE_FRAMES_MAX: Final = 2_000
#: Frames that wait unread in the process; past it, TCP pushes back on the server.
_RECEIVE_QUEUE_FRAMES: Final = 10_000
#: Time a farewell has to leave the process.
_LINGER_MS: Final = 50

_NOBLOCK: Final = int(zmq.NOBLOCK)
_LOST_EVENTS: Final = {
    int(zmq.EVENT_DISCONNECTED): "the connection was lost",
    int(zmq.EVENT_CLOSED): "the connection was refused",
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): "the handshake failed",
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): "it does not speak ZeroMQ",
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): "it refused our identity",
}
_MONITORED: Final = sum(_LOST_EVENTS)
_EVENT: Final = struct.Struct("=Hi")


class Transport:
    """The sockets of at most one connection."""

    def __init__(self) -> None:
        """Start without a socket."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        #: Number of the connection the socket is for; 0 = there is no socket.
        self.number = 0
        self._failure = ""

    def open(self, number: int, endpoint: str) -> None:
        """Begin to connect to ``endpoint``, instead of what was connected before."""
        self.shut()
        socket = self._context.socket(zmq.DEALER)
        # A frame that cannot be sent now would have to be kept elsewhere: the server's limit of
        # requests in flight bounds what lies here.
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, _RECEIVE_QUEUE_FRAMES)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.IPV6, 1)
        address = f"inproc://monitor-{number}"
        socket.monitor(address, _MONITORED)
        monitor = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        monitor.connect(address)
        self._socket, self._monitor, self.number = socket, monitor, number
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            # Told like every other failure: when the adapter looks for the end of the connection.
            self._failure = f"cannot connect: {error.strerror}"

    @property
    def sockets(self) -> tuple[zmq.Socket[bytes], ...]:
        """What to poll for input: frames first, then news of the connection."""
        if self._socket is None or self._monitor is None:
            return ()
        return (self._socket, self._monitor)

    def send(self, frames: list[bytes]) -> None:
        """Send frames, in order; into a connection that has just ended, they are lost with it."""
        if self._socket is None:
            return
        send = self._socket.send
        try:
            for frame in frames:
                send(frame, _NOBLOCK)
        except zmq.Again:
            # Without a limit a queue is never full: there is no connection any more, and `loss` is
            # about to say so.
            return

    def receive(self) -> list[bytes]:
        """Return what has arrived, at most `RECEIVE_FRAMES_MAX` frames."""
        frames: list[bytes] = []
        if self._socket is None:
            return frames
        receive = self._socket.recv
        try:
            while len(frames) < RECEIVE_FRAMES_MAX:
                frames.append(receive(_NOBLOCK))
        except zmq.Again:
            pass
        return frames

    def loss(self) -> str:
        """Return why the connection has ended, "" if it has not."""
        if self._failure:
            failure, self._failure = self._failure, ""
            return failure
        if self._monitor is None:
            return ""
        try:
            event = self._monitor.recv_multipart(_NOBLOCK)[0]
        except zmq.Again:
            return ""
        return _LOST_EVENTS.get(_EVENT.unpack_from(event)[0], "the connection ended")

    def shut(self, linger_ms: int = 0) -> None:
        """Close the sockets, if there are any."""
        if self._socket is not None and self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close(linger_ms)
            self._socket = self._monitor = None
            self.number = 0

    def close(self) -> None:
        """End everything; gives a farewell a moment to leave."""
        self.shut(_LINGER_MS)
        self._context.term()

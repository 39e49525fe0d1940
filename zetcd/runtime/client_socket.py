"""Responsible for the socket of clients of the native protocol; knows frames, not their meaning.

One ROUTER socket, bound to the gateway's own URLs. The server assigns the routing ids (a client
that could choose its own could take over another one's answers).

Invariants
    - Nothing here waits: every send and receive is non-blocking.
    - Nothing is dropped silently: without ROUTER_MANDATORY a full pipe loses answers and leaves
      gaps; with it, and without a timeout, a send could block for ever. So: mandatory *and*
      non-blocking, and every send says what became of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

import zmq

from zetcd.runtime.mailbox import has_input

#: Answers one client may leave unread in its pipe; past it the gateway keeps (a few of) them
#: itself.
_SEND_FRAMES_MAX: Final = 1_024
#: Requests of one client that wait unread in its pipe; TCP then pushes back on that client alone.
_RECEIVE_FRAMES_MAX: Final = 1_024
#: Connections the kernel keeps until they are accepted: a reconnect storm of a few thousand
#: clients.
_BACKLOG_CONNECTIONS: Final = 4_096
#: ZMTP heartbeats free the connection of a client whose host vanished; sessions end by PING (the
#: protocol's own).
_HEARTBEAT_MS: Final = 5_000
_HEARTBEAT_TIMEOUT_MS: Final = 15_000
_KEEPALIVE_IDLE_SECONDS: Final = 30
_KEEPALIVE_INTERVAL_SECONDS: Final = 10
_KEEPALIVE_PROBES: Final = 3

# pyzmq's enums cost a conversion on every call; these are the plain integers.
_NOBLOCK: Final = int(zmq.NOBLOCK)
_NOBLOCK_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


class SendResult(IntEnum):
    """What became of a frame."""

    SENT = 0
    #: The client does not read: its pipe is full. Nothing of the frame was sent.
    FULL = 1
    #: There is no such client any more.
    GONE = 2


class ClientFrame(NamedTuple):
    """One message of a client."""

    #: Names the connection; never reused while the process lives.
    routing_id: bytes
    #: None: the message did not consist of exactly one frame.
    frame: bytes | None


class ClientSocket(Protocol):
    """What a gateway needs to talk to its clients."""

    def receive(self, limit: int) -> list[ClientFrame]:
        """Return at most ``limit`` messages without waiting."""
        ...

    def send(self, routing_id: bytes, frame: bytes) -> SendResult:
        """Send one frame without waiting."""
        ...

    def close(self, linger_ms: int = 0) -> None:
        """Close the socket, giving what was sent last at most ``linger_ms`` to leave."""
        ...


class ZmqClientSocket:
    """A ROUTER socket bound to one or more ``tcp://`` or ``ipc://`` URLs."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        urls: Sequence[str],
        *,
        frame_bytes_max: int,
        handshake_seconds: float = 5.0,
    ) -> None:
        """Bind ``urls``.

        Args:
            context: the process's ZeroMQ context.
            urls: for example ``tcp://127.0.0.1:2382``; port 0 lets the system choose.
            frame_bytes_max: a client that sends a larger frame is disconnected before it is
            received.
            handshake_seconds: a peer that has not finished the ZMTP handshake by then is
                disconnected (a slow loris).

        Raises:
            zmq.ZMQError: a URL is in use or malformed; its ``errno`` says which.
        """
        socket = context.socket(zmq.ROUTER)
        self._socket = socket
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.SNDHWM, _SEND_FRAMES_MAX)
        socket.setsockopt(zmq.RCVHWM, _RECEIVE_FRAMES_MAX)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, frame_bytes_max)
        socket.setsockopt(zmq.HANDSHAKE_IVL, int(handshake_seconds * 1000))
        socket.setsockopt(zmq.BACKLOG, _BACKLOG_CONNECTIONS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, _KEEPALIVE_IDLE_SECONDS)
        socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, _KEEPALIVE_INTERVAL_SECONDS)
        socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, _KEEPALIVE_PROBES)
        # An IPv6 socket also serves IPv4 addresses.
        socket.setsockopt(zmq.IPV6, 1)
        #: Where the socket is reached, with the ports the system chose.
        self.endpoints: list[str] = []
        try:
            for url in urls:
                socket.bind(url)
                self.endpoints.append(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        except zmq.ZMQError:
            socket.close(0)
            raise

    @property
    def inbox(self) -> zmq.Socket[bytes]:
        """The socket to poll for input."""
        return self._socket

    def receive(self, limit: int) -> list[ClientFrame]:
        """Return at most ``limit`` messages without waiting."""
        received: list[ClientFrame] = []
        receive = self._socket.recv
        while len(received) < limit and has_input(self._socket):
            routing_id = receive(_NOBLOCK)
            # Asking a Frame for `more` costs a third of asking the socket for RCVMORE
            # (bench/micro/gateway_put.py). A ROUTER hands out whole messages: no part is missing.
            part = receive(_NOBLOCK, False)
            if part.more:
                self._discard_rest()
                received.append(ClientFrame(routing_id, None))
            else:
                received.append(ClientFrame(routing_id, part.bytes))
        return received

    def _discard_rest(self) -> None:
        """Read the remaining frames of a message that has too many."""
        while self._socket.getsockopt(zmq.RCVMORE):
            self._socket.recv(_NOBLOCK)

    def send(self, routing_id: bytes, frame: bytes) -> SendResult:
        """Send one frame without waiting."""
        send = self._socket.send
        try:
            send(routing_id, _NOBLOCK_MORE)
            send(frame, _NOBLOCK)
        except zmq.Again:
            return SendResult.FULL
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return SendResult.GONE
            raise
        return SendResult.SENT

    def close(self, linger_ms: int = 0) -> None:
        """Close the socket, giving what was sent last at most ``linger_ms`` to leave."""
        self._socket.close(linger_ms)

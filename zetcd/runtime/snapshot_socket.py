"""Responsible for the connection on which checkpoints travel between members, apart from raft's own.

A frame is one encoded message of `zetcd.messages.snapshot`, nothing around it. Malformed frames are dropped:
whoever sent them asks again, or gives up. Nothing here ever waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import structlog
import zmq

from zetcd.messages.codec import DECODE_ERRORS, UnionDecoder, decoder_of, encode
from zetcd.messages.snapshot import SnapshotChunk, SnapshotRefused, SnapshotRequest
from zetcd.runtime.mailbox import has_input
from zetcd.runtime.peer_routes import DIRECT, Channel, PeerRoutes, bind_endpoint

#: A request is a few numbers.
_REQUEST_BYTES_MAX: Final = 1024
#: What a chunk has beside its bytes.
_CHUNK_OVERHEAD_BYTES: Final = 1024
#: Frames that may wait in each direction; the receivers' windows are smaller.
_FRAMES_MAX: Final = 256


Answer = SnapshotChunk | SnapshotRefused

_decode_request: Final = decoder_of(SnapshotRequest).decode
_ANSWERS: Final = UnionDecoder(Answer)


class Asked(NamedTuple):
    """A request and who sent it."""

    #: Routing id of the connection.
    receiver: bytes
    request: SnapshotRequest


class SnapshotListener(Protocol):
    """The sender's end."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it listens, with the ports that the system chose."""
        ...

    def receive(self, limit: int) -> list[Asked]:
        """Return at most ``limit`` requests without waiting."""
        ...

    def send(self, receiver: bytes, answer: Answer) -> bool:
        """Send without waiting; False: the receiver is gone or does not read."""
        ...

    def close(self) -> None:
        """Close the socket."""
        ...


class SnapshotFetcher(Protocol):
    """The receiver's end: one connection at a time."""

    def connect(self, url: str) -> None:
        """Drop the connection there was, and what was on its way on it, and make a new one."""
        ...

    def send(self, request: SnapshotRequest) -> bool:
        """Send without waiting; False: too much waits already, or there is no connection."""
        ...

    def receive(self, limit: int) -> list[Answer]:
        """Return at most ``limit`` answers without waiting."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


class ZmqSnapshotListener:
    """A ROUTER socket; it chooses the routing ids, so no receiver can take another one's answers."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], listen_urls: Sequence[str]) -> None:
        """Bind ``listen_urls``; port 0 lets the system choose.

        Raises:
            PortInUse: another process listens on one of them.
            zmq.ZMQError: this machine cannot listen there at all.
        """
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _REQUEST_BYTES_MAX)
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, 5_000)
        self._socket.set_hwm(_FRAMES_MAX)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._urls: list[str] = []
        for url in listen_urls:
            bind_endpoint(self._socket, url, f"listen-snapshot-urls {url}")
            self._urls.append(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))

    @property
    def inbox(self) -> zmq.Socket[bytes]:
        """The socket to poll for input."""
        return self._socket

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it listens, with the ports that the system chose."""
        return tuple(self._urls)

    def receive(self, limit: int) -> list[Asked]:
        """Return at most ``limit`` requests without waiting."""
        asked: list[Asked] = []
        for _ in range(limit):
            if not has_input(self._socket):
                break
            parts = self._socket.recv_multipart(zmq.NOBLOCK)
            if len(parts) != 2:
                continue
            try:
                asked.append(Asked(parts[0], _decode_request(parts[1])))
            except DECODE_ERRORS:
                continue
        return asked

    def send(self, receiver: bytes, answer: Answer) -> bool:
        """Send without waiting; False: the receiver is gone or does not read."""
        try:
            self._socket.send_multipart((receiver, encode(answer)), zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(0)


class ZmqSnapshotFetcher:
    """A DEALER socket whose connection is made anew for each try."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        chunk_bytes_max: int,
        routes: PeerRoutes = DIRECT,
    ) -> None:
        """Begin without a connection."""
        #: Of the connection there is; empty = none.
        self._endpoint = ""
        self._routes = routes
        self._socket = context.socket(zmq.DEALER)
        # A request waits for its connection, and is gone with it: `connect` drops both.
        self._socket.setsockopt(zmq.MAXMSGSIZE, chunk_bytes_max + _CHUNK_OVERHEAD_BYTES)
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, 5_000)
        self._socket.setsockopt(zmq.CONNECT_TIMEOUT, 3_000)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 100)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
        self._socket.set_hwm(_FRAMES_MAX)
        self._socket.setsockopt(zmq.LINGER, 0)

    @property
    def inbox(self) -> zmq.Socket[bytes]:
        """The socket to poll for input."""
        return self._socket

    def connect(self, url: str) -> None:
        """Drop the connection there was, and what was on its way on it, and make a new one."""
        self._disconnect()
        try:
            self._endpoint = self._routes.connect_anywhere(self._socket, url, Channel.SNAPSHOT)
        except ValueError as error:
            # It gets nothing, and says so itself after some tries.
            structlog.get_logger().warning("cannot fetch a snapshot", url=url, error=str(error))

    def _disconnect(self) -> None:
        if self._endpoint:
            self._socket.disconnect(self._endpoint)
            self._endpoint = ""

    def send(self, request: SnapshotRequest) -> bool:
        """Send without waiting; False: too much waits already, or there is no connection."""
        try:
            self._socket.send(encode(request), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, limit: int) -> list[Answer]:
        """Return at most ``limit`` answers without waiting."""
        answers: list[Answer] = []
        for _ in range(limit):
            if not has_input(self._socket):
                break
            parts = self._socket.recv_multipart(zmq.NOBLOCK)
            try:
                answer = _ANSWERS.decode(parts[0])
            except DECODE_ERRORS:
                continue
            assert isinstance(answer, SnapshotChunk | SnapshotRefused)
            answers.append(answer)
        return answers

    def close(self) -> None:
        """Drop the connection; the socket itself lives as long as the process's context."""
        self._disconnect()

    def destroy(self) -> None:
        """Close the socket."""
        self._socket.close(0)

"""Responsible for answering questions about a node on its control socket; never waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from zetcd.node_status import CONTROL_NAME, ControlError, ControlRequest, NodeStatus

#: Bytes of a question; a longer one closes the connection.
_REQUEST_BYTES_MAX = 4_096


class ControlServer:
    """A REP socket in the runtime directory, which only the node's user can enter."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        runtime_dir: Path,
        status: Callable[[], NodeStatus],
    ) -> None:
        """Bind the socket; ``status`` is called for each question about it."""
        self._status = status
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _REQUEST_BYTES_MAX)
        self._socket.bind(f"ipc://{runtime_dir}/{CONTROL_NAME}")

    @property
    def inbox(self) -> zmq.Socket[bytes]:
        """The socket to poll for input."""
        return self._socket

    def serve(self) -> None:
        """Answer every question that is here."""
        while True:
            try:
                question = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._socket.send(msgspec.json.encode(self._answer(question)), zmq.NOBLOCK)

    def _answer(self, question: list[bytes]) -> NodeStatus | ControlError:
        try:
            request = msgspec.json.decode(b"".join(question), type=ControlRequest)
        except msgspec.DecodeError as error:
            return ControlError(f"not a question: {error}")
        if request.command != "status":
            return ControlError(f"unknown command {request.command!r}, known is: status")
        return self._status()

"""Responsible for calls that came over gRPC and calls that came as JSON being answered alike."""

from __future__ import annotations

from typing import Protocol

from zetcd.gateway.grpc import OK, Sent, Status
from zetcd.gateway.http import HTTP_TOKENS


class CallTransport(Protocol):
    """How calls are answered; a call that is over may be answered too, which does nothing."""

    def answer(self, token: int, message: bytes) -> None:
        """Answer with one message and OK."""
        ...

    def finish(self, token: int, status: Status = OK) -> None:
        """End a call, after what was sent."""
        ...

    def send(self, token: int, message: bytes) -> Sent:
        """Send one of several messages."""
        ...

    def begin_message(self, token: int, length: int) -> Sent:
        """Begin a message of ``length`` octets; each part of it is protobuf by itself."""
        ...

    def send_part(self, token: int, part: bytes) -> Sent:
        """Send the next octets of the message begun."""
        ...

    def send_headers(self, token: int) -> None:
        """Let the client know that its call is served."""
        ...

    def hold(self, token: int) -> None:
        """Take no more of a client's stream."""
        ...

    def release(self, token: int) -> None:
        """Undo `hold`."""
        ...

    def queued_bytes(self, token: int) -> int:
        """Return the octets that wait for the client."""
        ...


class SplitTransport:
    """Hands each answer to where its call came from, which the token tells."""

    def __init__(self, grpc: CallTransport, http: CallTransport) -> None:
        """Answer through these two."""
        self._grpc = grpc
        self._http = http

    def _of(self, token: int) -> CallTransport:
        return self._grpc if token < HTTP_TOKENS else self._http

    def answer(self, token: int, message: bytes) -> None:
        """Answer with one message and OK."""
        # Not through `_of`: every put comes by here.
        (self._grpc if token < HTTP_TOKENS else self._http).answer(token, message)

    def finish(self, token: int, status: Status = OK) -> None:
        """End a call, after what was sent."""
        self._of(token).finish(token, status)

    def send(self, token: int, message: bytes) -> Sent:
        """Send one of several messages."""
        return (self._grpc if token < HTTP_TOKENS else self._http).send(token, message)

    def begin_message(self, token: int, length: int) -> Sent:
        """Begin a message of ``length`` octets."""
        return self._of(token).begin_message(token, length)

    def send_part(self, token: int, part: bytes) -> Sent:
        """Send the next octets of the message begun."""
        return self._of(token).send_part(token, part)

    def send_headers(self, token: int) -> None:
        """Let the client know that its call is served."""
        self._of(token).send_headers(token)

    def hold(self, token: int) -> None:
        """Take no more of a client's stream."""
        self._of(token).hold(token)

    def release(self, token: int) -> None:
        """Undo `hold`."""
        self._of(token).release(token)

    def queued_bytes(self, token: int) -> int:
        """Return the octets that wait for the client."""
        return self._of(token).queued_bytes(token)

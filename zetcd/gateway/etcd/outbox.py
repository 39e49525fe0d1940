"""Responsible for messages that a client is not ready to take: they wait here, in order.

The transport refuses what finds no room on a stream. Whoever makes messages must not make many more
than it takes (watch has credit, ranges ask first), so what waits here is little.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from zetcd.gateway.etcd.call_transport import CallTransport
from zetcd.gateway.grpc import OK, Sent, Status


@dataclass(slots=True)
class _Waiting:
    """What a call still has to send."""

    messages: deque[bytes] = field(default_factory=deque)
    #: They are parts of one message whose length was announced.
    are_parts: bool = False
    #: How the call ends after them; None: it goes on.
    status: Status | None = None


class Outbox:
    """Sends on streams, and keeps what finds no room.

    Invariant: what waits for a call leaves before anything newer of that call.
    """

    def __init__(self, transport: CallTransport) -> None:
        """Keep nothing yet."""
        self._transport = transport
        self._waiting: dict[int, _Waiting] = {}

    def is_full(self, token: int) -> bool:
        """Whether something of this call waits."""
        return token in self._waiting

    def send(self, token: int, message: bytes) -> None:
        """Send a message, now or later."""
        waiting = self._waiting.get(token)
        if waiting is not None:
            waiting.messages.append(message)
        elif self._transport.send(token, message) is Sent.FULL:
            self._waiting[token] = _Waiting(deque((message,)))

    def send_part(self, token: int, part: bytes) -> None:
        """Send the next octets of a message that was announced, now or later."""
        waiting = self._waiting.get(token)
        if waiting is not None:
            waiting.messages.append(part)
        elif self._transport.send_part(token, part) is Sent.FULL:
            self._waiting[token] = _Waiting(deque((part,)), are_parts=True)

    def finish(self, token: int, status: Status = OK) -> None:
        """End a call after what waits."""
        waiting = self._waiting.get(token)
        if waiting is None:
            self._transport.finish(token, status)
        elif waiting.status is None:
            waiting.status = status

    def go_on(self, token: int) -> bool:
        """Send what waits, as far as there is room; returns whether nothing waits any more."""
        waiting = self._waiting.get(token)
        if waiting is None:
            return True
        send = self._transport.send_part if waiting.are_parts else self._transport.send
        while waiting.messages:
            if send(token, waiting.messages[0]) is Sent.FULL:
                return False
            waiting.messages.popleft()
        del self._waiting[token]
        if waiting.status is not None:
            self._transport.finish(token, waiting.status)
        return True

    def forget(self, token: int) -> None:
        """Drop what waits for a call that is over."""
        self._waiting.pop(token, None)

    @property
    def waiting_count(self) -> int:
        """Calls whose client is not reading."""
        return len(self._waiting)

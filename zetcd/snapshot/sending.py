"""Responsible for deciding which chunk of a checkpoint is sent to whom, and when; never touches a file or socket.

A checkpoint is bulk: it must hold up neither the log, which shares the disk, nor heartbeats, which share
the network. So requests wait here until a *token bucket* lets them go: it fills with the configured bytes
per second, up to one second's worth, and a chunk takes its length out. Receivers take turns.

    rate 4 MiB/s, chunks of 1 MiB, two receivers with requests A1 A2 A3 and B1

    0.00 s   A1 B1 A2 A3 leave: the bucket was full
    0.25 s   room for one more

A receiver that has asked for nothing for a while is forgotten, and so is the one before of the same member: a
member that gets nothing connects anew, and what its dead connections hold would be missing for the living
ones. Their files are closed.

Must never keep more requests than the limits say: a receiver asks again for what gets no answer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from zetcd.messages.snapshot import SnapshotRequest
from zetcd.scalars import NodeID


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingOptions:
    """Limits of a sender."""

    #: Bytes sent in a second, to all receivers together.
    bytes_per_second: int
    #: Bytes of one chunk, whatever a receiver asks for.
    chunk_bytes: int
    #: Receivers at the same time.
    receivers_max: int
    #: Requests of one receiver that wait.
    requests_max: int
    #: Seconds without a request after which a receiver is forgotten.
    idle_seconds: float


class Due(NamedTuple):
    """A request to answer now."""

    #: Routing id of the receiver.
    receiver: bytes
    request: SnapshotRequest
    #: Bytes to send at most.
    length_max: int


class _Waiting:
    """One receiver."""

    __slots__ = ("heard_at", "node_id", "requests")

    def __init__(self, node_id: NodeID) -> None:
        self.node_id = node_id
        self.heard_at = 0.0
        self.requests: deque[SnapshotRequest] = deque()


class Sender:
    """All receivers of one member.

    Invariant: every receiver with requests is in turn once, in ``_turns``.
    """

    def __init__(self, options: SendingOptions, now: float) -> None:
        """Start with a full bucket and nobody to serve."""
        self._options = options
        self._receivers: dict[bytes, _Waiting] = {}
        self._turns: deque[bytes] = deque()
        #: Forgotten because their member has connected anew; not yet taken by `take_idle`.
        self._replaced: list[bytes] = []
        self._tokens = float(options.bytes_per_second)
        self._filled_at = now
        #: Figure for status.
        self.dropped_count = 0

    def step(self, receiver: bytes, request: SnapshotRequest, now: float) -> None:
        """Take a request; too many, or of too many receivers, are dropped and come again."""
        waiting = self._receivers.get(receiver)
        if waiting is None:
            self._forget_connections_of(request.node_id)
            if len(self._receivers) >= self._options.receivers_max:
                self.dropped_count += 1
                return
            waiting = self._receivers[receiver] = _Waiting(request.node_id)
        waiting.heard_at = now
        if len(waiting.requests) >= self._options.requests_max:
            self.dropped_count += 1
            return
        if not waiting.requests:
            self._turns.append(receiver)
        waiting.requests.append(request)

    def _forget_connections_of(self, node_id: NodeID) -> None:
        for receiver, waiting in list(self._receivers.items()):
            if waiting.node_id == node_id:
                self.forget(receiver)
                self._replaced.append(receiver)

    def ready(self, now: float) -> list[Due]:
        """Return what may be sent now, in order."""
        options = self._options
        filled = self._tokens + max(0.0, now - self._filled_at) * options.bytes_per_second
        # At least one chunk fits, however low the rate.
        self._tokens = min(filled, max(options.bytes_per_second, options.chunk_bytes))
        self._filled_at = now
        due: list[Due] = []
        while self._turns:
            receiver = self._turns[0]
            requests = self._receivers[receiver].requests
            length = max(1, min(requests[0].length_max, options.chunk_bytes))
            if length > self._tokens:
                break
            self._tokens -= length
            due.append(Due(receiver, requests.popleft(), length))
            self._turns.popleft()
            if requests:
                self._turns.append(receiver)
        return due

    def take_idle(self, now: float) -> list[bytes]:
        """Forget and return the receivers that have asked for nothing for a while, or were replaced."""
        replaced, self._replaced = self._replaced, []
        idle = [
            receiver
            for receiver, waiting in self._receivers.items()
            if not waiting.requests and now - waiting.heard_at >= self._options.idle_seconds
        ]
        for receiver in idle:
            del self._receivers[receiver]
        return replaced + idle

    def forget(self, receiver: bytes) -> None:
        """Forget a receiver that is gone."""
        waiting = self._receivers.pop(receiver, None)
        if waiting is not None and waiting.requests:
            self._turns.remove(receiver)

    def wake_at(self) -> float:
        """Return when `ready` or `take_idle` has something to do; infinity = never."""
        if self._turns:
            request = self._receivers[self._turns[0]].requests[0]
            length = max(1, min(request.length_max, self._options.chunk_bytes))
            missing = max(0.0, length - self._tokens)
            return self._filled_at + missing / self._options.bytes_per_second
        heard = [waiting.heard_at for waiting in self._receivers.values()]
        return min(heard) + self._options.idle_seconds if heard else float("inf")

    @property
    def receivers_count(self) -> int:
        """Receivers being served."""
        return len(self._receivers)

    def check(self) -> None:
        """Assert the invariant."""
        asking = [key for key, waiting in self._receivers.items() if waiting.requests]
        assert sorted(asking) == sorted(self._turns)

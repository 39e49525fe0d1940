"""Responsible for the table entry of a request that waits for its answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from zetcd.errors import RetryClass, ZetcdError
from zetcd.messages.base import Message
from zetcd.messages.kv import RangeResponse


class Pending:
    """One request of a client, from its frame to its answer.

    Invariants
        - It is answered at most once: `Replies` ignores an entry that is not open.
        - Closing it (answer, cancel, lost client) takes nothing back: a proposed mutation still
          happens.

    A plain class with slots: one is made for every request (0.2 µs; a dataclass costs twice that).
    """

    __slots__ = (
        "deadline",
        "is_open",
        "is_proposed",
        "owner",
        "request",
        "request_id",
        "started",
    )

    def __init__(
        self,
        owner: object,
        request_id: int,
        request: Message,
        *,
        started: float,
        deadline: float,
    ) -> None:
        """Begin to wait.

        Args:
            owner: whoever gets the answer (the native protocol: its session).
            request_id: the client's name for the request.
            request: decoded and checked.
            started: monotonic seconds.
            deadline: monotonic seconds; past it the answer is a timeout.
        """
        self.owner = owner
        self.request_id = request_id
        self.request = request
        self.started = started
        self.deadline = deadline
        self.is_open = True
        #: It may be in the log, whatever becomes of its answer.
        self.is_proposed = False


def begun_nothing(error: ZetcdError) -> ZetcdError:
    """Return ``error`` for a request that was certainly not begun: never AMBIGUOUS."""
    if error.retry is RetryClass.AMBIGUOUS:
        error.retry = RetryClass.SAFE
    return error


class Replies(Protocol):
    """How answers leave; each is ignored if the entry is closed."""

    def answer(self, pending: Pending, response: Message) -> None:
        """End the request with a response made here."""
        ...

    def answer_encoded(self, pending: Pending, body: bytes | msgspec.Raw) -> None:
        """End the request with a response that another actor made and encoded."""
        ...

    def can_take(self, pending: Pending) -> bool:
        """Whether the client reads its answers, so that one that may be big can be made for it."""
        ...

    def answer_part(self, pending: Pending, part: RangeResponse) -> bool:
        """Send a part of a response; False: the client must read first, come back later."""
        ...

    def fail(self, pending: Pending, error: ZetcdError) -> None:
        """End the request with an error."""
        ...

    def fail_encoded(self, pending: Pending, body: bytes | msgspec.Raw) -> None:
        """End the request with an encoded `ErrorBody`."""
        ...

    def waiting(self) -> Iterable[Pending]:
        """Yield every open entry; none may be closed meanwhile."""
        ...

"""Responsible for the table of open requests, and for handing each answer to who waits for it.

A request has an *asker*: a unary method, a stream, or a recipe of several steps. The asker knows
what an answer becomes; this table knows which requests are open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, cast

import msgspec

from zetcd.errors import ZetcdError
from zetcd.gateway.etcd.statuses import error_of_body
from zetcd.gateway.pending import Pending
from zetcd.messages.base import Message
from zetcd.messages.client import UnaryResponse
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.kv import RangeResponse

_decode_response: Final = UnionDecoder(UnaryResponse).decode


class Asker(Protocol):
    """Who gets the answer to a request; the owner of its `Pending`."""

    def answered(self, pending: Pending, response: Message) -> None:
        """Take the response."""
        ...

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Take a part of the response to a range; False: not now."""
        ...

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """Take the error."""
        ...


class EtcdReplies:
    """`Replies` of the etcd API.

    Invariant: ``_open`` holds exactly the open requests, by request id.
    """

    def __init__(self) -> None:
        """Start without requests."""
        self._open: dict[int, Pending] = {}
        self._last_inner_id = 0
        #: Figures for status.
        self.errors_count = 0

    @property
    def pending_count(self) -> int:
        """Requests without an answer."""
        return len(self._open)

    def inner_id(self) -> int:
        """Return an id for a request that is not a whole call: no token is negative."""
        self._last_inner_id -= 1
        return self._last_inner_id

    def open(self, pending: Pending) -> None:
        """Begin to wait for the answer to ``pending``."""
        assert pending.request_id not in self._open
        self._open[pending.request_id] = pending

    def close(self, pending: Pending) -> None:
        """Stop waiting; whatever is answered later is ignored."""
        if pending.is_open:
            pending.is_open = False
            del self._open[pending.request_id]

    def find(self, request_id: int) -> Pending | None:
        """Return an open request."""
        return self._open.get(request_id)

    def answer(self, pending: Pending, response: Message) -> None:
        """End the request with a response."""
        if pending.is_open:
            self.close(pending)
            cast(Asker, pending.owner).answered(pending, response)

    def answer_encoded(self, pending: Pending, body: bytes | msgspec.Raw) -> None:
        """End the request with a response that another actor encoded."""
        if pending.is_open:
            self.answer(pending, _decode_response(body))

    def can_take(self, pending: Pending) -> bool:
        """Whether an answer can be made: always, HTTP/2 bounds the calls that a client may have open."""
        del pending
        return True

    def answer_part(self, pending: Pending, part: RangeResponse) -> bool:
        """Send a part of a response; False: the client must read first, come back later."""
        return not pending.is_open or cast(Asker, pending.owner).part(pending, part)

    def fail(self, pending: Pending, error: ZetcdError) -> None:
        """End the request with an error."""
        if pending.is_open:
            self.close(pending)
            self.errors_count += 1
            cast(Asker, pending.owner).failed(pending, error)

    def fail_encoded(self, pending: Pending, body: bytes | msgspec.Raw) -> None:
        """End the request with an encoded `ErrorBody`."""
        if pending.is_open:
            self.fail(pending, error_of_body(body))

    def waiting(self) -> Iterator[Pending]:
        """Yield every open request."""
        yield from self._open.values()

    def check(self) -> None:
        """Assert the invariants."""
        for request_id, pending in self._open.items():
            assert pending.is_open
            assert pending.request_id == request_id

"""Responsible for one request of a client, from the moment it is made until it has its answer."""

from __future__ import annotations

from typing import Final

from zetcd.client.requests import encoded
from zetcd.errors import (
    DeadlineExceeded,
    NotConnected,
    TimeoutDueToConnectionLost,
    UnknownOutcome,
    ZetcdError,
)
from zetcd.messages.client import UnaryRequest, UnaryResponse
from zetcd.messages.cluster import (
    AlarmRequest,
    HashKVRequest,
    MemberListRequest,
    MoveLeaderRequest,
    StatusRequest,
)
from zetcd.messages.kv import KeyValue, RangeRequest, TxnRequest
from zetcd.messages.lease import (
    LeaseKeepAliveRequest,
    LeaseLeasesRequest,
    LeaseTimeToLiveRequest,
)

#: Requests that change nothing, or (keep-alive, alarm) nothing that once more would change again.
_REPEATABLE: Final = frozenset(
    {
        AlarmRequest,
        RangeRequest,
        HashKVRequest,
        LeaseKeepAliveRequest,
        LeaseLeasesRequest,
        LeaseTimeToLiveRequest,
        MemberListRequest,
        StatusRequest,
    }
)


def is_repeatable(request: UnaryRequest) -> bool:
    """Say whether sending the request twice does no more than sending it once."""
    kind = type(request)
    if kind is TxnRequest:
        assert isinstance(request, TxnRequest)
        return all(type(each) is RangeRequest for each in request.success + request.failure)
    return kind in _REPEATABLE


class Call:
    """One request and, in the end, its response or its error.

    Invariants
        - ``is_done`` exactly if ``result`` or ``error`` is set; both never.
        - ``is_sent`` exactly if the current connection may have carried it to the server.
        - A call that is not repeatable and was sent ends without a second attempt, unless the server
          itself said that nothing was done.
    """

    __slots__ = (
        "attempts",
        "body",
        "deadline",
        "error",
        "is_done",
        "is_repeatable",
        "is_retried",
        "is_sent",
        "last_error",
        "parts",
        "request_id",
        "result",
        "sent_at",
        "waiter",
    )

    def __init__(self, request: UnaryRequest, deadline: float) -> None:
        """Encode ``request``; it must have its answer by ``deadline`` (monotonic seconds).

        Raises:
            InvalidArgument: it cannot be encoded.
        """
        self.body: bytes = encoded(request)
        self.deadline = deadline
        self.is_repeatable = is_repeatable(request)
        #: Refusals are not waited out: who asked wants to hear that this member does not lead.
        self.is_retried = type(request) is not MoveLeaderRequest
        self.request_id = 0
        self.is_sent = False
        self.sent_at = 0.0
        self.attempts = 0
        self.parts: list[KeyValue] | None = None
        self.result: UnaryResponse | None = None
        self.error: ZetcdError | None = None
        #: Why the last attempt did not succeed.
        self.last_error: ZetcdError | None = None
        self.is_done = False
        #: Belongs to the adapter: what to wake when the call is done.
        self.waiter: object = None

    def unwrap(self) -> UnaryResponse:
        """Return the response, or raise the error."""
        assert self.is_done
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result

    def expired(self, connection_error: ZetcdError | None) -> ZetcdError:
        """Return the error of a call whose deadline passed."""
        if self.is_sent and not self.is_repeatable:
            return UnknownOutcome("no answer before the deadline; it may or may not have happened")
        if self.last_error is not None:
            return self.last_error
        if not self.is_sent and connection_error is not None:
            return NotConnected(str(connection_error.detail or connection_error))
        return DeadlineExceeded("no answer before the deadline")


def unknown_outcome(cause: ZetcdError) -> UnknownOutcome:
    """Return the error of a mutation of which only ``cause`` is known; keeps its text and code."""
    error = UnknownOutcome(cause.detail or "it may or may not have happened")
    error.text, error.code = cause.text, cause.code
    error.__cause__ = cause
    return error


def lost_in_flight(reason: str) -> UnknownOutcome:
    """Return the error of a mutation whose connection was lost before its answer."""
    return unknown_outcome(TimeoutDueToConnectionLost(reason))

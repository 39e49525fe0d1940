"""Responsible for membership changes on their way from a client to the leader, and for their answers.

The leader's raft decides whether a change may be proposed; this member's apply says that it is done. A
refusal for want of a leader, or because another change is on its way, is no answer: nothing was
done, so the change is asked for again until the request's time is up.

Invariants
    - A change that may have been appended to the log is never asked for again.
    - Whoever cannot know the outcome is told so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from zetcd.config import member_id_of
from zetcd.config.urls import PEER_SCHEMES, parse_url
from zetcd.errors import (
    LeaderChanged,
    MemberBadURLs,
    MemberNotFound,
    NoLeader,
    NotLeader,
    RequestTooManyRequests,
    UnknownOutcome,
    error_of,
)
from zetcd.gateway.options import GatewayOptions
from zetcd.gateway.pending import Pending, Replies, begun_nothing
from zetcd.messages.base import Message
from zetcd.messages.cluster import (
    Member,
    MemberAddRequest,
    MemberAddResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
    MemberUpdateRequest,
    MemberUpdateResponse,
)
from zetcd.messages.codec import encode
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.node import ChangeMember, ChangeMemberRefused, MemberChanged, Origin
from zetcd.messages.raft import ConfChange, ConfChangeType
from zetcd.scalars import NodeID, RequestID, Term

#: A change that could not be taken just now is asked for again.
RETRY_SECONDS: Final = 0.05
#: Peer URLs of one member, and characters of one; etcd has no limit, a message must have one.
_URLS_MAX: Final = 16
_URL_CHARACTERS_MAX: Final = 512
#: Refusals that are over by themselves.
_PASSING: Final = frozenset(
    {NoLeader.number, NotLeader.number, LeaderChanged.number, RequestTooManyRequests.number}
)


@dataclass(slots=True)
class _Change:
    """A request that waits."""

    pending: Pending
    kind: ConfChangeType
    member_id: NodeID
    #: The member as it is added or updated; None = an existing one, by its id.
    member: Member | None
    #: Name of the question that is out; 0 = none.
    request_id: RequestID = 0
    ask_at: float = 0.0


class MemberChanges:
    """The membership changes that the clients of one gateway ask for."""

    def __init__(self, options: GatewayOptions, replies: Replies) -> None:
        """Start empty."""
        self._options = options
        self._replies = replies
        self._origin = Origin(options.node_id, options.role, options.instance, options.incarnation)
        self._packed_origin = encode(self._origin)
        self._changes: list[_Change] = []
        self._last_request_id = 0

    def add(self, pending: Pending) -> None:
        """Take a request; it is asked for in this turn.

        Raises:
            ZetcdError: it is wrong by itself.
        """
        request = pending.request
        if isinstance(request, MemberAddRequest):
            urls = _checked_urls(request.peer_urls)
            # As etcd: without the cluster's token, but with the time.
            node_id = member_id_of(urls, "", self._options.wall_seconds())
            kind = ConfChangeType.ADD_LEARNER if request.is_learner else ConfChangeType.ADD_NODE
            member = Member(node_id, "", urls, is_learner=request.is_learner)
            self._changes.append(_Change(pending, kind, node_id, member))
            return
        node_id = cast(MemberUpdateRequest, request).id
        if not node_id:
            raise MemberNotFound("0 is nobody's id")
        if isinstance(request, MemberUpdateRequest):
            member = Member(node_id, "", _checked_urls(request.peer_urls))
            self._changes.append(_Change(pending, ConfChangeType.UPDATE_NODE, node_id, member))
        elif isinstance(request, MemberRemoveRequest):
            self._changes.append(_Change(pending, ConfChangeType.REMOVE_NODE, node_id, None))
        else:
            self._changes.append(_Change(pending, ConfChangeType.ADD_NODE, node_id, None))

    def take(self, now: float) -> list[ChangeMember]:
        """Return what is to be asked now."""
        if not self._changes:
            return []
        self._changes = [each for each in self._changes if each.pending.is_open]
        return [
            self._ask(each) for each in self._changes if not each.request_id and each.ask_at <= now
        ]

    def _ask(self, change: _Change) -> ChangeMember:
        self._last_request_id += 1
        change.request_id = self._last_request_id
        change.pending.is_proposed = True
        context = b"" if change.member is None else encode(change.member)
        conf_change = ConfChange(
            change.kind, change.member_id, context, change.request_id, self._packed_origin
        )
        return ChangeMember(self._origin, change.request_id, conf_change)

    def refused(self, refusal: ChangeMemberRefused, now: float) -> None:
        """Consume the word of the leader, or of a raft that knows none."""
        change = self._find(refusal.request_id)
        if change is None:
            return
        change.pending.is_proposed = False
        if refusal.error in _PASSING:
            change.request_id = 0
            change.ask_at = now + RETRY_SECONDS
            return
        self._changes.remove(change)
        self._replies.fail(change.pending, begun_nothing(error_of(refusal.error, refusal.detail)))

    def unreachable(self, request_id: RequestID, now: float) -> None:
        """Note that a question could not even be sent to raft."""
        refusal = ChangeMemberRefused(self._origin, request_id, NoLeader.number)
        self.refused(refusal, now)

    def changed(self, changed: MemberChanged, term: Term) -> None:
        """Consume apply's word that a change is done."""
        change = self._find(changed.request_id)
        if change is None:
            return
        self._changes.remove(change)
        header = ResponseHeader(0, term)
        request, members = change.pending.request, changed.members
        if isinstance(request, MemberAddRequest):
            assert change.member is not None
            response: Message = MemberAddResponse(header, change.member, members)
        else:
            response = _RESPONSES[type(request)](header, members)
        self._replies.answer(change.pending, response)

    def fail_asked(self, why: str) -> None:
        """Give up what was asked for: raft or apply has restarted, and the outcome is not known."""
        asked = [each for each in self._changes if each.request_id]
        self._changes = [each for each in self._changes if not each.request_id]
        for change in asked:
            self._replies.fail(change.pending, UnknownOutcome(why))

    def wake_at(self) -> float:
        """Return when `take` has something to do, infinity = never without input."""
        if not self._changes:
            return float("inf")
        return min(
            (each.ask_at for each in self._changes if not each.request_id), default=float("inf")
        )

    def _find(self, request_id: RequestID) -> _Change | None:
        return next((each for each in self._changes if each.request_id == request_id), None)


_RESPONSES: Final[dict[type[Message], Callable[[ResponseHeader, tuple[Member, ...]], Message]]] = {
    MemberRemoveRequest: MemberRemoveResponse,
    MemberUpdateRequest: MemberUpdateResponse,
    MemberPromoteRequest: MemberPromoteResponse,
}


def _checked_urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Return the peer URLs, sorted as etcd does.

    Raises:
        MemberBadURLs: there is none, or one could not be connected to.
    """
    if not 0 < len(urls) <= _URLS_MAX:
        raise MemberBadURLs(f"there are {len(urls)}, must be 1 to {_URLS_MAX}")
    if len(set(urls)) < len(urls):
        raise MemberBadURLs("one is given twice")
    for url in urls:
        if len(url) > _URL_CHARACTERS_MAX:
            raise MemberBadURLs(f"one has {len(url)} characters, at most {_URL_CHARACTERS_MAX}")
        try:
            address = parse_url(url, PEER_SCHEMES)
        except ValueError as error:
            raise MemberBadURLs(f"{url!r} {error}") from None
        if address.is_any_host:
            raise MemberBadURLs(f"{url} stands for every interface")
    return tuple(sorted(urls))

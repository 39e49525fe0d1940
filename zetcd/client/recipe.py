"""Responsible for what a recipe (lock, election) does, step by step, without saying how to wait.

A recipe is a generator: it yields a step, is sent the step's result (or thrown its error), and returns
its outcome. `Client` and `AsyncClient` each drive the same generators, so there is one of each recipe.

The recipes are etcd's: every contender owns the key ``name/<lease id in hex>``, attached to its lease,
and whoever has the oldest key (by create revision) owns the name. A contender waits for the key before
its own only, so that a release wakes one waiter, not all.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from zetcd.client.requests import delete, get, prefix_end, put, watch_request
from zetcd.client.txn import Conditions, create_revision
from zetcd.errors import (
    ElectionNoLeader,
    ElectionNotLeader,
    SessionExpired,
    UnknownOutcome,
)
from zetcd.messages.client import UnaryRequest, UnaryResponse
from zetcd.messages.kv import (
    EventType,
    KeyValue,
    RangeRequest,
    RangeResponse,
    RequestOp,
    SortOrder,
    SortTarget,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.watch import WatchCreateRequest, WatchFilter, WatchResponse
from zetcd.scalars import LeaseID, Revision


class OpenWatch(NamedTuple):
    """Step: begin a watch, instead of the one before; its result is None."""

    request: WatchCreateRequest


class NextResponse(NamedTuple):
    """Step: wait for the next response of the watch that is open."""


class CloseWatch(NamedTuple):
    """Step: end the watch that is open; its result is None."""


class Emit(NamedTuple):
    """Step of an observation: hand a leader's key to whoever observes; its result is None."""

    kv: KeyValue


Step: TypeAlias = UnaryRequest | OpenWatch | NextResponse | CloseWatch | Emit
StepResult: TypeAlias = UnaryResponse | WatchResponse | None


class Ownership(NamedTuple):
    """Owning a name."""

    #: The key that stands for it.
    key: bytes
    #: Create revision of the key: grows with every owner, so storage can refuse one that was overtaken.
    fencing_token: Revision


@dataclass(frozen=True, slots=True)
class Contender:
    """Who wants to own a name."""

    name: bytes
    lease_id: LeaseID

    @property
    def prefix(self) -> bytes:
        """Prefix of the keys of everybody who wants it."""
        return self.name + b"/"

    @property
    def key(self) -> bytes:
        """The key of this contender."""
        return self.prefix + format(self.lease_id, "x").encode()


def acquire(contender: Contender, value: bytes = b"") -> Generator[Step, StepResult, Ownership]:
    """Queue up and wait until the name is owned.

    Raises:
        SessionExpired: the lease ended while waiting.
    """
    own, is_owner = yield from _enqueue(contender, value)
    if not is_owner:
        yield from _wait_for_predecessors(contender, own.fencing_token)
        present = yield from _read(get(contender.key))
        if not present.kvs or present.kvs[0].create_revision != own.fencing_token:
            raise SessionExpired("the lease ended while waiting")
    return own


def try_acquire(contender: Contender) -> Generator[Step, StepResult, Ownership | None]:
    """Own the name if nobody else does; None, and no trace, if somebody does."""
    own, is_owner = yield from _enqueue(contender, b"")
    if is_owner:
        return own
    yield from release(own)
    return None


def release(own: Ownership) -> Generator[Step, StepResult, None]:
    """Give the name up; does nothing if it was lost already."""
    is_own = create_revision(own.key) == own.fencing_token
    yield from _transact(Conditions((is_own,)).then(delete(own.key)).request())


def abandon(contender: Contender) -> Generator[Step, StepResult, None]:
    """Leave the queue."""
    yield CloseWatch()
    yield from _transact(Conditions().then(delete(contender.key)).request())


def proclaim(own: Ownership, value: bytes, lease_id: LeaseID) -> Generator[Step, StepResult, None]:
    """Change what the leader says, as long as it leads.

    Raises:
        ElectionNotLeader: it does not lead any more.
    """
    is_own = create_revision(own.key) == own.fencing_token
    write = put(own.key, value, lease=lease_id)
    response = yield from _transact(Conditions((is_own,)).then(write).request())
    if not response.succeeded:
        raise ElectionNotLeader


def find_leader(name: bytes) -> Generator[Step, StepResult, KeyValue]:
    """Return the leader's key and what it says.

    Raises:
        ElectionNoLeader: nobody leads.
    """
    found = yield from _read(_oldest(name + b"/"))
    if not found.kvs:
        raise ElectionNoLeader
    return found.kvs[0]


def observe(name: bytes) -> Generator[Step, StepResult, None]:
    """Emit the leader's key, and again whenever it or what it says changes; never ends by itself."""
    prefix = name + b"/"
    while True:
        found = yield from _read(_oldest(prefix))
        revision = found.header.revision
        if not found.kvs:
            leader, revision = yield from _first_put(prefix, revision)
        else:
            leader = found.kvs[0]
        yield Emit(leader)
        yield from _emit_until_deleted(leader.key, revision)


def _first_put(
    prefix: bytes, revision: Revision
) -> Generator[Step, StepResult, tuple[KeyValue, Revision]]:
    """Wait for the first put below a prefix that is empty at ``revision``."""
    yield OpenWatch(
        watch_request(
            prefix,
            range_end=prefix_end(prefix),
            start_revision=revision + 1,
            filters=(WatchFilter.NODELETE,),
        )
    )
    while True:
        response = yield NextResponse()
        assert isinstance(response, WatchResponse)
        if response.events:
            kv = response.events[0].kv
            yield CloseWatch()
            return kv, kv.mod_revision


def _emit_until_deleted(key: bytes, revision: Revision) -> Generator[Step, StepResult, None]:
    yield OpenWatch(watch_request(key, start_revision=revision + 1))
    while True:
        response = yield NextResponse()
        assert isinstance(response, WatchResponse)
        for event in response.events:
            if event.type is EventType.DELETE:
                yield CloseWatch()
                return
            yield Emit(event.kv)


def _enqueue(
    contender: Contender, value: bytes
) -> Generator[Step, StepResult, tuple[Ownership, bool]]:
    """Create the contender's key unless it exists; says whether it is the oldest."""
    key, oldest = contender.key, _oldest(contender.prefix)
    create: tuple[RequestOp, ...] = (put(key, value, lease=contender.lease_id), oldest)
    request = Conditions((create_revision(key) == 0,)).then(*create).otherwise(get(key), oldest)
    response = yield from _transact(request.request())
    own_response, oldest_response = response.responses
    if response.succeeded:
        revision = response.header.revision
    else:
        assert isinstance(own_response, RangeResponse)
        revision = own_response.kvs[0].create_revision
        if own_response.kvs[0].value != value:
            yield from proclaim(Ownership(key, revision), value, contender.lease_id)
    assert isinstance(oldest_response, RangeResponse)
    first = oldest_response.kvs[0]
    return Ownership(key, revision), first.create_revision == revision


def _wait_for_predecessors(
    contender: Contender, revision: Revision
) -> Generator[Step, StepResult, None]:
    """Wait until every older key is gone: always for the youngest of them."""
    prefix = contender.prefix
    while True:
        found = yield from _read(
            get(
                prefix,
                range_end=prefix_end(prefix),
                limit=1,
                sort_order=SortOrder.DESCEND,
                sort_target=SortTarget.CREATE,
                max_create_revision=revision - 1,
            )
        )
        if not found.kvs:
            return
        yield from _wait_deleted(found.kvs[0].key, found.header.revision)


def _wait_deleted(key: bytes, revision: Revision) -> Generator[Step, StepResult, None]:
    yield OpenWatch(watch_request(key, start_revision=revision + 1, filters=(WatchFilter.NOPUT,)))
    while True:
        response = yield NextResponse()
        assert isinstance(response, WatchResponse)
        if response.events:
            yield CloseWatch()
            return


def _oldest(prefix: bytes) -> RangeRequest:
    return get(
        prefix,
        range_end=prefix_end(prefix),
        limit=1,
        sort_order=SortOrder.ASCEND,
        sort_target=SortTarget.CREATE,
    )


def _read(request: RangeRequest) -> Generator[Step, StepResult, RangeResponse]:
    response = yield request
    assert isinstance(response, RangeResponse)
    return response


def _transact(request: TxnRequest) -> Generator[Step, StepResult, TxnResponse]:
    """Execute one of the recipes' transactions, again if its outcome is unknown.

    Each of them tests what it is about to change, so doing it twice is doing it once: the one exception
    to the rule that a mutation is never repeated.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            response = yield request
        except UnknownOutcome:
            continue
        break
    else:
        response = yield request
    assert isinstance(response, TxnResponse)
    return response


#: Times a transaction of unknown outcome is executed before its caller hears of it.
_ATTEMPTS: Final = 3

__all__ = [
    "CloseWatch",
    "Contender",
    "Emit",
    "NextResponse",
    "OpenWatch",
    "Ownership",
    "Step",
    "StepResult",
    "abandon",
    "acquire",
    "find_leader",
    "observe",
    "proclaim",
    "release",
    "try_acquire",
]

"""Responsible for v3lock and for what elections share with it: queueing for a key by age, as etcd does.

Whoever wants the lock puts a key below the lock's name that ends in its lease; the oldest key, by
create revision, owns the lock. Everybody else waits for the next older key to go, so that one end of
a lock wakes one waiter.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, NamedTuple, cast

from zetcd.errors import MutexSessionExpired
from zetcd.gateway.etcd.proto import v3lock_pb2
from zetcd.gateway.etcd.recipes import Await, Outcome, Scene, Step, Steps
from zetcd.gateway.etcd.responses import Responses
from zetcd.gateway.etcd.watch_calls import STREAM
from zetcd.messages.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    Event,
    EventType,
    KeyValue,
    PutRequest,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    SortOrder,
    SortTarget,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import LeaseGrantRequest, LeaseGrantResponse
from zetcd.messages.watch import WatchCreateRequest, WatchFilter
from zetcd.scalars import LeaseID, Revision

#: TTL of the lease of a client that brings none (etcd).
SESSION_TTL_SECONDS: Final = 60


class Place(NamedTuple):
    """A key in the queue of a name."""

    key: bytes
    #: Create revision: its age.
    revision: Revision
    header: ResponseHeader
    #: What the key held before, if it was there already.
    existing: KeyValue | None
    #: Nobody is older.
    is_first: bool


def prefix_end(prefix: bytes) -> bytes:
    """Return the end of the range of all keys that begin with ``prefix``; it ends in a slash."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def oldest_request(prefix: bytes) -> RangeRequest:
    """Return the question who is first."""
    return RangeRequest(
        prefix,
        prefix_end(prefix),
        limit=1,
        sort_order=SortOrder.ASCEND,
        sort_target=SortTarget.CREATE,
    )


def is_created_at(key: bytes, revision: Revision) -> Compare:
    """Return the condition that a key is the one created then; 0: that there is none."""
    return Compare(CompareResult.EQUAL, CompareTarget.CREATE, key, revision)


def session(lease: LeaseID) -> Generator[Step, Outcome, LeaseID]:
    """Return the client's lease, or a new one."""
    if lease:
        return lease
    granted = cast(LeaseGrantResponse, (yield LeaseGrantRequest(SESSION_TTL_SECONDS)))
    return granted.id


def enqueue(
    name: bytes, value: bytes, lease: LeaseID, scene: Scene
) -> Generator[Step, Outcome, Place]:
    """Put a key below ``name``, unless it is there; its lease is kept alive from now on."""
    prefix = name + b"/"
    key = prefix + b"%x" % lease
    scene.lease = lease
    # Whether it has been put is not known before the answer; taking it back never hurts.
    scene.undo = DeleteRangeRequest(key)
    txn = TxnRequest(
        (is_created_at(key, 0),),
        (PutRequest(key, value, lease), oldest_request(prefix)),
        (RangeRequest(key), oldest_request(prefix)),
    )
    response = cast(TxnResponse, (yield txn))
    oldest = cast(RangeResponse, response.responses[1]).kvs
    existing = None
    revision = response.header.revision
    if not response.succeeded:
        existing = cast(RangeResponse, response.responses[0]).kvs[0]
        revision = existing.create_revision
    is_first = not oldest or oldest[0].create_revision == revision
    return Place(key, revision, response.header, existing, is_first)


def wait_until_first(prefix: bytes, revision: Revision) -> Generator[Step, Outcome, None]:
    """Wait until every key that is older than ``revision`` is gone."""
    while True:
        youngest_before = RangeRequest(
            prefix,
            prefix_end(prefix),
            limit=1,
            sort_order=SortOrder.DESCEND,
            sort_target=SortTarget.CREATE,
            max_create_revision=revision - 1,
        )
        response = cast(RangeResponse, (yield youngest_before))
        if not response.kvs:
            return
        watch = WatchCreateRequest(
            STREAM,
            response.kvs[0].key,
            start_revision=response.header.revision,
            filters=(WatchFilter.NOPUT,),
        )
        events: tuple[Event, ...] = ()
        while not any(each.type is EventType.DELETE for each in events):
            events = cast(tuple[Event, ...], (yield Await(watch)))


def lock(request: v3lock_pb2.LockRequest, responses: Responses, scene: Scene) -> Steps:
    """Take the lock ``name``: wait as long as it takes."""
    lease = yield from session(request.lease)
    place = yield from enqueue(request.name, b"", lease, scene)
    header = place.header
    if not place.is_first:
        yield from wait_until_first(request.name + b"/", place.revision)
        # The lease may have ended while we waited: then somebody else may own the lock.
        own = cast(RangeResponse, (yield RangeRequest(place.key)))
        if not own.kvs:
            raise MutexSessionExpired
        header = own.header
    answer = v3lock_pb2.LockResponse(header=responses.header_message(header), key=place.key)
    return answer.SerializeToString()


def unlock(request: v3lock_pb2.UnlockRequest, responses: Responses, scene: Scene) -> Steps:
    """Give a lock back."""
    del scene
    response = cast(DeleteRangeResponse, (yield DeleteRangeRequest(request.key)))
    header = responses.header_message(response.header)
    return v3lock_pb2.UnlockResponse(header=header).SerializeToString()

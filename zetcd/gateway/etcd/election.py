"""Responsible for v3election: campaigns queue as locks do, and the first key's value is proclaimed."""

from __future__ import annotations

from collections.abc import Generator
from typing import cast

from zetcd.errors import ElectionNoLeader, ElectionNotLeader, LeaderFieldMissing
from zetcd.gateway.etcd.lock import (
    enqueue,
    is_created_at,
    oldest_request,
    prefix_end,
    session,
    wait_until_first,
)
from zetcd.gateway.etcd.proto import v3election_pb2 as pb
from zetcd.gateway.etcd.recipes import Await, Emit, Outcome, Scene, Step, Steps
from zetcd.gateway.etcd.responses import Responses, key_value
from zetcd.gateway.etcd.watch_calls import STREAM
from zetcd.messages.kv import (
    DeleteRangeRequest,
    Event,
    EventType,
    KeyValue,
    PutRequest,
    RangeResponse,
    ResponseHeader,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.watch import WatchCreateRequest, WatchFilter


def campaign(request: pb.CampaignRequest, responses: Responses, scene: Scene) -> Steps:
    """Wait to become the leader of ``name``, with a value."""
    lease = yield from session(request.lease)
    place = yield from enqueue(request.name, request.value, lease, scene)
    header = place.header
    leader = pb.LeaderKey(name=request.name, key=place.key, rev=place.revision, lease=lease)
    if place.existing is not None and place.existing.value != request.value:
        header = yield from _proclaim(leader, request.value)
    if not place.is_first:
        yield from wait_until_first(request.name + b"/", place.revision)
    answer = pb.CampaignResponse(header=responses.header_message(header), leader=leader)
    return answer.SerializeToString()


def _proclaim(leader: pb.LeaderKey, value: bytes) -> Generator[Step, Outcome, ResponseHeader]:
    put = PutRequest(leader.key, value, leader.lease)
    txn = TxnRequest((is_created_at(leader.key, leader.rev),), (put,))
    response = cast(TxnResponse, (yield txn))
    if not response.succeeded:
        raise ElectionNotLeader
    return response.header


def proclaim(request: pb.ProclaimRequest, responses: Responses, scene: Scene) -> Steps:
    """Change the leader's value."""
    del scene
    if not request.HasField("leader"):
        raise LeaderFieldMissing
    header = yield from _proclaim(request.leader, request.value)
    answer = pb.ProclaimResponse(header=responses.header_message(header))
    return answer.SerializeToString()


def resign(request: pb.ResignRequest, responses: Responses, scene: Scene) -> Steps:
    """Give leadership up."""
    del scene
    if not request.HasField("leader"):
        raise LeaderFieldMissing
    leader = request.leader
    txn = TxnRequest((is_created_at(leader.key, leader.rev),), (DeleteRangeRequest(leader.key),))
    response = cast(TxnResponse, (yield txn))
    answer = pb.ResignResponse(header=responses.header_message(response.header))
    return answer.SerializeToString()


def _leader_response(responses: Responses, header: ResponseHeader, kv: KeyValue) -> bytes:
    answer = pb.LeaderResponse(header=responses.header_message(header), kv=key_value(kv))
    return answer.SerializeToString()


def leader(request: pb.LeaderRequest, responses: Responses, scene: Scene) -> Steps:
    """Say who leads."""
    del scene
    response = cast(RangeResponse, (yield oldest_request(request.name + b"/")))
    if not response.kvs:
        raise ElectionNoLeader
    return _leader_response(responses, response.header, response.kvs[0])


def observe(request: pb.LeaderRequest, responses: Responses, scene: Scene) -> Steps:
    """Say who leads, and again whenever that or its value changes, until the client leaves."""
    del scene
    prefix = request.name + b"/"
    while True:
        response = cast(RangeResponse, (yield oldest_request(prefix)))
        header = response.header
        if response.kvs:
            kv = response.kvs[0]
        else:
            kv, revision = yield from _first_put(prefix, header.revision + 1)
            header = ResponseHeader(revision, header.raft_term)
        yield Emit(_leader_response(responses, header, kv))
        yield from _observe_one(responses, header, kv)


def _first_put(prefix: bytes, revision: int) -> Generator[Step, Outcome, tuple[KeyValue, int]]:
    """Wait for somebody to campaign."""
    watch = WatchCreateRequest(
        STREAM,
        prefix,
        prefix_end(prefix),
        start_revision=revision,
        filters=(WatchFilter.NODELETE,),
    )
    events = cast(tuple[Event, ...], (yield Await(watch)))
    # Of several, the first; it may have gone again, as its next event will tell.
    return events[0].kv, events[0].kv.mod_revision


def _observe_one(
    responses: Responses, header: ResponseHeader, kv: KeyValue
) -> Generator[Step, Outcome, None]:
    """Tell of every value of one leader, until it is gone."""
    revision = max(header.revision, kv.mod_revision) + 1
    while True:
        watch = WatchCreateRequest(STREAM, kv.key, start_revision=revision)
        events = cast(tuple[Event, ...], (yield Await(watch)))
        for event in events:
            if event.type is EventType.DELETE:
                return
            revision = event.kv.mod_revision + 1
            told = ResponseHeader(event.kv.mod_revision, header.raft_term)
            yield Emit(_leader_response(responses, told, event.kv))

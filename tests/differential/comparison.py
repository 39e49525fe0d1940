"""What must be the same in two answers, and what cannot be: ids, terms, sizes and names of members."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from tests.differential.peer import Answer, Peer
from tests.differential.steps import Call, Create, Dialogue, Ignored, Step
from zetcd.gateway.etcd.proto import kv_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

#: Seconds that a lease may have run between grant and question, in a slow test.
_TTL_SLACK = 600
#: Go's sort keeps the order of equals up to here (it inserts); what it does beyond is chance.
_STABLE_SORT_MAX = 12
#: Lines of two answers that are shown without comparing them.
_SHOWN_WHOLE_MAX = 12


def comparable(answer: Answer, peer: Peer) -> Answer:
    """Return an answer without what is each store's own."""
    messages = [
        _comparable(message, request, peer)
        for message, request in zip(answer.messages, answer.requests, strict=True)
    ]
    events = {
        watcher: [_comparable(event, None, peer) for event in events]
        for watcher, events in answer.events.items()
    }
    return Answer(answer.code, answer.text, messages, [], events, answer.complaints)


def describe(ours: Answer, theirs: Answer) -> str:
    """Return two answers as text: everything if it is short, else what differs."""
    mine, others = _lines(ours), _lines(theirs)
    if len(mine) + len(others) > _SHOWN_WHOLE_MAX:
        lines = list(difflib.unified_diff(others, mine, "etcd", "zetcd", lineterm="", n=2))
        return "\n".join(lines)
    return "\n".join(("zetcd:", *mine, "etcd:", *others))


def _lines(answer: Answer) -> list[str]:
    lines = [f"{answer.code} {answer.text}"]
    lines += [f"  {type(each).__name__} {_short(each)}" for each in answer.messages]
    for watcher, events in sorted(answer.events.items()):
        lines += [f"  watcher {watcher}: {_short(event)}" for event in events]
    return lines + [f"  ! {each}" for each in answer.complaints]


def describe_step(step: Step) -> str:
    """Return a step as text of a few lines."""
    if isinstance(step, Call):
        metadata = f" {step.metadata}" if step.metadata else ""
        return f"{step.method}{metadata} {_short(step.request)}"
    if not isinstance(step, Dialogue):
        return str(step)
    lines = [f"dialogue {step.metadata or ''}"]
    for action in step.actions:
        if isinstance(action, Call):
            lines.append(f"  {describe_step(action)}")
        elif isinstance(action, (Create, Ignored)):
            lines.append(f"  {type(action).__name__} {_short(action.request)}")
        else:
            lines.append(f"  {action}")
    return "\n".join(lines)


def _short(message: Message) -> str:
    text = text_format.MessageToString(message, as_one_line=True)
    # Long values are runs of one character, or chance.
    text = re.sub(r"((?:\\[0-9]{3}|.)(?:\\[0-9]{3}|[^\\ ])?)\1{50,}", r"\1…", text)
    return text if len(text) < 1500 else f"{text[:1000]} … ({len(text)} characters)"


M = TypeVar("M", bound=Message)


def _comparable(message: M, request: Message | None, peer: Peer) -> M:
    copy = type(message)()
    copy.CopyFrom(message)
    _mask(copy, peer)
    _mask_for(request, copy)
    return copy


def _mask(message: Message, peer: Peer) -> None:
    """Take out what differs between any two clusters; whether it was there at all stays."""
    for part in _parts(message):
        if isinstance(part, pb.ResponseHeader):
            part.cluster_id = min(part.cluster_id, 1)
            part.member_id = min(part.member_id, 1)
            part.raft_term = min(part.raft_term, 1)
        elif isinstance(part, kv_pb2.KeyValue):
            part.lease = peer.common_id(part.lease)
        elif isinstance(part, pb.Member):
            part.ID = min(part.ID, 1)
            # The scheme of peers is each store's own, the ports are the test's.
            part.peerURLs[:] = ["" for _ in part.peerURLs]
            part.clientURLs[:] = [url.split(":")[0] for url in part.clientURLs]
        elif isinstance(part, (pb.LeaseGrantResponse, pb.LeaseKeepAliveResponse, pb.LeaseStatus)):
            part.ID = peer.common_id(part.ID)
        elif isinstance(part, pb.LeaseTimeToLiveResponse):
            part.ID = peer.common_id(part.ID)
            # etcd has them in the order of a Go map.
            part.keys[:] = sorted(part.keys)
            if part.grantedTTL - _TTL_SLACK < part.TTL <= part.grantedTTL:
                part.TTL = part.grantedTTL
        elif isinstance(part, pb.StatusResponse):
            _mask_status(part)
        elif isinstance(part, (pb.HashKVResponse, pb.HashResponse)):
            part.hash = min(part.hash, 1)
    if isinstance(message, pb.LeaseLeasesResponse):
        leases = sorted(each.ID for each in message.leases)
        del message.leases[:]
        message.leases.extend(pb.LeaseStatus(ID=each) for each in leases)


def _mask_status(status: pb.StatusResponse) -> None:
    for name in ("dbSize", "dbSizeInUse", "leader", "raftIndex", "raftTerm", "raftAppliedIndex"):
        setattr(status, name, min(getattr(status, name), 1))
    status.version = ".".join(status.version.split(".")[:2])


def _mask_for(request: Message | None, message: Message) -> None:
    """Take out what depends on the request."""
    if isinstance(message, pb.RangeResponse) and isinstance(request, pb.RangeRequest):
        _mask_ties(request, message)
    elif isinstance(message, pb.TxnResponse) and isinstance(request, pb.TxnRequest):
        _mask_ties_of(request, message)


def _mask_ties_of(request: pb.TxnRequest, response: pb.TxnResponse) -> None:
    operations = request.success if response.succeeded else request.failure
    for operation, answer in zip(operations, response.responses, strict=False):
        kind = operation.WhichOneof("request")
        if kind == "request_range":
            _mask_ties(operation.request_range, answer.response_range)
        elif kind == "request_txn":
            _mask_ties_of(operation.request_txn, answer.response_txn)


def _mask_ties(request: pb.RangeRequest, response: pb.RangeResponse) -> None:
    """Leave only what was sorted by, where equals may come in any order."""
    name = {1: "version", 2: "create_revision", 3: "mod_revision", 4: "value"}.get(
        request.sort_target
    )
    if name is None or response.count <= _STABLE_SORT_MAX:
        return
    for kv in response.kvs:
        value = getattr(kv, name)
        kv.Clear()
        setattr(kv, name, value)


def _parts(message: Message) -> Iterator[Message]:
    """Yield a message and everything in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in value if field.is_repeated else (value,):
            yield from _parts(part)

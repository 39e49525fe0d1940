"""Responsible for acknowledged writes: none is lost, none is done twice, nothing is invented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.robustness.changes import Changes, walk
from tests.robustness.history import Operation, Outcome
from zetcd.messages.kv import (
    DeleteRangeRequest,
    DeleteRangeResponse,
    Event,
    EventType,
    KeyValue,
    PutResponse,
    TxnResponse,
)
from zetcd.messages.lease import LeaseRevokeRequest
from zetcd.scalars import Revision


def check_durability(operations: Sequence[Operation], changes: Changes) -> Iterator[str]:
    """Yield acknowledged writes that the history lacks, repeated ones, and events without an origin."""
    yield from _check_values(operations, changes)
    yield from _check_origins(operations, changes)


def _check_values(operations: Sequence[Operation], changes: Changes) -> Iterator[str]:
    written: dict[bytes, list[Revision]] = {}
    for revision, events in changes.items():
        for event in events:
            if event.type is EventType.PUT:
                written.setdefault(event.kv.value, []).append(revision)
    for operation in operations:
        for put in operation.puts():
            yield from _value_faults(operation, put.value, written.pop(put.value, []))
    for value, revisions in written.items():
        yield f"nobody wrote {value[:40]!r}, which is there at {revisions}"


def _value_faults(operation: Operation, value: bytes, found: list[Revision]) -> Iterator[str]:
    """Yield what is wrong with the places where a unique value was found."""
    who = f"{value[:40]!r} of client {operation.client} at {operation.member or 'nobody'}"
    if len(found) > 1:
        yield f"{who} was written twice, at {found}"
    if operation.outcome is Outcome.REFUSED and found:
        yield f"{who} was refused ({operation.error}) and written all the same, at {found}"
    if not operation.is_ok:
        return
    is_done = not isinstance(operation.response, TxnResponse) or operation.response.succeeded
    if is_done and found != [operation.revision]:
        yield f"{who} was acknowledged at revision {operation.revision}, and is at {found}"
    if not is_done and found:
        yield f"{who} is of a transaction that did not succeed, and is at {found}"


def _check_origins(operations: Sequence[Operation], changes: Changes) -> Iterator[str]:
    """Each deletion has a cause, and what one revision did came from one request."""
    owners: dict[Revision, list[Operation]] = {}
    for operation in operations:
        if operation.is_ok and _is_change(operation):
            owners.setdefault(operation.revision, []).append(operation)
    unsure = {
        operation.request.key
        for operation in operations
        if isinstance(operation.request, DeleteRangeRequest)
        and operation.outcome in (Outcome.UNKNOWN, Outcome.PENDING)
    }
    for revision, before, events, _ in walk(changes, ()):
        found = owners.pop(revision, [])
        if len(found) > 1:
            yield f"revision {revision} was given to {len(found)} requests: {found}"
        for event in events:
            if event.type is EventType.DELETE and not _is_explained(event, before, found, unsure):
                yield f"nothing explains the deletion of {event.kv.key!r} at revision {revision}"
    for revision, lost in owners.items():
        yield f"nothing happened at revision {revision}, which was acknowledged to {lost}"


def _is_change(operation: Operation) -> bool:
    response = operation.response
    if isinstance(response, DeleteRangeResponse):
        return bool(response.deleted)
    if isinstance(response, TxnResponse):
        return response.succeeded
    return isinstance(response, PutResponse)


def _is_explained(
    event: Event, before: dict[bytes, KeyValue], owners: list[Operation], unsure: set[bytes]
) -> bool:
    """Say whether a deletion was asked for, may have been, or is the end of the key's lease."""
    key = event.kv.key
    if any(
        isinstance(owner.request, DeleteRangeRequest) and owner.request.key == key
        for owner in owners
    ):
        return True
    if owners and not any(isinstance(each.request, LeaseRevokeRequest) for each in owners):
        return False
    kv = before.get(key)
    return key in unsure or (kv is not None and kv.lease != 0)

"""Responsible for strict serializability: operations took effect one by one, each within its interval.

etcd's revisions give the order away, so it is checked and not searched: the store's history says what
each revision did, and every answer must be right at its revision. An operation without an answer is
looked for in that history by its values, which are unique; it may be there once, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.robustness.changes import Changes, State, walk
from tests.robustness.history import Operation
from zetcd.messages.client import UnaryRequest, UnaryResponse
from zetcd.messages.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    EventType,
    KeyValue,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    TxnRequest,
    TxnResponse,
)
from zetcd.scalars import Revision


def check_linearizability(operations: Sequence[Operation], changes: Changes) -> Iterator[str]:
    """Yield what cannot be explained by one order of all operations."""
    yield from _check_answers(operations, changes)
    yield from _check_order(operations, changes)


# --- each answer is right at its revision -----------------------------------------------------------


def _check_answers(operations: Sequence[Operation], changes: Changes) -> Iterator[str]:
    answered: dict[Revision, list[Operation]] = {}
    for operation in operations:
        if operation.is_ok and (operation.is_read or operation.is_mutation):
            answered.setdefault(operation.revision, []).append(operation)
    for revision, before, events, after in walk(changes, answered):
        for operation in answered.get(revision, ()):
            assert operation.response is not None
            if not _fits(operation.request, operation.response, before, after):
                yield (
                    f"client {operation.client} at {operation.member}: {operation.request} was "
                    f"answered by {operation.response}; revision {revision} is {events}"
                )


def _fits(request: UnaryRequest, response: UnaryResponse, before: State, after: State) -> bool:
    """Say whether an answer is right, given the store before and after its revision."""
    if isinstance(request, RangeRequest) and isinstance(response, RangeResponse):
        return response.kvs == _range(request, after)
    if isinstance(request, PutRequest) and isinstance(response, PutResponse):
        return _is_put(request, response.header.revision, after)
    if isinstance(request, DeleteRangeRequest) and isinstance(response, DeleteRangeResponse):
        was_there = request.key in (before if response.deleted else after)
        return was_there == bool(response.deleted) and request.key not in after
    if isinstance(request, TxnRequest) and isinstance(response, TxnResponse):
        return _fits_txn(request, response, before, after)
    return False


def _range(request: RangeRequest, state: State) -> tuple[KeyValue, ...]:
    if not request.range_end:
        return (state[request.key],) if request.key in state else ()
    keys = sorted(key for key in state if request.key <= key < request.range_end)
    return tuple(state[key] for key in keys)


def _fits_txn(request: TxnRequest, response: TxnResponse, before: State, after: State) -> bool:
    if response.succeeded:
        puts = [each for each in request.success if isinstance(each, PutRequest)]
        is_done = all(_is_put(put, response.header.revision, after) for put in puts)
        return is_done and all(_holds(each, before) for each in request.compare)
    if all(_holds(each, after) for each in request.compare):
        return False
    answers = zip(request.failure, response.responses, strict=True)
    return all(
        isinstance(ask, RangeRequest)
        and isinstance(answer, RangeResponse)
        and answer.kvs == _range(ask, after)
        for ask, answer in answers
    )


def _is_put(put: PutRequest, revision: Revision, after: State) -> bool:
    kv = after.get(put.key)
    found = (kv.value, kv.mod_revision, kv.lease) if kv is not None else None
    return found == (put.value, revision, put.lease)


def _holds(compare: Compare, state: State) -> bool:
    """Say whether a condition holds; the load uses no other kind than this one."""
    assert (compare.target, compare.result) == (CompareTarget.MOD, CompareResult.EQUAL)
    kv = state.get(compare.key)
    return (kv.mod_revision if kv is not None else 0) == compare.operand


# --- what began after an answer comes after it ------------------------------------------------------


def _check_order(operations: Sequence[Operation], changes: Changes) -> Iterator[str]:
    written = {
        event.kv.value: revision
        for revision, events in changes.items()
        for event in events
        if event.type is EventType.PUT
    }
    moments: list[tuple[float, int, Revision, bool, Operation]] = []
    for operation in operations:
        for revision, is_change in _places(operation, written, changes):
            moments.append((operation.invoked, 1, revision, is_change, operation))
            if operation.is_ok:
                moments.append((operation.returned, 0, revision, is_change, operation))
    floor: Revision = 0
    # An answer and a beginning at one moment: a client goes on at once, so the answer was first.
    for _, is_beginning, revision, is_change, operation in sorted(moments, key=lambda m: m[:4]):
        if not is_beginning:
            floor = max(floor, revision)
        elif revision < floor or (revision == floor and is_change):
            yield (
                f"client {operation.client} at {operation.member}: {operation.request} has "
                f"revision {revision}, but began after revision {floor} had been answered"
            )


def _places(
    operation: Operation, written: dict[bytes, Revision], changes: Changes
) -> Iterator[tuple[Revision, bool]]:
    """Yield where an operation took effect, and whether it changed something there."""
    if not operation.goes_through_log or operation.is_serializable:
        return
    if operation.is_ok:
        yield operation.revision, _has_changed(operation, changes)
        return
    for put in operation.puts()[:1]:
        if put.value in written:
            yield written[put.value], True


def _has_changed(operation: Operation, changes: Changes) -> bool:
    """Say whether an answered operation is the one that made its revision."""
    response = operation.response
    if isinstance(response, TxnResponse):
        return response.succeeded
    if isinstance(response, DeleteRangeResponse):
        return bool(response.deleted)
    return isinstance(response, PutResponse) and operation.revision in changes

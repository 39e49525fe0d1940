"""Operations took effect one after the other, each between its invocation and its answer.

Revisions give that order away, so it is checked instead of searched: the history of the reference says
what each revision did, and every operation must fit in at its revision. What was refused never
happened, what has an unknown outcome happened at most once.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.history import History, Operation, Outcome
from tests.simulation.invariants.invariant import Invariant, Observed, require
from tests.simulation.invariants.reference import Reference
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody
from zetcd.messages.kv import (
    DeleteRangeRequest,
    DeleteRangeResponse,
    Event,
    EventType,
    KeyValue,
    PutRequest,
    PutResponse,
    RangeResponse,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.node import Proposal
from zetcd.scalars import Revision

_NAME = "linearizability"
State = dict[bytes, KeyValue]


class Linearizability(Invariant):
    """Checks the history of the clients against that of the reference, at the end."""

    def __init__(self, history: History, reference: Reference) -> None:
        self._history = history
        self._reference = reference

    def finish(self, nodes: Sequence[Observed]) -> None:
        del nodes
        changes = self._reference.changes
        operations = self._history.operations
        _check_values(operations, changes)
        _check_answers(operations, changes)
        _check_order(operations, changes)


def put_of(request: Proposal) -> PutRequest | None:
    """Return the one put that a request may make."""
    if isinstance(request, TxnRequest):
        (put,) = request.success
        assert isinstance(put, PutRequest)
        return put
    return request if isinstance(request, PutRequest) else None


def _check_values(
    operations: Sequence[Operation], changes: dict[Revision, tuple[Event, ...]]
) -> None:
    """Each value was written once at most, and never if its put was refused."""
    written: dict[bytes, list[Revision]] = {}
    for revision, events in changes.items():
        for event in events:
            if event.type is EventType.PUT:
                written.setdefault(event.kv.value, []).append(revision)
    for operation in operations:
        for put in filter(None, map(put_of, operation.requests)):
            found = written.get(put.value, [])
            limit = 0 if operation.outcome is Outcome.REFUSED else 1
            require(
                len(found) <= limit,
                _NAME,
                f"{put.value!r} ({operation.outcome.value}) is written at {found}",
            )


def _check_answers(
    operations: Sequence[Operation], changes: dict[Revision, tuple[Event, ...]]
) -> None:
    """Each answer says what the history says at its revision."""
    questions: dict[Revision, list[tuple[Proposal | None, Message]]] = {}
    for operation in operations:
        if operation.read is not None:
            revision = operation.read.header.revision
            questions.setdefault(revision, []).append((None, operation.read))
        if operation.outcome is Outcome.OK and operation.requests:
            require(
                len(operation.responses) == len(operation.requests), _NAME, "an answer is missing"
            )
        for request, response in zip(operation.requests, operation.responses, strict=False):
            if not isinstance(response, ErrorBody):
                revision = _revision_of(response)
                questions.setdefault(revision, []).append((request, response))
    state: State = {}
    last = max((*changes, *questions, 1))
    for revision in range(1, last + 1):
        before = dict(state)
        events = changes.get(revision, ())
        _apply(state, events)
        for question, response in questions.get(revision, ()):
            require(
                _fits(question, response, before, state),
                _NAME,
                f"{question} was answered by {response}, at that revision there is {events}",
            )


def _revision_of(response: Message) -> Revision:
    revision: Revision = response.header.revision  # type: ignore[attr-defined]
    return revision


def _apply(state: State, events: tuple[Event, ...]) -> None:
    for event in events:
        if event.type is EventType.PUT:
            state[event.kv.key] = event.kv
        else:
            state.pop(event.kv.key, None)


def _fits(request: Proposal | None, response: Message, before: State, after: State) -> bool:
    """Say whether an answer is right, given the store before and after its revision."""
    if isinstance(response, RangeResponse):
        return response.kvs == tuple(after[key] for key in sorted(after))
    if isinstance(response, PutResponse):
        assert isinstance(request, PutRequest)
        return _is_put(request, response.header.revision, after)
    if isinstance(response, TxnResponse):
        assert isinstance(request, TxnRequest)
        put = put_of(request)
        assert put is not None
        wanted = request.compare[0].operand
        if response.succeeded:
            return _mod(before, put.key) == wanted and _is_put(put, response.header.revision, after)
        return _mod(after, put.key) != wanted
    if isinstance(response, DeleteRangeResponse):
        assert isinstance(request, DeleteRangeRequest)
        was_there = request.key in before if response.deleted else request.key in after
        return was_there == bool(response.deleted) and request.key not in after
    return True


def _is_put(put: PutRequest, revision: Revision, after: State) -> bool:
    kv = after.get(put.key)
    return kv is not None and (kv.value, kv.mod_revision, kv.lease) == (
        put.value,
        revision,
        put.lease,
    )


def _mod(state: State, key: bytes) -> Revision:
    kv = state.get(key)
    return kv.mod_revision if kv is not None else 0


def _check_order(
    operations: Sequence[Operation], changes: dict[Revision, tuple[Event, ...]]
) -> None:
    """What was invoked after an answer comes after it in the order of revisions."""
    written = {
        event.kv.value: revision
        for revision, events in changes.items()
        for event in events
        if event.type is EventType.PUT
    }
    invocations: list[tuple[int, int, Revision, bool]] = []
    for operation in operations:
        for revision, is_change in _places(operation, written):
            invocations.append((operation.invoked, 1, revision, is_change))
            if operation.outcome is Outcome.OK and operation.returned is not None:
                invocations.append((operation.returned, 0, revision, is_change))
    floor: Revision = 0
    # An answer and an invocation of the same step: a client goes on at once, so the answer was first.
    for _, is_invocation, revision, is_change in sorted(invocations):
        if not is_invocation:
            floor = max(floor, revision)
            continue
        require(
            revision > floor or (revision == floor and not is_change),
            _NAME,
            f"revision {revision} was {'written' if is_change else 'read'} by an operation that "
            f"began after revision {floor} had been seen",
        )


def _places(operation: Operation, written: dict[bytes, Revision]) -> list[tuple[Revision, bool]]:
    """Return the revisions at which an operation took effect, and whether it changed anything there."""
    if operation.read is not None:
        return [(operation.read.header.revision, False)]
    places: list[tuple[Revision, bool]] = []
    if operation.outcome is Outcome.OK:
        for request, response in zip(operation.requests, operation.responses, strict=True):
            if isinstance(response, ErrorBody):
                continue
            put = put_of(request)
            is_change = put is not None and put.value in written
            is_change = is_change or bool(getattr(response, "deleted", 0))
            places.append((_revision_of(response), is_change))
        return places
    puts = filter(None, map(put_of, operation.requests))
    return [(written[put.value], True) for put in puts if put.value in written]

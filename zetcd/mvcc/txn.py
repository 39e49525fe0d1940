"""Responsible for transactions: compare, choose branches, check, execute; etcd reference KV.Txn.

Four steps, so that a transaction that fails changes nothing:

    choose_path     evaluates every compare, nested ones included, against the state before the
                    transaction; the result says which branch runs at each level
    check_path      everything that can fail in the chosen branches: leases, ignored fields of
    missing
                    keys, revisions of ranges. All members come to the same result, also those that
                    then skip the ranges because nobody waits for their answer
    execute_path    the operations in order; a range sees the writes before it
    `StoreWriter.end`  by the caller
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import Final, NamedTuple

from zetcd.errors import Compacted, KeyNotFound, LeaseNotFound
from zetcd.messages.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RequestOp,
    ResponseHeader,
    ResponseOp,
    TxnRequest,
    TxnResponse,
)
from zetcd.mvcc.range import execute_range
from zetcd.mvcc.revision import decode_entry
from zetcd.mvcc.store import StoreWriter
from zetcd.mvcc.view import Found, View
from zetcd.scalars import LeaseID, Term


class TxnPath(NamedTuple):
    """Which branch of a transaction runs, and the same for those nested in that branch."""

    succeeded: bool
    #: One for each `TxnRequest` among the operations of the chosen branch, in order.
    nested: tuple[TxnPath, ...] = ()


def chosen(request: TxnRequest, path: TxnPath) -> tuple[RequestOp, ...]:
    """Return the operations that run."""
    return request.success if path.succeeded else request.failure


def choose_path(view: View, request: TxnRequest) -> TxnPath:
    """Evaluate all compares against the state that ``view`` shows."""
    succeeded = all(_holds(view, compare) for compare in request.compare)
    branch = request.success if succeeded else request.failure
    nested = tuple(
        choose_path(view, operation) for operation in branch if isinstance(operation, TxnRequest)
    )
    return TxnPath(succeeded, nested)


def check_path(view: View, request: TxnRequest, path: TxnPath, leases: Container[LeaseID]) -> None:
    """Check that every chosen operation will succeed.

    Raises:
        KeyNotFound: a field of a missing key is to be kept.
        LeaseNotFound: a put names an unknown lease.
        Compacted, FutureRev: a range names a revision that cannot be read.
    """
    nested = iter(path.nested)
    for operation in chosen(request, path):
        if isinstance(operation, PutRequest):
            _check_kept_fields(view, operation)
            _check_lease(operation, leases)
        elif isinstance(operation, RangeRequest):
            if operation.revision < 0:
                # As in etcd, though a range that stands alone reads the current revision then.
                raise Compacted
            view.resolve_revision(operation.revision)
        elif isinstance(operation, TxnRequest):
            check_path(view, operation, next(nested), leases)


def check_put_state(view: View, request: PutRequest, leases: Container[LeaseID]) -> None:
    """Check a put that stands alone; of two mistakes etcd names the lease first, unlike in a transaction.

    Raises:
        LeaseNotFound: the lease is unknown.
        KeyNotFound: a field of a missing key is to be kept.
    """
    _check_lease(request, leases)
    _check_kept_fields(view, request)


def _check_kept_fields(view: View, request: PutRequest) -> None:
    if (request.ignore_value or request.ignore_lease) and view.entry(request.key) is None:
        raise KeyNotFound


def _check_lease(request: PutRequest, leases: Container[LeaseID]) -> None:
    if request.lease and request.lease not in leases:
        raise LeaseNotFound


def execute_path(
    writer: StoreWriter, request: TxnRequest, path: TxnPath, *, wants_responses: bool
) -> tuple[ResponseOp, ...]:
    """Execute the chosen operations in the open group of ``writer``.

    Args:
        writer: Where to write.
        request: A transaction that `check_path` accepts.
        path: Of `choose_path`, on the same state.
        wants_responses: False skips what only the answer needs (ranges, previous values).

    Returns:
        One response per operation, or nothing if not wanted. Their headers hold the running
        revision only.
    """
    responses: list[ResponseOp] = []
    nested = iter(path.nested)
    for operation in chosen(request, path):
        if not wants_responses:
            _execute_silently(writer, operation, nested)
        else:
            responses.append(_execute(writer, operation, nested))
    return tuple(responses)


def execute_read_txn(view: View, request: TxnRequest, *, raft_term: Term) -> TxnResponse:
    """Answer a read-only transaction (`validation.is_read_only`) from a view, without the log.

    Raises:
        Compacted, FutureRev: a range names a revision that cannot be read.
    """
    path = choose_path(view, request)
    check_path(view, request, path, ())
    responses: list[ResponseOp] = []
    for operation in chosen(request, path):
        assert isinstance(operation, RangeRequest), "a write in a read-only transaction"
        responses.append(execute_range(view, operation))
    header = ResponseHeader(view.state.current_revision, raft_term)
    return TxnResponse(header, path.succeeded, tuple(responses))


def _execute(writer: StoreWriter, operation: RequestOp, nested: Iterator[TxnPath]) -> ResponseOp:
    """Execute one operation and return its response."""
    if isinstance(operation, PutRequest):
        before = writer.execute_put(operation)
        return PutResponse(ResponseHeader(writer.revision, 0), before)
    if isinstance(operation, RangeRequest):
        return execute_range(writer.view, operation, header_revision=writer.revision)
    if isinstance(operation, DeleteRangeRequest):
        deleted, prev_kvs = writer.execute_delete_range(operation)
        return DeleteRangeResponse(ResponseHeader(writer.revision, 0), deleted, prev_kvs)
    path = next(nested)
    responses = execute_path(writer, operation, path, wants_responses=True)
    return TxnResponse(ResponseHeader(writer.revision, 0), path.succeeded, responses)


def _execute_silently(writer: StoreWriter, operation: RequestOp, nested: Iterator[TxnPath]) -> None:
    """Execute one operation for its changes only."""
    if isinstance(operation, PutRequest):
        writer.execute_put(operation)
    elif isinstance(operation, DeleteRangeRequest):
        writer.delete(list(writer.view.live(operation.key, operation.range_end)))
    elif isinstance(operation, TxnRequest):
        execute_path(writer, operation, next(nested), wants_responses=False)


def _holds(view: View, compare: Compare) -> bool:
    """Return whether a condition holds for its key, or for every key of its range."""
    relation = _RELATIONS[compare.result]
    operand = compare.operand
    is_empty = True
    for found in view.live(compare.key, compare.range_end):
        is_empty = False
        if not relation(_field(view, compare.target, found), operand):
            return False
    if not is_empty:
        return True
    # A missing key has no value to compare; every other field of it is 0.
    return compare.target is not CompareTarget.VALUE and relation(0, operand)


def _field(view: View, target: CompareTarget, found: Found) -> int | bytes:
    """Return the compared field of a live key; the record is read only if the index lacks it."""
    if target is CompareTarget.VALUE:
        return view.kvs([found])[0].value
    if target is CompareTarget.LEASE:
        return view.kvs([found], keys_only=True)[0].lease
    entry = decode_entry(found[1])
    if target is CompareTarget.VERSION:
        return entry.version
    if target is CompareTarget.CREATE:
        return entry.create_revision
    return entry.main


def _less(actual: int | bytes, operand: int | bytes) -> bool:
    """Return actual < operand; validation has made sure that both are of one kind."""
    if isinstance(actual, bytes):
        assert isinstance(operand, bytes), "operand does not fit its target"
        return actual < operand
    assert isinstance(operand, int), "operand does not fit its target"
    return actual < operand


_RELATIONS: Final[dict[CompareResult, Callable[[int | bytes, int | bytes], bool]]] = {
    CompareResult.EQUAL: lambda actual, operand: actual == operand,
    CompareResult.NOT_EQUAL: lambda actual, operand: actual != operand,
    CompareResult.LESS: _less,
    CompareResult.GREATER: lambda actual, operand: _less(operand, actual),
}

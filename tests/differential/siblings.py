"""Responsible for finding what zetcd refuses and etcd accepts: a nested put, deleted by a later nested delete.

etcd compares the puts of a nested transaction with deletes of those before it and not of those behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.mvcc.interval import IntervalSet


def deletes_what_a_sibling_puts(operations: Sequence[pb.RequestOp]) -> bool:
    """Whether a nested transaction deletes a key that one before it puts, at any level."""
    puts: set[bytes] = set()
    for operation in operations:
        if operation.WhichOneof("request") != "request_txn":
            continue
        nested = operation.request_txn
        branches = (nested.success, nested.failure)
        if any(map(deletes_what_a_sibling_puts, branches)):
            return True
        deletes = IntervalSet()
        for branch in branches:
            _collect_deletes(branch, deletes)
        if any(map(deletes.covers, puts)):
            return True
        for branch in branches:
            _collect_puts(branch, puts)
    return False


def _collect_deletes(operations: Sequence[pb.RequestOp], deletes: IntervalSet) -> None:
    for operation in operations:
        if operation.HasField("request_delete_range"):
            deletes.add(
                operation.request_delete_range.key, operation.request_delete_range.range_end
            )
        if operation.HasField("request_txn"):
            _collect_deletes(operation.request_txn.success, deletes)
            _collect_deletes(operation.request_txn.failure, deletes)


def _collect_puts(operations: Sequence[pb.RequestOp], puts: set[bytes]) -> None:
    for operation in operations:
        if operation.HasField("request_put"):
            puts.add(operation.request_put.key)
        if operation.HasField("request_txn"):
            _collect_puts(operation.request_txn.success, puts)
            _collect_puts(operation.request_txn.failure, puts)

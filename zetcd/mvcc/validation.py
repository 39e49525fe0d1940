"""Responsible for what is wrong with a request whatever the state of the store.

Gateways call these before they propose, and the applier again before it executes: both must come to
the same result on every member. Errors and their texts are etcd's; see etcd's v3rpc key checks.
"""

from __future__ import annotations

from typing import Final, NoReturn, TypeAlias

from zetcd.errors import (
    DuplicateKey,
    EmptyKey,
    InvalidArgument,
    InvalidSortOption,
    LeaseProvided,
    TooManyOps,
    TxnTooDeep,
    ValueProvided,
)
from zetcd.messages.kv import (
    Compare,
    CompareTarget,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    SortOrder,
    SortTarget,
    TxnRequest,
)
from zetcd.mvcc.interval import IntervalSet
from zetcd.scalars import LeaseID, Revision

#: Lease ids, revisions and limits are 64-bit signed numbers, as etcd's; MessagePack carries larger
#: ones, and some of Python's functions refuse those in their own way.
INT64_MAX: Final = 2**63 - 1
#: Nesting of transactions at most, whatever a member is configured to; far below the decoder's own
#: limit.
TXN_DEPTH_MAX: Final = 64


def check_range(request: RangeRequest) -> None:
    """Check a range.

    Raises:
        EmptyKey: there is no key.
        InvalidSortOption: the sort order or target is not known.
        InvalidArgument: a number has more than 64 bits.
    """
    if not request.key:
        raise EmptyKey
    if (
        request.limit > INT64_MAX
        or request.revision > INT64_MAX
        or request.min_mod_revision > INT64_MAX
        or request.max_mod_revision > INT64_MAX
        or request.min_create_revision > INT64_MAX
        or request.max_create_revision > INT64_MAX
    ):
        _refuse_numbers(request)
    if request.sort_order not in _SORT_ORDERS or request.sort_target not in _SORT_TARGETS:
        raise InvalidSortOption


def _refuse_numbers(request: RangeRequest) -> NoReturn:
    """Name the first number of a range that has more than 64 bits."""
    values: dict[str, object] = {name: getattr(request, name) for name in _RANGE_NUMBERS}
    field, value = next(
        (name, value)
        for name, value in values.items()
        if isinstance(value, int) and value > INT64_MAX
    )
    raise InvalidArgument(field=field, value=value, limit="a signed 64-bit number")


def check_put(request: PutRequest) -> None:
    """Check a put.

    Raises:
        EmptyKey: there is no key.
        ValueProvided: there is a value although it is to be ignored.
        LeaseProvided: there is a lease although it is to be ignored.
        InvalidArgument: the lease id has more than 64 bits.
    """
    if not request.key:
        raise EmptyKey
    if request.ignore_value and request.value:
        raise ValueProvided
    if request.lease:
        if request.ignore_lease:
            raise LeaseProvided
        check_lease_id(request.lease)


def check_delete_range(request: DeleteRangeRequest) -> None:
    """Check a delete.

    Raises:
        EmptyKey: there is no key.
    """
    if not request.key:
        raise EmptyKey


def check_lease_id(lease: LeaseID) -> None:
    """Check that a lease id has 64 bits with sign.

    Raises:
        InvalidArgument: it has not.
    """
    if not -INT64_MAX - 1 <= lease <= INT64_MAX:
        raise InvalidArgument(field="lease", value=lease, limit="a signed 64-bit number")


def check_txn(
    request: TxnRequest, max_ops: int | None = None, max_depth: int = TXN_DEPTH_MAX
) -> None:
    """Check a transaction with everything nested in it.

    Args:
        request: What to check.
        max_ops: Length of each list of operations at most; None = any (the applier: members may be
            configured differently).
        max_depth: Levels of transactions at most, the outermost included.

    Raises:
        TooManyOps: a list is too long; a nested transaction may use what its parent leaves.
        TxnTooDeep: there are too many levels.
        DuplicateKey: a branch puts a key twice, or puts and deletes it.
        InvalidArgument: a compare's operand does not fit its target.
        EmptyKey, InvalidSortOption, ValueProvided, LeaseProvided: an operation is wrong by itself.
    """
    _check_operations(request, max_ops, max_depth)
    if _has_two_writes(request):
        _check_duplicates(request.success)
        _check_duplicates(request.failure)


def is_read_only(request: TxnRequest) -> bool:
    """Return whether a transaction can run without the log; nested ones count as writes (etcd)."""
    return all(
        isinstance(operation, RangeRequest)
        for branch in (request.success, request.failure)
        for operation in branch
    )


def is_serializable(request: TxnRequest) -> bool:
    """Return whether a read-only transaction may be answered from local state without a quorum."""
    return all(
        isinstance(operation, RangeRequest) and operation.serializable
        for branch in (request.success, request.failure)
        for operation in branch
    )


def newest_revision(request: TxnRequest) -> Revision:
    """Return the newest revision that a range of a read-only transaction asks for; 0 = the current one."""
    return max(
        (
            operation.revision
            for branch in (request.success, request.failure)
            for operation in branch
            if isinstance(operation, RangeRequest)
        ),
        default=0,
    )


def _check_operations(request: TxnRequest, budget: int | None, depth: int) -> None:
    """Check lengths, levels and each operation by itself."""
    if depth <= 0:
        raise TxnTooDeep
    longest = max(len(request.compare), len(request.success), len(request.failure))
    if budget is not None and longest > budget:
        raise TooManyOps
    for compare in request.compare:
        _check_compare(compare)
    rest = None if budget is None else budget - longest
    for branch in (request.success, request.failure):
        for operation in branch:
            _check_operation(operation, rest, depth)


def _check_operation(operation: RequestOp, budget: int | None, depth: int) -> None:
    """Check one operation of a transaction."""
    if isinstance(operation, PutRequest):
        check_put(operation)
    elif isinstance(operation, RangeRequest):
        check_range(operation)
    elif isinstance(operation, DeleteRangeRequest):
        check_delete_range(operation)
    else:
        _check_operations(operation, budget, depth - 1)


def _check_compare(compare: Compare) -> None:
    """Check one compare."""
    if not compare.key:
        raise EmptyKey
    if (compare.target is CompareTarget.VALUE) is not isinstance(compare.operand, bytes):
        limit = "bytes" if compare.target is CompareTarget.VALUE else "an integer"
        raise InvalidArgument(field="operand", value=type(compare.operand).__name__, limit=limit)


def _has_two_writes(request: TxnRequest) -> bool:
    """Return whether duplicates are possible: a branch has two writes or something nested."""
    for branch in (request.success, request.failure):
        writes = [operation for operation in branch if not isinstance(operation, RangeRequest)]
        if len(writes) > 1 or any(isinstance(write, TxnRequest) for write in writes):
            return True
    return False


#: Keys put and ranges deleted by some list of operations.
_Writes: TypeAlias = tuple[set[bytes], IntervalSet]


def _check_duplicates(operations: tuple[RequestOp, ...]) -> _Writes:
    """Check that a branch writes no key twice; return what it writes.

    The branches of a nested transaction exclude each other and are not compared, but both are
    compared with what is beside the nested transaction. Overlapping deletes are allowed.
    """
    puts: set[bytes] = set()
    deletes = IntervalSet()
    for operation in operations:
        if isinstance(operation, DeleteRangeRequest):
            deletes.add(operation.key, operation.range_end)
    nested = [
        _check_duplicates(branch)
        for operation in operations
        if isinstance(operation, TxnRequest)
        for branch in (operation.success, operation.failure)
    ]
    # The two branches of one nested transaction sit side by side in `nested`.
    for position in range(0, len(nested), 2):
        _merge_nested(puts, deletes, nested[position], nested[position + 1])
    for operation in operations:
        if isinstance(operation, PutRequest):
            if operation.key in puts or deletes.covers(operation.key):
                raise DuplicateKey
            puts.add(operation.key)
    return puts, deletes


def _merge_nested(puts: set[bytes], deletes: IntervalSet, first: _Writes, second: _Writes) -> None:
    """Add what the two branches of a nested transaction write to what its siblings write."""
    for branch_puts, branch_deletes in (first, second):
        if not puts.isdisjoint(branch_puts):
            raise DuplicateKey
        if any(deletes.covers(key) for key in sorted(branch_puts)):
            raise DuplicateKey
        if any(branch_deletes.covers(key) for key in sorted(puts)):
            raise DuplicateKey
    for branch_puts, branch_deletes in (first, second):
        puts |= branch_puts
        deletes.update(branch_deletes)


_RANGE_NUMBERS: Final = (
    "limit",
    "revision",
    "min_mod_revision",
    "max_mod_revision",
    "min_create_revision",
    "max_create_revision",
)
_SORT_ORDERS: Final = frozenset(SortOrder)
_SORT_TARGETS: Final = frozenset(SortTarget)

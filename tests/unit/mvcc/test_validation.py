"""etcd's checks of requests, with etcd's errors."""

from __future__ import annotations

from typing import Any, cast

import pytest
from msgspec.structs import replace

from zetcd.errors import (
    DuplicateKey,
    EmptyKey,
    InvalidArgument,
    InvalidSortOption,
    LeaseProvided,
    TooManyOps,
    TxnTooDeep,
    ValueProvided,
    ZetcdError,
)
from zetcd.messages.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)
from zetcd.mvcc.validation import (
    check_delete_range,
    check_put,
    check_range,
    check_txn,
    is_read_only,
    is_serializable,
)


def txn(*operations: RequestOp, failure: tuple[RequestOp, ...] = ()) -> TxnRequest:
    return TxnRequest(success=operations, failure=failure)


def put(key: bytes) -> PutRequest:
    return PutRequest(key)


def delete(key: bytes, range_end: bytes = b"") -> DeleteRangeRequest:
    return DeleteRangeRequest(key, range_end)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (PutRequest(b""), EmptyKey),
        (PutRequest(b"a", b"v", ignore_value=True), ValueProvided),
        (PutRequest(b"a", lease=1, ignore_lease=True), LeaseProvided),
        (PutRequest(b"a", lease=2**63), InvalidArgument),
    ],
)
def test_bad_puts(request_: PutRequest, error: type[ZetcdError]) -> None:
    with pytest.raises(error):
        check_put(request_)


def test_good_puts() -> None:
    check_put(PutRequest(b"a", ignore_value=True, ignore_lease=True))
    check_put(PutRequest(b"a", lease=-(2**63)))


def test_bad_ranges_and_deletes() -> None:
    with pytest.raises(EmptyKey):
        check_range(RangeRequest(b""))
    with pytest.raises(InvalidSortOption):
        check_range(RangeRequest(b"a", sort_order=cast(Any, 9)))
    with pytest.raises(InvalidSortOption):
        check_range(RangeRequest(b"a", sort_target=cast(Any, 9)))
    with pytest.raises(EmptyKey):
        check_delete_range(DeleteRangeRequest(b""))


@pytest.mark.parametrize(
    "field",
    [
        "limit",
        "revision",
        "min_mod_revision",
        "max_mod_revision",
        "min_create_revision",
        "max_create_revision",
    ],
)
def test_numbers_of_a_range_have_64_bits_with_sign(field: str) -> None:
    """MessagePack carries larger ones, and Python's own functions refuse some of them."""
    check_range(replace(RangeRequest(b"a"), **{field: 2**63 - 1}))
    request = replace(RangeRequest(b"a"), **{field: 2**63})
    for check in (check_range, lambda each: check_txn(txn(txn(each)))):
        with pytest.raises(InvalidArgument, match=f"{field} is 9223372036854775808"):
            check(request)


@pytest.mark.parametrize(
    "request_",
    [
        txn(put(b"")),
        txn(failure=(delete(b""),)),
        txn(RangeRequest(b"")),
        txn(txn(put(b""))),
        TxnRequest(compare=(Compare(CompareResult.EQUAL, CompareTarget.MOD, b""),)),
    ],
)
def test_every_operation_is_checked_like_the_request_alone(request_: TxnRequest) -> None:
    with pytest.raises(EmptyKey):
        check_txn(request_)


@pytest.mark.parametrize(
    ("target", "operand"), [(CompareTarget.VALUE, 1), (CompareTarget.MOD, b"1")]
)
def test_an_operand_must_fit_its_target(target: CompareTarget, operand: int | bytes) -> None:
    with pytest.raises(InvalidArgument):
        check_txn(TxnRequest(compare=(Compare(CompareResult.EQUAL, target, b"k", operand),)))


def test_a_nested_transaction_may_use_what_its_parent_leaves() -> None:
    nested = txn(*(put(b"n%d" % number) for number in range(3)))
    siblings = tuple(put(b"s%d" % number) for number in range(4))
    check_txn(txn(nested, *siblings), 8)
    with pytest.raises(TooManyOps):
        check_txn(txn(nested, *siblings), 7)
    with pytest.raises(TooManyOps):
        check_txn(txn(*siblings), 3)
    check_txn(txn(*siblings), 4)


def test_nesting_has_a_limit() -> None:
    request = txn()
    for _ in range(3):
        request = txn(request)
    check_txn(request, max_depth=4)
    with pytest.raises(TxnTooDeep):
        check_txn(request, max_depth=3)


@pytest.mark.parametrize(
    "operations",
    [
        (put(b"a"), put(b"a")),
        (put(b"b"), delete(b"a", b"c")),
        (delete(b"a", b"\0"), put(b"z")),
        (delete(b"a"), put(b"a")),
        (txn(put(b"a")), put(b"a")),
        (txn(failure=(put(b"a"),)), put(b"a")),
        (txn(put(b"a")), txn(put(b"a"))),
        (txn(put(b"b")), delete(b"a", b"c")),
        (txn(delete(b"a", b"c")), put(b"b")),
        (txn(put(b"b")), txn(failure=(delete(b"a", b"c"),))),
        (txn(txn(put(b"a"))), put(b"a")),
    ],
)
def test_a_branch_writes_a_key_once(operations: tuple[RequestOp, ...]) -> None:
    with pytest.raises(DuplicateKey):
        check_txn(txn(*operations))
    with pytest.raises(DuplicateKey):
        check_txn(txn(failure=operations))


@pytest.mark.parametrize(
    "request_",
    [
        txn(put(b"a"), failure=(put(b"a"), put(b"b"))),
        txn(delete(b"a", b"c"), delete(b"b")),
        txn(txn(put(b"a"), failure=(put(b"a"),)), put(b"b")),
        txn(txn(put(b"a"), failure=(delete(b"a"),))),
        txn(put(b"a"), delete(b"b", b"\0"), RangeRequest(b"a")),
    ],
)
def test_what_excludes_each_other_may_write_the_same_key(request_: TxnRequest) -> None:
    check_txn(request_)


def test_read_only_and_serializable() -> None:
    linearizable, local = RangeRequest(b"a"), RangeRequest(b"a", serializable=True)
    assert is_read_only(txn())
    assert is_serializable(txn())
    assert is_read_only(txn(linearizable, failure=(local,)))
    assert not is_serializable(txn(linearizable, failure=(local,)))
    assert is_serializable(txn(local, failure=(local,)))
    assert not is_read_only(txn(failure=(put(b"a"),)))
    # As in etcd a nested transaction counts as a write, whatever is in it.
    assert not is_read_only(txn(txn(linearizable)))
    assert not is_serializable(txn(txn(local)))

"""Transactions: compares, branches, errors, headers."""

from __future__ import annotations

import pytest

from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import Compacted, FutureRev, KeyNotFound, LeaseNotFound, ZetcdError
from zetcd.messages.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    RequestOp,
    ResponseHeader,
    TxnRequest,
    TxnResponse,
)
from zetcd.mvcc.txn import TxnPath, check_path, choose_path, execute_path, execute_read_txn


@pytest.fixture
def store() -> SmallStore:
    store = SmallStore()
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    store.put(b"a", b"3")
    return store


def holds(store: SmallStore, compare: Compare) -> bool:
    with store.view() as view:
        return choose_path(view, TxnRequest(compare=(compare,))).succeeded


@pytest.mark.parametrize(
    ("target", "equal", "less"),
    [
        (CompareTarget.VERSION, 2, 1),
        (CompareTarget.CREATE, 2, 1),
        (CompareTarget.MOD, 4, 3),
        (CompareTarget.VALUE, b"3", b"1"),
        (CompareTarget.LEASE, 0, -1),
    ],
)
def test_each_target_with_each_relation(
    store: SmallStore, target: CompareTarget, equal: int | bytes, less: int | bytes
) -> None:
    def is_true(result: CompareResult, operand: int | bytes) -> bool:
        return holds(store, Compare(result, target, b"a", operand))

    assert is_true(CompareResult.EQUAL, equal)
    assert not is_true(CompareResult.EQUAL, less)
    assert is_true(CompareResult.NOT_EQUAL, less)
    assert not is_true(CompareResult.NOT_EQUAL, equal)
    assert is_true(CompareResult.GREATER, less)
    assert not is_true(CompareResult.GREATER, equal)
    assert not is_true(CompareResult.LESS, less)
    assert not is_true(CompareResult.LESS, equal)


@pytest.mark.parametrize("target", list(CompareTarget))
def test_a_missing_key_is_zero_but_has_no_value(store: SmallStore, target: CompareTarget) -> None:
    is_value = target is CompareTarget.VALUE
    operand: int | bytes = b"" if is_value else 0
    assert holds(store, Compare(CompareResult.EQUAL, target, b"none", operand)) is not is_value
    # Not even "differs" holds for the value of a missing key.
    other: int | bytes = b"x" if is_value else 1
    assert holds(store, Compare(CompareResult.NOT_EQUAL, target, b"none", other)) is not is_value


def test_a_range_must_hold_for_every_key(store: SmallStore) -> None:
    def of_range(operand: int, range_end: bytes = b"z") -> bool:
        compare = Compare(CompareResult.GREATER, CompareTarget.MOD, b"a", operand, range_end)
        return holds(store, compare)

    assert of_range(2)
    assert not of_range(3)
    assert of_range(2, b"\0")


def run(store: SmallStore, request: TxnRequest) -> TxnResponse:
    with store.writer() as writer:
        path = choose_path(writer.view, request)
        check_path(writer.view, request, path, {7})
        responses = execute_path(writer, request, path, wants_responses=True)
        writer.end()
        return TxnResponse(ResponseHeader(writer.revision, 0), path.succeeded, responses)


def test_a_range_sees_the_writes_before_it_and_headers_run_along(store: SmallStore) -> None:
    operations: tuple[RequestOp, ...] = (
        RangeRequest(b"a"),
        PutRequest(b"a", b"new", prev_kv=True),
        RangeRequest(b"a"),
        RangeRequest(b"a", revision=4),
        DeleteRangeRequest(b"b"),
        TxnRequest(success=(RangeRequest(b"b"),)),
    )
    response = run(store, TxnRequest(success=operations))
    first, put, second, old, delete, nested = response.responses
    assert isinstance(first, RangeResponse)
    assert first.kvs[0].value == b"3"
    assert isinstance(put, PutResponse)
    assert put.prev_kv == first.kvs[0]
    assert isinstance(second, RangeResponse)
    assert second.kvs[0].value == b"new"
    assert second.kvs[0].mod_revision == 5
    assert isinstance(old, RangeResponse)
    assert old.kvs == first.kvs
    assert isinstance(delete, DeleteRangeResponse)
    assert delete.deleted == 1
    assert isinstance(nested, TxnResponse)
    assert isinstance(nested.responses[0], RangeResponse)
    assert nested.responses[0].count == 0
    assert [each.header.revision for each in response.responses] == [4, 5, 5, 5, 5, 5]
    assert response.header.revision == 5


def test_nested_compares_look_at_the_state_before_the_transaction(store: SmallStore) -> None:
    is_old = (Compare(CompareResult.EQUAL, CompareTarget.VALUE, b"a", b"3"),)
    nested = TxnRequest(is_old, success=(PutRequest(b"yes"),), failure=(PutRequest(b"no"),))
    run(store, TxnRequest(success=(PutRequest(b"a", b"changed"), nested)))
    with store.view() as view:
        assert view.get(b"yes") is not None
        assert view.get(b"no") is None


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (PutRequest(b"none", ignore_value=True), KeyNotFound),
        (PutRequest(b"none", ignore_lease=True), KeyNotFound),
        (PutRequest(b"c", lease=8), LeaseNotFound),
        (RangeRequest(b"a", revision=5), FutureRev),
        (RangeRequest(b"a", revision=2), Compacted),
        (RangeRequest(b"a", revision=-1), Compacted),
    ],
)
def test_an_error_anywhere_changes_nothing(
    store: SmallStore, operation: RequestOp, error: type[ZetcdError]
) -> None:
    store.compact(3)
    for request in (
        TxnRequest(success=(PutRequest(b"x"), operation)),
        TxnRequest(success=(PutRequest(b"x"), TxnRequest(success=(operation,)))),
    ):
        with pytest.raises(error):
            run(store, request)
    with store.view() as view:
        assert view.get(b"x") is None
        assert view.state.current_revision == 4


def test_the_branch_that_does_not_run_is_not_checked(store: SmallStore) -> None:
    run(store, TxnRequest(failure=(PutRequest(b"c", lease=8),)))


def test_a_path_names_the_branches_of_the_chosen_branch_only(store: SmallStore) -> None:
    never = (Compare(CompareResult.EQUAL, CompareTarget.MOD, b"a", 0),)
    nested = TxnRequest(never, success=(), failure=(TxnRequest(),))
    with store.view() as view:
        path = choose_path(view, TxnRequest(success=(nested,), failure=(TxnRequest(),) * 3))
    assert path == TxnPath(True, (TxnPath(False, (TxnPath(True),)),))


def test_a_read_only_transaction_needs_no_writer(store: SmallStore) -> None:
    request = TxnRequest(success=(RangeRequest(b"a"), RangeRequest(b"b", count_only=True)))
    with store.view() as view:
        response = execute_read_txn(view, request, raft_term=9)
        assert (response.header.revision, response.header.raft_term) == (4, 9)
        first, second = response.responses
        assert isinstance(first, RangeResponse)
        assert first.kvs[0].value == b"3"
        assert isinstance(second, RangeResponse)
        assert second.count == 1
        with pytest.raises(FutureRev):
            execute_read_txn(
                view, TxnRequest(success=(RangeRequest(b"a", revision=9),)), raft_term=9
            )

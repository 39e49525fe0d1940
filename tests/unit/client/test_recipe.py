from __future__ import annotations

from collections.abc import Generator

import pytest

from zetcd.client import recipe
from zetcd.client.recipe import (
    CloseWatch,
    Contender,
    Emit,
    NextResponse,
    OpenWatch,
    Ownership,
    Step,
    StepResult,
)
from zetcd.errors import (
    ElectionNoLeader,
    ElectionNotLeader,
    SessionExpired,
    Timeout,
    UnknownOutcome,
)
from zetcd.messages.kv import (
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    Event,
    EventType,
    KeyValue,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    SortOrder,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.watch import WatchResponse

NAME = Contender(b"job", 0x1F)
KEY = b"job/1f"


def header(revision: int) -> ResponseHeader:
    return ResponseHeader(revision, 2)


def kv(key: bytes, created: int, value: bytes = b"") -> KeyValue:
    return KeyValue(key, created, created, 1, value)


def found(*kvs: KeyValue, revision: int = 50) -> RangeResponse:
    return RangeResponse(header(revision), kvs, count=len(kvs))


def enqueued(revision: int, oldest: KeyValue) -> TxnResponse:
    """Answer that the contender's key was created at ``revision``."""
    return TxnResponse(header(revision), True, (PutResponse(header(revision)), found(oldest)))


def deleted(key: bytes, revision: int) -> WatchResponse:
    event = Event(EventType.DELETE, KeyValue(key, mod_revision=revision))
    return WatchResponse(header(revision), 2, 0, events=(event,))


def play(steps: Generator[Step, StepResult, object], *results: object) -> tuple[list[Step], object]:
    """Give a recipe these results one by one; return its steps and, if it ended, its outcome."""
    taken = [next(steps)]
    for result in results:
        try:
            if isinstance(result, Exception):
                taken.append(steps.throw(result))
            else:
                taken.append(steps.send(result))  # type: ignore[arg-type]
        except StopIteration as stop:
            return taken, stop.value
    return taken, None


def test_a_free_lock_is_acquired_with_one_transaction() -> None:
    steps, own = play(recipe.acquire(NAME), enqueued(21, kv(KEY, 21)))
    assert own == Ownership(KEY, 21)
    (txn,) = steps
    assert isinstance(txn, TxnRequest)
    assert [(each.target, each.key, each.operand) for each in txn.compare] == [
        (CompareTarget.CREATE, KEY, 0)
    ]
    put, oldest = txn.success
    assert put == PutRequest(KEY, b"", 0x1F)
    assert isinstance(oldest, RangeRequest)
    assert (oldest.key, oldest.range_end, oldest.limit) == (b"job/", b"job0", 1)


def test_a_waiter_waits_for_the_key_before_its_own_and_checks_that_it_still_has_its_own() -> None:
    steps, own = play(
        recipe.acquire(NAME),
        enqueued(21, kv(b"job/a", 15)),
        found(kv(b"job/b", 18), revision=22),
        None,
        WatchResponse(header(25), 1, 0),
        deleted(b"job/b", 26),
        None,
        found(),
        found(kv(KEY, 21)),
    )
    assert own == Ownership(KEY, 21)
    before, watch, wait, still, close, before_again, mine = steps[1:]
    assert isinstance(before, RangeRequest)
    assert (before.max_create_revision, before.sort_order) == (20, SortOrder.DESCEND)
    assert isinstance(watch, OpenWatch)
    assert (watch.request.key, watch.request.start_revision) == (b"job/b", 23)
    assert isinstance(wait, NextResponse)
    assert isinstance(still, NextResponse)
    assert isinstance(close, CloseWatch)
    assert before_again == before
    assert mine == RangeRequest(KEY)


@pytest.mark.parametrize("mine", [found(), found(kv(KEY, 30))])
def test_a_waiter_whose_lease_ended_does_not_get_the_lock(mine: RangeResponse) -> None:
    with pytest.raises(SessionExpired):
        play(recipe.acquire(NAME), enqueued(21, kv(b"job/a", 15)), found(), mine)


def test_acquiring_again_with_the_same_lease_keeps_the_place() -> None:
    again = TxnResponse(header(40), False, (found(kv(KEY, 21)), found(kv(KEY, 21))))
    _, own = play(recipe.acquire(NAME), again)
    assert own == Ownership(KEY, 21)


def test_an_unknown_outcome_is_repeated_because_the_transaction_looks_first() -> None:
    steps, own = play(recipe.acquire(NAME), UnknownOutcome(), enqueued(21, kv(KEY, 21)))
    assert own == Ownership(KEY, 21)
    assert steps[0] == steps[1]
    with pytest.raises(UnknownOutcome):
        play(recipe.acquire(NAME), UnknownOutcome(), UnknownOutcome(), UnknownOutcome())
    with pytest.raises(Timeout):
        play(recipe.acquire(NAME), Timeout())


def test_trying_leaves_no_trace_if_the_lock_is_taken() -> None:
    gone = TxnResponse(header(22), True, (DeleteRangeResponse(header(22), 1),))
    steps, own = play(recipe.try_acquire(NAME), enqueued(21, kv(b"job/a", 15)), gone)
    assert own is None
    release = steps[1]
    assert isinstance(release, TxnRequest)
    assert release.success == (DeleteRangeRequest(KEY),)
    assert release.compare[0].operand == 21


def test_who_does_not_lead_cannot_proclaim() -> None:
    with pytest.raises(ElectionNotLeader):
        play(recipe.proclaim(Ownership(KEY, 21), b"v", 0x1F), TxnResponse(header(30)))


def test_without_candidates_there_is_no_leader() -> None:
    with pytest.raises(ElectionNoLeader):
        play(recipe.find_leader(b"job"), found())


def test_observing_emits_the_leader_its_changes_and_the_next_leader() -> None:
    def put(key: bytes, revision: int, value: bytes) -> WatchResponse:
        event = Event(EventType.PUT, KeyValue(key, 15, revision, 2, value))
        return WatchResponse(header(revision), 2, 0, events=(event,))

    steps, _ = play(
        recipe.observe(b"job"),
        found(kv(b"job/a", 15, b"one"), revision=20),
        None,
        None,
        put(b"job/a", 22, b"two"),
        None,
        deleted(b"job/a", 23),
        None,
        found(revision=23),
        None,
        put(b"job/b", 30, b"three"),
        None,
        None,
    )
    assert [step.kv.value for step in steps if isinstance(step, Emit)] == [b"one", b"two", b"three"]
    starts = [step.request.start_revision for step in steps if isinstance(step, OpenWatch)]
    assert starts == [21, 24, 31]

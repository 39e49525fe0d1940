"""Every checker is silent about a good history, and speaks about each kind of bad one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from tests.robustness.changes import Changes
from tests.robustness.checkers.durability import check_durability
from tests.robustness.checkers.hygiene import Footprint, check_footprints, check_log
from tests.robustness.checkers.lease_guarantees import check_all_gone, check_leases
from tests.robustness.checkers.linearizability import check_linearizability
from tests.robustness.checkers.monotonic_revisions import check_monotonic
from tests.robustness.checkers.same_history import check_hashes
from tests.robustness.checkers.watch_guarantees import check_is_complete, check_watch
from tests.robustness.history import Operation, Outcome, WatchHistory, WatchRecord
from zetcd.client import get, mod_revision, put
from zetcd.client.txn import Conditions
from zetcd.messages.client import UnaryRequest, UnaryResponse
from zetcd.messages.kv import (
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
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
)

A, B = b"r/a", b"r/b"


def header(revision: int) -> ResponseHeader:
    return ResponseHeader(revision, 1)


def done(
    request: UnaryRequest,
    response: UnaryResponse,
    at: float,
    *,
    client: int = 1,
    member: str = "node0",
    took: float = 0.5,
) -> Operation:
    return Operation(client, request, at, member, at + took, Outcome.OK, response)


def lost(request: UnaryRequest, at: float, outcome: Outcome = Outcome.UNKNOWN) -> Operation:
    return Operation(9, request, at, "", at + 0.5, outcome, None, "Timeout")


def kv(key: bytes, value: bytes, revision: int, created: int = 0, lease: int = 0) -> KeyValue:
    return KeyValue(key, created or revision, revision, 1, value, lease)


def written(key: bytes, value: bytes, revision: int, lease: int = 0) -> Event:
    return Event(EventType.PUT, kv(key, value, revision, lease=lease))


def deleted(key: bytes, revision: int) -> Event:
    return Event(EventType.DELETE, KeyValue(key, 0, revision))


def a_put(value: bytes, revision: int, at: float, key: bytes = A) -> Operation:
    return done(PutRequest(key, value), PutResponse(header(revision)), at)


def a_read(at: float, revision: int, *kvs: KeyValue, serializable: bool = False) -> Operation:
    request = RangeRequest(A, serializable=serializable)
    return done(request, RangeResponse(header(revision), kvs, count=len(kvs)), at, client=2)


def a_delete(at: float, revision: int, count: int) -> Operation:
    return done(DeleteRangeRequest(A), DeleteRangeResponse(header(revision), count), at)


def a_txn(*, if_revision: int) -> TxnRequest:
    conditions = Conditions((mod_revision(A) == if_revision,))
    return conditions.then(put(A, b"t"), put(B, b"t'")).otherwise(get(A)).request()


CHANGES: Changes = {
    2: (written(A, b"1", 2),),
    3: (written(A, b"2", 3),),
    4: (written(A, b"t", 4), written(B, b"t'", 4)),
    5: (deleted(A, 5),),
}
GOOD = [
    a_put(b"1", 2, 1.0),
    a_read(2.0, 2, kv(A, b"1", 2)),
    lost(PutRequest(A, b"2"), 3.0),
    done(a_txn(if_revision=3), TxnResponse(header(4), succeeded=True), 5.0),
    done(
        a_txn(if_revision=3),
        TxnResponse(header(4), responses=(RangeResponse(header(4), (kv(A, b"t", 4),)),)),
        6.0,
    ),
    a_delete(7.0, 5, 1),
    a_delete(8.0, 5, 0),
    a_read(9.0, 5),
    # Serializable: an old state, but one that there was.
    a_read(9.5, 3, kv(A, b"2", 3), serializable=True),
    lost(PutRequest(A, b"never"), 10.0),
    lost(PutRequest(A, b"refused"), 10.0, Outcome.REFUSED),
]


def found(texts: Iterable[str]) -> str:
    return "\n".join(texts)


def changed(position: int, **fields: object) -> list[Operation]:
    """Return the good history with one operation changed."""
    operations = list(GOOD)
    operations[position] = dataclasses.replace(GOOD[position], **fields)  # type: ignore[arg-type]
    return operations


# --- linearizability ----------------------------------------------------------------------------------


def test_a_good_history_is_linearizable() -> None:
    assert not found(check_linearizability(GOOD, CHANGES))


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([*GOOD, a_read(20.0, 4, kv(A, b"t", 4))], id="stale read"),
        pytest.param([*GOOD, a_read(20.0, 5, kv(A, b"t", 4))], id="value of another revision"),
        pytest.param([*GOOD, a_read(0.2, 3, kv(A, b"1", 2))], id="read lacks a write"),
        pytest.param(changed(0, invoked=8.0, returned=8.2), id="write before what was read"),
        pytest.param(changed(2, invoked=6.2), id="unknown write before its invocation"),
        pytest.param(changed(3, request=a_txn(if_revision=2)), id="condition did not hold"),
        pytest.param(
            changed(6, response=DeleteRangeResponse(header(5), 1)), id="told, not deleted"
        ),
        pytest.param(
            [*GOOD, a_read(9.6, 3, kv(A, b"1", 2), serializable=True)], id="a state never there"
        ),
    ],
)
def test_a_bad_history_is_not_linearizable(operations: list[Operation]) -> None:
    assert found(check_linearizability(operations, CHANGES))


def test_an_acknowledged_put_that_is_missing_is_not_linearizable() -> None:
    changes = {revision: events for revision, events in CHANGES.items() if revision != 2}
    assert found(check_linearizability(GOOD, changes))


# --- durability ---------------------------------------------------------------------------------------


def test_a_good_history_is_durable() -> None:
    assert not found(check_durability(GOOD, CHANGES))


@pytest.mark.parametrize(
    ("operations", "changes", "says"),
    [
        pytest.param(GOOD, {**CHANGES, 2: ()}, "acknowledged at revision 2", id="lost"),
        pytest.param(GOOD, {**CHANGES, 6: (written(B, b"1", 6),)}, "twice", id="twice"),
        pytest.param(GOOD, {**CHANGES, 6: (written(B, b"2", 6),)}, "twice", id="unknown, twice"),
        pytest.param(GOOD, {**CHANGES, 6: (written(B, b"refused", 6),)}, "refused", id="refused"),
        pytest.param(GOOD, {**CHANGES, 6: (written(B, b"?", 6),)}, "nobody wrote", id="invented"),
        pytest.param(
            GOOD, {**CHANGES, 6: (deleted(B, 6),)}, "nothing explains", id="deleted by nobody"
        ),
        pytest.param([*GOOD, a_delete(20.0, 7, 1)], CHANGES, "nothing happened", id="lost delete"),
        pytest.param(
            [*GOOD, a_put(b"3", 2, 20.0)], CHANGES, "was given to 2", id="reused revision"
        ),
        pytest.param(
            changed(3, response=TxnResponse(header(4), succeeded=False)),
            CHANGES,
            "did not succeed",
            id="denied, yet done",
        ),
        pytest.param(
            changed(5, response=DeleteRangeResponse(header(5), 0)),
            CHANGES,
            "nothing explains",
            id="deleted, not told",
        ),
    ],
)
def test_a_bad_history_is_not_durable(
    operations: list[Operation], changes: Changes, says: str
) -> None:
    assert says in found(check_durability(operations, changes))


def test_an_unknown_delete_and_the_end_of_a_lease_explain_deletions() -> None:
    changes: Changes = {
        2: (written(A, b"1", 2),),
        3: (deleted(A, 3),),
        4: (written(B, b"2", 4, lease=7),),
        5: (deleted(B, 5),),
    }
    operations = [
        a_put(b"1", 2, 1.0),
        lost(DeleteRangeRequest(A), 2.0),
        done(PutRequest(B, b"2", lease=7), PutResponse(header(4)), 3.0),
    ]
    assert not found(check_durability(operations, changes))


# --- watches ------------------------------------------------------------------------------------------


def a_watch(*records: tuple[int, tuple[Event, ...]], start: int = 1) -> WatchHistory:
    watch = WatchHistory("watch", b"r/", start)
    watch.records = [WatchRecord(0.0, revision, events) for revision, events in records]
    return watch


WHOLE = [(revision, events) for revision, events in CHANGES.items()]


@pytest.mark.parametrize(
    "watch",
    [
        pytest.param(a_watch(*WHOLE), id="all"),
        pytest.param(a_watch((1, ()), *WHOLE, (5, ()), (9, ())), id="with bookmarks"),
        pytest.param(a_watch(*WHOLE[:2], (3, ())), id="not at the end yet"),
        pytest.param(a_watch((3, CHANGES[2] + CHANGES[3]), *WHOLE[2:]), id="two in one response"),
        pytest.param(a_watch(*WHOLE[2:], start=4), id="from the middle"),
    ],
)
def test_a_good_watch(watch: WatchHistory) -> None:
    assert not found(check_watch(watch, CHANGES))


@pytest.mark.parametrize(
    "watch",
    [
        pytest.param(a_watch(WHOLE[0], *WHOLE[2:]), id="gap"),
        pytest.param(a_watch(*WHOLE[:2], WHOLE[1], *WHOLE[2:]), id="twice"),
        pytest.param(a_watch(WHOLE[1], WHOLE[0], *WHOLE[2:]), id="out of order"),
        pytest.param(a_watch((3, CHANGES[3] + CHANGES[2])), id="out of order in one response"),
        pytest.param(
            a_watch(*WHOLE[:2], (4, CHANGES[4][:1]), (4, CHANGES[4][1:]), WHOLE[3]), id="not atomic"
        ),
        pytest.param(a_watch(*WHOLE[:2], (4, ()), *WHOLE[2:]), id="bookmark ahead of its events"),
        pytest.param(a_watch(*WHOLE[:3], (5, ())), id="bookmark instead of an event"),
        pytest.param(a_watch((1, CHANGES[2])), id="revision behind its events"),
        pytest.param(a_watch(*WHOLE, (6, (written(A, b"?", 6),))), id="invented"),
        pytest.param(a_watch(WHOLE[0], (3, (written(A, b"x", 3),)), *WHOLE[2:]), id="other value"),
        pytest.param(a_watch(*WHOLE, start=4), id="before its start"),
    ],
)
def test_a_bad_watch(watch: WatchHistory) -> None:
    assert found(check_watch(watch, CHANGES))


def test_a_watch_that_stopped_on_the_way_is_incomplete() -> None:
    watch = a_watch(*WHOLE[:2])
    assert found(check_is_complete(watch, 5))
    assert not found(check_is_complete(watch, 3))
    watch.ended = "etcdserver: no leader"
    assert not found(check_is_complete(watch, 5))


# --- revisions ----------------------------------------------------------------------------------------


def test_revisions_that_stand_still_or_ascend_are_good() -> None:
    assert not found(check_monotonic(GOOD[:8]))


def test_a_revision_that_goes_back_is_bad() -> None:
    operations = [a_read(1.0, 5), a_read(2.0, 4)]
    assert found(check_monotonic(operations))
    other_member = dataclasses.replace(operations[1], member="node1")
    assert not found(check_monotonic([operations[0], other_member]))


def test_a_member_does_not_go_behind_what_it_has_confirmed() -> None:
    operations = [a_read(1.0, 5), a_read(2.0, 4, serializable=True)]
    assert found(check_monotonic(operations))
    assert not found(check_monotonic(operations, {"node0"}))


# --- leases -------------------------------------------------------------------------------------------


GRANT = done(LeaseGrantRequest(5, 7), LeaseGrantResponse(header(1), 7, 5), 10.0)
RENEWAL = done(LeaseKeepAliveRequest(7), LeaseKeepAliveResponse(header(2), 7, 5), 12.0)
REVOCATION = done(LeaseRevokeRequest(7), LeaseRevokeResponse(header(3)), 13.0)
LEASED: Changes = {2: (written(A, b"1", 2, lease=7),), 3: (deleted(A, 3),)}


@pytest.mark.parametrize(
    ("operations", "seen", "is_good"),
    [
        pytest.param([GRANT], 15.1, True, id="in time"),
        pytest.param([GRANT], 14.9, False, id="early"),
        pytest.param([GRANT, RENEWAL], 17.1, True, id="after its renewal"),
        pytest.param([GRANT, RENEWAL], 16.0, False, id="in spite of its renewal"),
        pytest.param([GRANT, RENEWAL], 12.3, False, id="renewal under way, grant not over"),
        pytest.param([GRANT, RENEWAL, REVOCATION], 13.2, True, id="revoked"),
    ],
)
def test_the_end_of_a_lease(operations: list[Operation], seen: float, is_good: bool) -> None:
    assert bool(found(check_leases(operations, LEASED, {3: seen}))) is not is_good


def test_a_lease_that_stays_is_bad() -> None:
    assert found(check_all_gone((7,), 20.0))
    assert not found(check_all_gone((), 20.0))


# --- members, processes, logs -------------------------------------------------------------------------


def test_members_with_different_hashes_or_none_are_bad() -> None:
    assert not found(check_hashes({"node0": 1, "node1": 1}, 9))
    assert "differ" in found(check_hashes({"node0": 1, "node1": 2}, 9))
    assert "no hash" in found(check_hashes({"node0": 1, "node1": None}, 9))


@pytest.mark.parametrize(
    ("after", "is_good"),
    [
        ({"raft-0": Footprint(30, 50_000_000)}, True),
        ({"raft-0": Footprint(300, 50_000_000)}, False),
        ({"raft-0": Footprint(30, 500_000_000)}, False),
        ({}, False),
    ],
)
def test_what_an_actor_occupies(after: dict[str, Footprint], is_good: bool) -> None:
    before = {"raft-0": Footprint(28, 40_000_000)}
    assert bool(found(check_footprints("node0", before, after))) is not is_good


@pytest.mark.parametrize(
    ("line", "is_good"),
    [
        ('{"event": "ready"}', True),
        ('{"event": "put s3cr3t/1/1"}', False),
        ("zetcd.errors.InvariantViolation: entry 3 follows entry 1", False),
        ("Traceback (most recent call last):", False),
    ],
)
def test_what_a_log_says(line: str, is_good: bool) -> None:
    assert bool(found(check_log("node0", line))) is not is_good

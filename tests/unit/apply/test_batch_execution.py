"""Each kind of request, alone and beside one that fails."""

from __future__ import annotations

import pytest

from tests.unit.apply.machine import Machine
from zetcd.apply.batch_execution import NIL, error_body
from zetcd.errors import (
    Compacted,
    DiskFailed,
    DuplicateKey,
    EmptyKey,
    InvalidArgument,
    KeyNotFound,
    LeaseExist,
    LeaseNotFound,
    MemberNotFound,
    ZetcdError,
)
from zetcd.messages.client import ErrorBody
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmRequest,
    AlarmType,
    Member,
    PublishRequest,
)
from zetcd.messages.codec import decoder_of
from zetcd.messages.kv import (
    CompactionRequest,
    CompactionResponse,
    DeleteRangeRequest,
    DeleteRangeResponse,
    EventType,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseCheckpoint,
    LeaseCheckpointRequest,
    LeaseExpireRequest,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
)
from zetcd.messages.node import Proposal
from zetcd.mvcc import View


@pytest.fixture
def machine() -> Machine:
    return Machine()


def value_of(machine: Machine, key: bytes) -> bytes | None:
    with machine.backend.read() as transaction:
        kv = View(transaction).get(key)
    return None if kv is None else kv.value


def test_one_batch_of_everything(machine: Machine) -> None:
    grant, put, txn, found, delete, compaction, revoke = machine.ask(
        LeaseGrantRequest(60, 7),
        PutRequest(b"a", b"1", lease=7),
        TxnRequest(success=(PutRequest(b"b"), PutRequest(b"c"))),
        RangeRequest(b"a", b"z"),
        DeleteRangeRequest(b"b", b"d", prev_kv=True),
        CompactionRequest(3),
        LeaseRevokeRequest(7),
    )
    assert grant == LeaseGrantResponse(ResponseHeader(1, 1), 7, 60)
    assert put == PutResponse(ResponseHeader(2, 1))
    assert isinstance(txn, TxnResponse)
    assert txn.header.revision == 3
    assert isinstance(found, RangeResponse)
    assert found.header == ResponseHeader(3, 1)
    assert [kv.key for kv in found.kvs] == [b"a", b"b", b"c"]
    assert isinstance(delete, DeleteRangeResponse)
    assert (delete.deleted, len(delete.prev_kvs)) == (2, 2)
    assert compaction == CompactionResponse(ResponseHeader(4, 1))
    assert revoke == LeaseRevokeResponse(ResponseHeader(5, 1))
    assert [len(each.events) for each in machine.output.revisions] == [1, 2, 2, 1]
    assert machine.output.revisions[-1].events[0].type is EventType.DELETE


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (PutRequest(b""), EmptyKey),
        (PutRequest(b"x", lease=9), LeaseNotFound),
        (PutRequest(b"x", lease=2**63), None),
        (RangeRequest(b"x", b"y", limit=2**63), InvalidArgument),
        (
            TxnRequest(success=(PutRequest(b"x"), RangeRequest(b"x", b"y", limit=2**63))),
            InvalidArgument,
        ),
        (AlarmRequest(AlarmAction.ACTIVATE, -1, AlarmType.NOSPACE), InvalidArgument),
        (AlarmRequest(AlarmAction.DEACTIVATE, -1, AlarmType.NOSPACE), InvalidArgument),
        (PutRequest(b"x", lease=9, ignore_value=True), LeaseNotFound),
        (TxnRequest(success=(PutRequest(b"x", lease=9, ignore_value=True),)), KeyNotFound),
        (DeleteRangeRequest(b""), EmptyKey),
        (RangeRequest(b""), EmptyKey),
        (TxnRequest(success=(PutRequest(b"x"), PutRequest(b"x"))), DuplicateKey),
        (TxnRequest(success=(PutRequest(b"x"), PutRequest(b"y", lease=9))), LeaseNotFound),
        (CompactionRequest(0), Compacted),
        (LeaseGrantRequest(60, 7), LeaseExist),
        (LeaseRevokeRequest(9), LeaseNotFound),
        (PublishRequest(Member(99, "nobody")), MemberNotFound),
    ],
)
def test_one_that_fails_does_not_touch_its_neighbours(
    machine: Machine, request_: Proposal, error: type[ZetcdError] | None
) -> None:
    machine.ask(LeaseGrantRequest(60, 7))
    before, failed, after = machine.ask(PutRequest(b"a"), request_, PutRequest(b"b"))
    assert before == PutResponse(ResponseHeader(2, 1))
    assert isinstance(failed, ErrorBody)
    assert after == PutResponse(ResponseHeader(3, 1))
    if error is not None:
        assert (failed.number, failed.text) == (error.number, error.text)
    assert value_of(machine, b"x") is None


def test_a_revoked_lease_deletes_its_keys_in_one_revision(machine: Machine) -> None:
    machine.ask(LeaseGrantRequest(60, 7), *(PutRequest(b"%d" % n, lease=7) for n in range(3)))
    machine.ask(LeaseRevokeRequest(7))
    [changes] = machine.output.revisions
    assert [event.kv.key for event in changes.events] == [b"0", b"1", b"2"]
    assert machine.lessor.leases == {}
    machine.restart()
    assert machine.lessor.leases == {}


def test_a_lease_without_keys_ends_without_a_revision(machine: Machine) -> None:
    machine.ask(LeaseGrantRequest(60, 7))
    assert machine.ask_one(LeaseRevokeRequest(7)) == LeaseRevokeResponse(ResponseHeader(1, 1))
    assert machine.output.revisions == []


def test_leases_survive_a_restart_without_their_expiry(machine: Machine) -> None:
    machine.lessor.promote(0.0, 0.0)
    machine.ask(LeaseGrantRequest(60, 7), LeaseGrantRequest(1, -3))
    machine.apply(machine.entry(LeaseCheckpointRequest((LeaseCheckpoint(7, 12),), 1)))
    machine.restart()
    assert machine.lessor.leases[7].granted_ttl == 60
    assert machine.lessor.leases[7].remaining_ttl == 12
    assert machine.lessor.leases[-3].granted_ttl == 2
    machine.applier.check()


def test_expiry_of_another_term_is_void(machine: Machine) -> None:
    machine.ask(LeaseGrantRequest(60, 7), PutRequest(b"a", lease=7))
    machine.term = 2
    machine.apply(machine.entry(LeaseExpireRequest((7,), 1)))
    assert bytes(machine.output.results[0].results.bodies[0]) == NIL
    assert value_of(machine, b"a") == b""
    machine.apply(machine.entry(LeaseExpireRequest((7, 8), 2)))
    assert machine.output.results[0].results.errors == ()
    assert value_of(machine, b"a") is None


def test_each_expired_lease_is_a_revision_of_its_own(machine: Machine) -> None:
    machine.ask(LeaseGrantRequest(60, 7), LeaseGrantRequest(60, 8))
    machine.ask(PutRequest(b"a", lease=7), PutRequest(b"b", lease=8))
    machine.apply(machine.entry(LeaseExpireRequest((7, 8), 1)))
    assert [each.revision for each in machine.output.revisions] == [4, 5]


def test_checkpoints_of_another_term_are_void(machine: Machine) -> None:
    machine.ask(LeaseGrantRequest(60, 7))
    machine.apply(machine.entry(LeaseCheckpointRequest((LeaseCheckpoint(7, 12),), 9)))
    assert machine.lessor.leases[7].remaining_ttl == 0


def test_publishing_changes_attributes_and_nothing_else(machine: Machine) -> None:
    given = Member(3, "new", ("peer",), ("client",), is_learner=False, native_urls=("native",))
    machine.apply(machine.entry(PublishRequest(given)))
    assert machine.output.has_new_members
    assert machine.applier.members[2] == Member(
        3, "new", (), ("client",), is_learner=True, native_urls=("native",)
    )


@pytest.mark.interpreted
def test_only_errors_that_all_members_come_to_are_answered(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DiskFailed

    monkeypatch.setattr("zetcd.apply.tables.save_lease", fail)
    with pytest.raises(DiskFailed):
        machine.ask(LeaseGrantRequest(60, 7))


def test_an_error_travels_with_all_a_client_needs() -> None:
    body = decoder_of(ErrorBody).decode(error_body(LeaseNotFound("7")))
    assert body == ErrorBody(12, 5, LeaseNotFound.text, 2, "7")

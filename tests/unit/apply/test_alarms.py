"""An alarm forbids what etcd's does, on every member, until it is turned off."""

from __future__ import annotations

import pytest

from tests.unit.apply.machine import Machine
from zetcd.apply.alarms import Alarms, alarm_text, load_alarms
from zetcd.errors import Corrupt, NoSpace, ZetcdError
from zetcd.messages.client import ErrorBody
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmMember,
    AlarmRequest,
    AlarmResponse,
    AlarmType,
    Member,
    PublishRequest,
)
from zetcd.messages.kv import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    PutResponse,
    RangeRequest,
    ResponseHeader,
    TxnRequest,
)
from zetcd.messages.lease import (
    LeaseCheckpointRequest,
    LeaseExpireRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
)
from zetcd.messages.node import Proposal
from zetcd.runtime.memory_backend import MemoryBackend

PUT, READ = PutRequest(b"a", b"1"), RangeRequest(b"a")
CORRUPT, NOSPACE = AlarmType.CORRUPT, AlarmType.NOSPACE


def alarm_on(member_id: int) -> AlarmRequest:
    return AlarmRequest(AlarmAction.ACTIVATE, member_id, CORRUPT)


def alarm_off(member_id: int) -> AlarmRequest:
    return AlarmRequest(AlarmAction.DEACTIVATE, member_id, CORRUPT)


def refused(error: type[ZetcdError]) -> ErrorBody:
    assert error().is_deterministic
    return ErrorBody(error.number, error.code, error.text, error.retry)


def refusal(alarm: AlarmType, request: Proposal) -> type[ZetcdError] | None:
    try:
        Alarms([AlarmMember(7, alarm)]).check(request)
    except ZetcdError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("request_", "by_corrupt", "by_nospace"),
    [
        (PUT, Corrupt, NoSpace),
        (LeaseGrantRequest(10, 1), Corrupt, NoSpace),
        (TxnRequest((), (PUT,), ()), Corrupt, NoSpace),
        (TxnRequest((), (), (TxnRequest((), (PUT,), ()),)), Corrupt, NoSpace),
        (TxnRequest((), (READ, DeleteRangeRequest(b"a")), ()), Corrupt, None),
        (DeleteRangeRequest(b"a"), Corrupt, None),
        (CompactionRequest(1), Corrupt, None),
        (LeaseRevokeRequest(1), Corrupt, None),
        (READ, Corrupt, None),
        (LeaseExpireRequest((1,), 1), None, None),
        (LeaseCheckpointRequest((), 1), None, None),
        (PublishRequest(Member(1)), None, None),
    ],
)
def test_what_is_forbidden(
    request_: Proposal, by_corrupt: type[ZetcdError] | None, by_nospace: type[ZetcdError] | None
) -> None:
    assert refusal(CORRUPT, request_) is by_corrupt
    assert refusal(NOSPACE, request_) is by_nospace


def test_the_texts_are_etcds() -> None:
    assert Corrupt.text == "etcdserver: corrupt cluster"
    assert NoSpace.text == "etcdserver: mvcc: database space exceeded"
    assert alarm_text(AlarmMember(7, NOSPACE)) == "memberID:7 alarm:NOSPACE "
    assert alarm_text(AlarmMember(0, CORRUPT)) == "alarm:CORRUPT "


def test_alarms_are_stored_and_listed_by_kind_then_member() -> None:
    backend, alarms = MemoryBackend(), Alarms()
    with backend.write() as transaction:
        for member_id, alarm in ((9, CORRUPT), (2, CORRUPT), (2**64 - 1, NOSPACE)):
            (changed,) = alarms.activate(transaction, member_id, alarm)
            assert changed == AlarmMember(member_id, alarm)
        assert alarms.activate(transaction, 9, CORRUPT) == (AlarmMember(9, CORRUPT),)
        assert alarms.activate(transaction, 9, AlarmType.NONE) == ()
    everything = (
        AlarmMember(2**64 - 1, NOSPACE),
        AlarmMember(2, CORRUPT),
        AlarmMember(9, CORRUPT),
    )
    assert alarms.listed() == everything
    assert alarms.listed(CORRUPT) == everything[1:]
    with backend.read() as transaction:
        assert load_alarms(transaction) == everything
        assert Alarms(load_alarms(transaction)).active == alarms.active


def test_an_alarm_is_off_only_once_every_member_is() -> None:
    machine = Machine()
    machine.ask(alarm_on(1), alarm_on(2))
    assert machine.ask(alarm_off(1), PUT)[1] == refused(Corrupt)
    put_after = machine.ask(alarm_off(2), PUT)[1]
    assert isinstance(put_after, PutResponse)
    assert machine.ask(alarm_off(2)) == [AlarmResponse(ResponseHeader(2, machine.term))]
    machine.applier.check()


def test_nothing_changes_under_an_alarm_of_corruption() -> None:
    machine = Machine()
    machine.ask(PUT, LeaseGrantRequest(10, 1), PutRequest(b"leased", b"1", 1), alarm_on(0))
    output = machine.apply(
        machine.entry(PUT, DeleteRangeRequest(b"a"), LeaseExpireRequest((1,), machine.term))
    )
    assert output.revisions == []
    assert output.counts.errors == 2
    assert 1 in machine.applier.lessor.leases
    machine.ask(alarm_off(0))
    output = machine.apply(machine.entry(LeaseExpireRequest((1,), machine.term)))
    assert output.counts.events == 1


def test_alarms_survive_a_restart() -> None:
    machine = Machine()
    machine.ask(alarm_on(7))
    restarted = Machine(machine.backend)
    assert restarted.applier.alarms.listed() == (AlarmMember(7, CORRUPT),)
    answer = machine.ask(AlarmRequest(alarm=CORRUPT))
    assert answer == [AlarmResponse(ResponseHeader(1, machine.term), (AlarmMember(7, CORRUPT),))]

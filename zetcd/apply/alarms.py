"""Responsible for alarms: which are on, and which requests they forbid. Replicated like everything here.

As in etcd, an alarm of one member concerns the whole cluster: what it forbids is refused on every
member, so that all go on executing the same requests with the same results.

    NOSPACE    forbids what needs room: put, lease grant, transactions that may put
    CORRUPT    forbids every change: put, delete, transaction, compaction, lease grant and revoke,
               and a range that goes through the log; reads outside the log go on
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from zetcd.errors import Corrupt, InvalidArgument, NoSpace
from zetcd.messages.cluster import AlarmMember, AlarmRequest, AlarmType
from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.kv import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from zetcd.messages.lease import LeaseGrantRequest, LeaseRevokeRequest
from zetcd.messages.node import Proposal
from zetcd.mvcc.backend import ReadTransaction, Table, WriteTransaction
from zetcd.scalars import NodeID

_KEY: Final = struct.Struct(">IQ")
_DECODER: Final = decoder_of(AlarmMember)

_FORBIDDEN_BY_CORRUPT: Final = frozenset(
    {
        PutRequest,
        DeleteRangeRequest,
        TxnRequest,
        CompactionRequest,
        RangeRequest,
        LeaseGrantRequest,
        LeaseRevokeRequest,
    }
)


#: Member ids are unsigned 64-bit numbers.
_MEMBER_ID_MAX: Final = 2**64 - 1


def check_alarm(request: AlarmRequest) -> None:
    """Check a request that turns an alarm on or off; gateways and the applier do.

    Raises:
        InvalidArgument: the member id is none.
    """
    if not 0 <= request.member_id <= _MEMBER_ID_MAX:
        raise InvalidArgument(
            field="member_id", value=request.member_id, limit="an unsigned 64-bit number"
        )


class _Key(NamedTuple):
    """Names an alarm; sorts by kind, then member."""

    alarm: AlarmType
    member_id: NodeID


class Alarms:
    """The alarms that are on.

    Invariant: ``active`` is what table ALARM holds, but for the open transaction.
    """

    __slots__ = ("active",)

    def __init__(self, alarms: Iterable[AlarmMember] = ()) -> None:
        """Start with what the table holds."""
        #: Empty almost always: the one look that every request costs.
        self.active: dict[_Key, AlarmMember] = {
            _Key(each.alarm, each.member_id): each for each in alarms
        }

    @property
    def forbids_revoking(self) -> bool:
        """Whether leases must not end."""
        return bool(self.active) and self._is_on(AlarmType.CORRUPT)

    def check(self, request: Proposal) -> None:
        """Refuse what an alarm forbids.

        Raises:
            Corrupt, NoSpace: as in etcd.
        """
        if type(request) in _FORBIDDEN_BY_CORRUPT and self._is_on(AlarmType.CORRUPT):
            raise Corrupt
        if _needs_room(request) and self._is_on(AlarmType.NOSPACE):
            raise NoSpace

    def listed(self, alarm: AlarmType = AlarmType.NONE) -> tuple[AlarmMember, ...]:
        """Return the alarms of one kind (NONE: of all), sorted by kind, then member."""
        keys = sorted(key for key in self.active if alarm in (AlarmType.NONE, key.alarm))
        return tuple(self.active[key] for key in keys)

    def activate(
        self, transaction: WriteTransaction, member_id: NodeID, alarm: AlarmType
    ) -> tuple[AlarmMember, ...]:
        """Turn an alarm on; return it, also if it was on before. NONE is no alarm."""
        if alarm is AlarmType.NONE:
            return ()
        key, member = _Key(alarm, member_id), AlarmMember(member_id, alarm)
        if key not in self.active:
            transaction.table(Table.ALARM).put(_KEY.pack(*key), encode(member))
            self.active[key] = member
        return (member,)

    def deactivate(
        self, transaction: WriteTransaction, member_id: NodeID, alarm: AlarmType
    ) -> tuple[AlarmMember, ...]:
        """Turn an alarm off; return it, or nothing if it was not on."""
        key = _Key(alarm, member_id)
        member = self.active.pop(key, None)
        if member is None:
            return ()
        transaction.table(Table.ALARM).delete(_KEY.pack(*key))
        return (member,)

    def _is_on(self, alarm: AlarmType) -> bool:
        return any(key.alarm is alarm for key in self.active)


def _needs_room(request: Proposal) -> bool:
    """Return whether a request may make the store grow."""
    if isinstance(request, TxnRequest):
        return any(
            isinstance(each, PutRequest | TxnRequest) and _needs_room(each)
            for each in request.success + request.failure
        )
    return isinstance(request, PutRequest | LeaseGrantRequest)


def load_alarms(transaction: ReadTransaction | WriteTransaction) -> tuple[AlarmMember, ...]:
    """Return the alarms that are on, sorted by kind, then member."""
    stored = transaction.table(Table.ALARM).scan(b"", None)
    return tuple(_DECODER.decode(packed) for _, packed in stored)


def alarm_text(alarm: AlarmMember) -> str:
    """Return an alarm as etcd shows it in a member's status, with its space at the end."""
    member = f"memberID:{alarm.member_id} " if alarm.member_id else ""
    return f"{member}alarm:{alarm.alarm.name} "

"""Responsible for what is stored beside keys: leases, members, membership, identity."""

from __future__ import annotations

import struct
from typing import Final

from msgspec.structs import replace

from zetcd.errors import DataDirMismatch
from zetcd.lease import Lease
from zetcd.messages.base import Message
from zetcd.messages.cluster import Member
from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.raft import ConfState
from zetcd.mvcc.backend import Backend, ReadTransaction, Table, WriteTransaction
from zetcd.mvcc.lease_key import pack_lease, unpack_lease
from zetcd.scalars import NodeID

#: Version of the tables; a store with another one is refused.
SCHEMA_VERSION: Final = 1

_CONF_STATE_KEY: Final = b"conf_state"
_IDENTITY_KEY: Final = b"identity"
_LEASE: Final = struct.Struct(">QQ")
_MEMBER_KEY: Final = struct.Struct(">Q")
#: Keys of META that hold what a removed member was, one for each, by its id in sixteen digits.
_REMOVED_PREFIX: Final = b"removed/"
_REMOVED_STOP: Final = b"removed0"


class Identity(Message, frozen=True):
    """Whose store this is."""

    cluster_id: int
    member_id: NodeID
    schema_version: int = SCHEMA_VERSION


_MEMBER_DECODER: Final = decoder_of(Member)
_CONF_STATE_DECODER: Final = decoder_of(ConfState)
_IDENTITY_DECODER: Final = decoder_of(Identity)


def initialise(backend: Backend, identity: Identity, members: tuple[Member, ...]) -> bool:
    """Make sure that the store is this member's; fill an empty one with the first members.

    Args:
        backend: The tables.
        identity: Of this member.
        members: Members of the cluster at index 0; the voters are those that are no learners.

    Returns:
        Whether the store was empty.

    Raises:
        DataDirMismatch: the store is of another cluster, member or version.
    """
    with backend.write() as transaction:
        meta = transaction.table(Table.META)
        stored = meta.get(_IDENTITY_KEY)
        if stored is not None:
            _check_identity(_IDENTITY_DECODER.decode(stored), identity)
            return False
        meta.put(_IDENTITY_KEY, encode(identity))
        for member in members:
            save_member(transaction, member)
        save_conf_state(transaction, conf_state_of(members))
        return True


def adopt(backend: Backend, identity: Identity) -> None:
    """Make a store this member's that was restored from a checkpoint, perhaps of another member.

    Raises:
        DataDirMismatch: it is empty, or of another cluster or version.
    """
    with backend.write() as transaction:
        meta = transaction.table(Table.META)
        stored = meta.get(_IDENTITY_KEY)
        if stored is None:
            raise DataDirMismatch("the store does not say whose it is")
        given = _IDENTITY_DECODER.decode(stored)
        _check_identity(replace(given, member_id=identity.member_id), identity)
        meta.put(_IDENTITY_KEY, encode(identity))


def conf_state_of(members: tuple[Member, ...]) -> ConfState:
    """Return the membership that a member table stands for."""
    return ConfState(
        voters=tuple(sorted(member.id for member in members if not member.is_learner)),
        learners=tuple(sorted(member.id for member in members if member.is_learner)),
    )


def load_members(transaction: ReadTransaction | WriteTransaction) -> dict[NodeID, Member]:
    """Return the members by id, ascending."""
    members = transaction.table(Table.MEMBER)
    return {
        _MEMBER_KEY.unpack(key)[0]: _MEMBER_DECODER.decode(packed)
        for key, packed in members.scan(b"", None)
    }


def save_member(transaction: WriteTransaction, member: Member) -> None:
    """Store one member."""
    transaction.table(Table.MEMBER).put(_MEMBER_KEY.pack(member.id), encode(member))


def delete_member(transaction: WriteTransaction, member_id: NodeID) -> None:
    """Forget one member."""
    transaction.table(Table.MEMBER).delete(_MEMBER_KEY.pack(member_id))


def load_removed(transaction: ReadTransaction | WriteTransaction) -> dict[NodeID, Member]:
    """Return the members that were removed by id, ascending."""
    meta = transaction.table(Table.META)
    removed = [
        _MEMBER_DECODER.decode(packed) for _, packed in meta.scan(_REMOVED_PREFIX, _REMOVED_STOP)
    ]
    return {member.id: member for member in removed}


def save_removed(transaction: WriteTransaction, member: Member) -> None:
    """Remember for ever that a member was removed."""
    transaction.table(Table.META).put(_removed_key(member.id), encode(member))


def delete_removed(transaction: WriteTransaction, member_id: NodeID) -> None:
    """Forget that a member was removed: it was added again."""
    transaction.table(Table.META).delete(_removed_key(member_id))


def _removed_key(member_id: NodeID) -> bytes:
    return b"%s%016x" % (_REMOVED_PREFIX, member_id)


def load_conf_state(transaction: ReadTransaction | WriteTransaction) -> ConfState:
    """Return the membership at the consistent index."""
    packed = transaction.table(Table.META).get(_CONF_STATE_KEY)
    return ConfState() if packed is None else _CONF_STATE_DECODER.decode(packed)


def save_conf_state(transaction: WriteTransaction, conf_state: ConfState) -> None:
    """Store the membership."""
    transaction.table(Table.META).put(_CONF_STATE_KEY, encode(conf_state))


def load_leases(transaction: ReadTransaction | WriteTransaction) -> list[Lease]:
    """Return all leases; their keys are not read."""
    leases = transaction.table(Table.LEASE)
    return [
        Lease(unpack_lease(key), *_LEASE.unpack(packed)) for key, packed in leases.scan(b"", None)
    ]


def save_lease(transaction: WriteTransaction, lease: Lease) -> None:
    """Store one lease."""
    packed = _LEASE.pack(lease.granted_ttl, lease.remaining_ttl)
    transaction.table(Table.LEASE).put(pack_lease(lease.id), packed)


def _check_identity(stored: Identity, wanted: Identity) -> None:
    """Refuse a store that is not this member's."""
    if stored.schema_version != wanted.schema_version:
        raise DataDirMismatch(
            f"store has schema version {stored.schema_version}, this is {wanted.schema_version}"
        )
    if stored.cluster_id != wanted.cluster_id:
        raise DataDirMismatch(
            f"store is of cluster {stored.cluster_id:x}, this is {wanted.cluster_id:x}"
        )
    if stored.member_id != wanted.member_id:
        raise DataDirMismatch(
            f"store is of member {stored.member_id:x}, this is {wanted.member_id:x}"
        )

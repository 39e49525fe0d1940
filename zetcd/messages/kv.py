"""Responsible for the key-value API: etcd's KV requests and responses as typed arrays.

Fields are in the order of etcd's proto fields and have its defaults, so that an etcd engineer finds
each of them in one guess. A tag in 1..63 is a request, 64..127 its response.
"""

from __future__ import annotations

from enum import IntEnum

from zetcd.messages.base import Message
from zetcd.scalars import LeaseID, Revision, Term


class SortOrder(IntEnum):
    """Order of a range; NONE with a target other than KEY behaves as ASCEND."""

    NONE = 0
    ASCEND = 1
    DESCEND = 2


class SortTarget(IntEnum):
    """Field that a range is sorted by."""

    KEY = 0
    VERSION = 1
    CREATE = 2
    MOD = 3
    VALUE = 4


class CompareResult(IntEnum):
    """Relation that a compare asks for."""

    EQUAL = 0
    GREATER = 1
    LESS = 2
    NOT_EQUAL = 3


class CompareTarget(IntEnum):
    """Field that a compare looks at."""

    VERSION = 0
    CREATE = 1
    MOD = 2
    VALUE = 3
    LEASE = 4


class KeyValue(Message, frozen=True):
    """A key at some revision."""

    key: bytes
    create_revision: Revision = 0
    mod_revision: Revision = 0
    #: Number of puts since creation, from 1; 0 in a tombstone.
    version: int = 0
    value: bytes = b""
    lease: LeaseID = 0


class EventType(IntEnum):
    """What happened to a key."""

    PUT = 0
    DELETE = 1


class Event(Message, frozen=True):
    """One change of one key; a DELETE's ``kv`` has only key and mod_revision."""

    type: EventType
    kv: KeyValue
    prev_kv: KeyValue | None = None


class ResponseHeader(Message, frozen=True):
    """Where the store stood. The cluster id and the member id are those of the session's WELCOME."""

    revision: Revision
    raft_term: Term


class RangeRequest(Message, frozen=True, tag=1):
    """Reads a key or the range [key, range_end); etcd reference KV.Range."""

    key: bytes
    #: b"" = one key; b"\0" = all keys >= key.
    range_end: bytes = b""
    #: Keys returned at most; 0 (or less) = all.
    limit: int = 0
    #: 0 (or less) = current.
    revision: Revision = 0
    sort_order: SortOrder = SortOrder.NONE
    sort_target: SortTarget = SortTarget.KEY
    serializable: bool = False
    keys_only: bool = False
    count_only: bool = False
    #: Inclusive bounds, 0 = off.
    min_mod_revision: Revision = 0
    max_mod_revision: Revision = 0
    min_create_revision: Revision = 0
    max_create_revision: Revision = 0


class RangeResponse(Message, frozen=True, tag=64):
    """Answers `RangeRequest`."""

    header: ResponseHeader
    kvs: tuple[KeyValue, ...] = ()
    #: The limit cut the result.
    more: bool = False
    #: Keys in the range, ignoring limit and revision filters.
    count: int = 0


class PutRequest(Message, frozen=True, tag=2):
    """Writes one key; etcd reference KV.Put."""

    key: bytes
    value: bytes = b""
    lease: LeaseID = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class PutResponse(Message, frozen=True, tag=65):
    """Answers `PutRequest`."""

    header: ResponseHeader
    prev_kv: KeyValue | None = None


class DeleteRangeRequest(Message, frozen=True, tag=3):
    """Deletes a key or a range; etcd reference KV.DeleteRange."""

    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


class DeleteRangeResponse(Message, frozen=True, tag=66):
    """Answers `DeleteRangeRequest`."""

    header: ResponseHeader
    deleted: int = 0
    prev_kvs: tuple[KeyValue, ...] = ()


class Compare(Message, frozen=True):
    """One condition of a transaction."""

    result: CompareResult
    target: CompareTarget
    key: bytes
    #: bytes for VALUE, an integer for every other target.
    operand: int | bytes = 0
    #: The condition must hold for every key in the range.
    range_end: bytes = b""


class TxnRequest(Message, frozen=True, tag=4):
    """Compares, then executes one of two lists of operations atomically; etcd reference KV.Txn."""

    compare: tuple[Compare, ...] = ()
    success: tuple[RequestOp, ...] = ()
    failure: tuple[RequestOp, ...] = ()


class TxnResponse(Message, frozen=True, tag=67):
    """Answers `TxnRequest`; one response for each operation of the executed branch."""

    header: ResponseHeader
    succeeded: bool = False
    responses: tuple[ResponseOp, ...] = ()


class CompactionRequest(Message, frozen=True, tag=5):
    """Drops the history before ``revision``; etcd reference KV.Compact."""

    revision: Revision
    #: Wait until the removal is done.
    physical: bool = False


class CompactionResponse(Message, frozen=True, tag=68):
    """Answers `CompactionRequest`."""

    header: ResponseHeader


RequestOp = RangeRequest | PutRequest | DeleteRangeRequest | TxnRequest
ResponseOp = RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse

"""Responsible for refusing requests that no state of the store could accept, before they cost much.

The rules themselves are `zetcd.mvcc.validation`'s; here they are applied to whole requests,
together with the limits that only a member's configuration knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from zetcd.apply.alarms import check_alarm
from zetcd.errors import InvalidArgument, LeaseTTLTooLarge
from zetcd.messages.base import Message
from zetcd.messages.cluster import HashKVRequest
from zetcd.messages.kv import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RequestOp,
    TxnRequest,
)
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
)
from zetcd.messages.watch import WatchCancelRequest, WatchCreateRequest, WatchCredit
from zetcd.mvcc.validation import (
    INT64_MAX,
    check_delete_range,
    check_lease_id,
    check_put,
    check_range,
    check_txn,
    is_read_only,
    is_serializable,
    newest_revision,
)

#: Bytes a put costs the quota beside its key and value, as in etcd.
PUT_COST_BYTES: Final = 256
#: Bytes a lease costs the quota, as in etcd.
LEASE_COST_BYTES: Final = 64
#: Longest TTL in seconds, as in etcd.
LEASE_TTL_MAX: Final = 9_000_000_000


def _check_revision(field: str, revision: int) -> None:
    if revision > INT64_MAX:
        raise InvalidArgument(field=field, value=revision, limit="a signed 64-bit number")


def check_lease_grant(request: LeaseGrantRequest) -> None:
    """Check a grant; a TTL below the minimum is not an error, it is raised.

    Raises:
        LeaseTTLTooLarge: as in etcd.
        InvalidArgument: the id is not a positive int63.
    """
    if request.ttl > LEASE_TTL_MAX:
        raise LeaseTTLTooLarge(f"{request.ttl} s, at most {LEASE_TTL_MAX} s are allowed")
    if not 0 <= request.id <= INT64_MAX:
        raise InvalidArgument(field="id", value=request.id, limit=f"in 0..{INT64_MAX}")


def _check_compaction(request: Message) -> None:
    _check_revision("revision", cast(CompactionRequest, request).revision)


def _check_hash_kv(request: Message) -> None:
    _check_revision("revision", cast(HashKVRequest, request).revision)


def _check_delete_range(request: Message) -> None:
    check_delete_range(cast(DeleteRangeRequest, request))


def _check_lease(request: Message) -> None:
    check_lease_id(cast(LeaseRevokeRequest, request).id)


def _check_watch_create(request: Message) -> None:
    request = cast(WatchCreateRequest, request)
    _check_revision("start_revision", request.start_revision)
    _check_revision("watch_id", request.watch_id)


def _check_watch_cancel(request: Message) -> None:
    _check_revision("watch_id", cast(WatchCancelRequest, request).watch_id)


def _check_credit(request: Message) -> None:
    request = cast(WatchCredit, request)
    for field, value in (("messages", request.messages), ("bytes", request.bytes)):
        if not 0 <= value <= INT64_MAX:
            raise InvalidArgument(field=field, value=value, limit="not negative")


_CHECKS: Final[dict[type[Message], Callable[[Message], None]]] = {
    DeleteRangeRequest: _check_delete_range,
    CompactionRequest: _check_compaction,
    LeaseRevokeRequest: _check_lease,
    LeaseKeepAliveRequest: _check_lease,
    LeaseTimeToLiveRequest: _check_lease,
    HashKVRequest: _check_hash_kv,
    WatchCreateRequest: _check_watch_create,
    WatchCancelRequest: _check_watch_cancel,
    WatchCredit: _check_credit,
}


def check_request(request: Message) -> None:
    """Check a request that has no check of its own here; most need none.

    Raises:
        ZetcdError: the request is wrong by itself.
    """
    check = _CHECKS.get(type(request))
    if check is not None:
        check(request)


def txn_cost_bytes(request: TxnRequest) -> int:
    """Return what a transaction costs the quota at most: its dearer branch, as in etcd."""
    return max(_branch_cost_bytes(request.success), _branch_cost_bytes(request.failure))


def _branch_cost_bytes(operations: tuple[RequestOp, ...]) -> int:
    cost = 0
    for operation in operations:
        if isinstance(operation, PutRequest):
            cost += PUT_COST_BYTES + len(operation.key) + len(operation.value)
        elif isinstance(operation, TxnRequest):
            cost += txn_cost_bytes(operation)
    return cost


__all__ = [
    "INT64_MAX",
    "LEASE_COST_BYTES",
    "PUT_COST_BYTES",
    "check_alarm",
    "check_lease_grant",
    "check_put",
    "check_range",
    "check_request",
    "check_txn",
    "is_read_only",
    "is_serializable",
    "newest_revision",
    "txn_cost_bytes",
]

"""Responsible for turning protobuf requests into ours. Pure; the checks come after.

Only what our types cannot express is refused here: values of enums that etcd does not have, and
operations without content.
"""

from __future__ import annotations

from typing import Final, TypeVar

from zetcd.errors import InvalidArgument, InvalidSortOption, KeyNotFound
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmRequest,
    AlarmType,
    DefragmentRequest,
    HashKVRequest,
    MemberAddRequest,
    MemberListRequest,
    MemberPromoteRequest,
    MemberRemoveRequest,
    MemberUpdateRequest,
    MoveLeaderRequest,
    StatusRequest,
)
from zetcd.messages.kv import (
    CompactionRequest,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    SortOrder,
    SortTarget,
    TxnRequest,
)
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseLeasesRequest,
    LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
)
from zetcd.messages.watch import WatchCreateRequest, WatchFilter

# A look in a dictionary costs a fifth of calling the enum.
_SORT_ORDERS: Final = {int(each): each for each in SortOrder}
_SORT_TARGETS: Final = {int(each): each for each in SortTarget}
_RESULTS: Final = {int(each): each for each in CompareResult}
_TARGETS: Final = {int(each): each for each in CompareTarget}
_ACTIONS: Final = {int(each): each for each in AlarmAction}
_ALARMS: Final = {int(each): each for each in AlarmType}
_FILTERS: Final = {int(each): each for each in WatchFilter}

_FIRST_KEY: Final = b"\0"

#: Tags of the first two fields where both are octets: keys and values.
_FIRST_TAG: Final = 0x0A
_SECOND_TAG: Final = 0x12
#: What follows the key of a serializable range.
_SERIALIZABLE: Final = b"\x38\x01"
#: Numbers below it have one octet.
_MORE: Final = 0x80

E = TypeVar("E")


def _member(members: dict[int, E], field: str, value: int) -> E:
    member = members.get(value)
    if member is None:
        raise InvalidArgument(field=field, value=value, limit=f"one of {sorted(members)}")
    return member


def read_range(octets: bytes) -> RangeRequest:
    """Return the range of a call; most have nothing but a key, and are read by hand in a fifth of the time.

    Raises:
        DecodeError: it is no protobuf.
        InvalidSortOption: see `range_request`.
    """
    if len(octets) >= 2 and octets[0] == _FIRST_TAG and octets[1] < _MORE:
        end = 2 + octets[1]
        if len(octets) == end:
            return RangeRequest(octets[2:])
        if octets[end:] == _SERIALIZABLE:
            return RangeRequest(octets[2:end], serializable=True)
    return range_request(pb.RangeRequest.FromString(octets))


def read_put(octets: bytes) -> PutRequest:
    """Return the put of a call; most have nothing but key and value, and are read by hand.

    Raises:
        DecodeError: it is no protobuf.
    """
    return _plain_put(octets) or put_request(pb.PutRequest.FromString(octets))


def _plain_put(octets: bytes) -> PutRequest | None:
    """Return a put of a short key and a value of less than 16 KiB, None if it is anything else."""
    size = len(octets)
    if size < 2 or octets[0] != _FIRST_TAG or octets[1] >= _MORE:
        return None
    key_end = 2 + octets[1]
    start = key_end + 2
    if size < start or octets[key_end] != _SECOND_TAG:
        return None
    length = octets[start - 1]
    if length >= _MORE:
        if size == start or octets[start] >= _MORE:
            return None
        length += (octets[start] - 1) * _MORE
        start += 1
    return PutRequest(octets[2:key_end], octets[start:]) if size == start + length else None


def range_request(message: pb.RangeRequest) -> RangeRequest:
    """Return ours.

    Raises:
        InvalidSortOption: order or target are not etcd's.
    """
    order = _SORT_ORDERS.get(message.sort_order)
    target = _SORT_TARGETS.get(message.sort_target)
    if order is None or target is None:
        raise InvalidSortOption
    return RangeRequest(
        message.key,
        message.range_end,
        message.limit,
        message.revision,
        order,
        target,
        message.serializable,
        message.keys_only,
        message.count_only,
        message.min_mod_revision,
        message.max_mod_revision,
        message.min_create_revision,
        message.max_create_revision,
    )


def put_request(message: pb.PutRequest) -> PutRequest:
    """Return ours."""
    return PutRequest(
        message.key,
        message.value,
        message.lease,
        message.prev_kv,
        message.ignore_value,
        message.ignore_lease,
    )


def delete_range_request(message: pb.DeleteRangeRequest) -> DeleteRangeRequest:
    """Return ours."""
    return DeleteRangeRequest(message.key, message.range_end, message.prev_kv)


def txn_request(message: pb.TxnRequest) -> TxnRequest:
    """Return ours, with everything nested in it.

    Raises:
        KeyNotFound: an operation is empty (etcd's text for it).
        InvalidSortOption, InvalidArgument: a value of an enum is not etcd's.
    """
    return TxnRequest(
        tuple([_compare(each) for each in message.compare]),
        tuple([_operation(each) for each in message.success]),
        tuple([_operation(each) for each in message.failure]),
    )


def _compare(message: pb.Compare) -> Compare:
    """Return ours; as in etcd the target decides which operand counts, the others are ignored."""
    target = _member(_TARGETS, "target", message.target)
    operand: int | bytes
    if target is CompareTarget.VALUE:
        operand = message.value
    elif target is CompareTarget.VERSION:
        operand = message.version
    elif target is CompareTarget.CREATE:
        operand = message.create_revision
    elif target is CompareTarget.MOD:
        operand = message.mod_revision
    else:
        operand = message.lease
    result = _member(_RESULTS, "result", message.result)
    return Compare(result, target, message.key, operand, message.range_end)


def _operation(message: pb.RequestOp) -> RequestOp:
    kind = message.WhichOneof("request")
    if kind == "request_put":
        return put_request(message.request_put)
    if kind == "request_range":
        return range_request(message.request_range)
    if kind == "request_delete_range":
        return delete_range_request(message.request_delete_range)
    if kind == "request_txn":
        return txn_request(message.request_txn)
    raise KeyNotFound


def compaction_request(message: pb.CompactionRequest) -> CompactionRequest:
    """Return ours."""
    return CompactionRequest(message.revision, message.physical)


def lease_grant_request(message: pb.LeaseGrantRequest) -> LeaseGrantRequest:
    """Return ours."""
    return LeaseGrantRequest(message.TTL, message.ID)


def lease_revoke_request(message: pb.LeaseRevokeRequest) -> LeaseRevokeRequest:
    """Return ours."""
    return LeaseRevokeRequest(message.ID)


def lease_keep_alive_request(message: pb.LeaseKeepAliveRequest) -> LeaseKeepAliveRequest:
    """Return ours."""
    return LeaseKeepAliveRequest(message.ID)


def lease_time_to_live_request(message: pb.LeaseTimeToLiveRequest) -> LeaseTimeToLiveRequest:
    """Return ours."""
    return LeaseTimeToLiveRequest(message.ID, message.keys)


def lease_leases_request(message: pb.LeaseLeasesRequest) -> LeaseLeasesRequest:
    """Return ours."""
    del message
    return LeaseLeasesRequest()


def member_list_request(message: pb.MemberListRequest) -> MemberListRequest:
    """Return ours."""
    return MemberListRequest(message.linearizable)


def member_add_request(message: pb.MemberAddRequest) -> MemberAddRequest:
    """Return ours."""
    return MemberAddRequest(tuple(message.peerURLs), message.isLearner)


def member_remove_request(message: pb.MemberRemoveRequest) -> MemberRemoveRequest:
    """Return ours."""
    return MemberRemoveRequest(message.ID)


def member_update_request(message: pb.MemberUpdateRequest) -> MemberUpdateRequest:
    """Return ours."""
    return MemberUpdateRequest(message.ID, tuple(message.peerURLs))


def member_promote_request(message: pb.MemberPromoteRequest) -> MemberPromoteRequest:
    """Return ours."""
    return MemberPromoteRequest(message.ID)


def status_request(message: pb.StatusRequest) -> StatusRequest:
    """Return ours."""
    del message
    return StatusRequest()


def hash_request(message: pb.HashRequest) -> HashKVRequest:
    """Return a request for the hash of the history, which stands for that of the whole store.

    etcd hashes its file for tests that compare members; here the history says more.
    """
    del message
    return HashKVRequest()


def hash_kv_request(message: pb.HashKVRequest) -> HashKVRequest:
    """Return ours."""
    return HashKVRequest(message.revision)


def move_leader_request(message: pb.MoveLeaderRequest) -> MoveLeaderRequest:
    """Return ours."""
    return MoveLeaderRequest(message.targetID)


def defragment_request(message: pb.DefragmentRequest) -> DefragmentRequest:
    """Return ours."""
    del message
    return DefragmentRequest()


def alarm_request(message: pb.AlarmRequest) -> AlarmRequest:
    """Return ours.

    Raises:
        InvalidArgument: the action or the kind of alarm is not etcd's.
    """
    return AlarmRequest(
        _member(_ACTIONS, "action", message.action),
        message.memberID,
        _member(_ALARMS, "alarm", message.alarm),
    )


def watch_create_request(message: pb.WatchCreateRequest, stream_id: int) -> WatchCreateRequest:
    """Return ours; a filter that etcd does not have filters nothing, as there.

    No key is the first possible key, so that no key and no end are that one key and not everything.
    """
    return WatchCreateRequest(
        stream_id,
        message.key or _FIRST_KEY,
        message.range_end,
        message.start_revision,
        message.progress_notify,
        tuple([_FILTERS[each] for each in message.filters if each in _FILTERS]),
        message.prev_kv,
        message.watch_id,
        message.fragment,
    )

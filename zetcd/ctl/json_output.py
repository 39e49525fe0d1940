"""Responsible for the format "json": the encoding that etcdctl's JSON has, name for name.

Bytes are base64, numbers are plain JSON numbers, zero values are left out where etcd leaves them out.
Answers about leases and watches are shaped by etcd's Go client, not by its proto files, and so here.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, cast

from zetcd.ctl.exits import CtlError, Exit
from zetcd.ctl.go_text import duration_text
from zetcd.ctl.printer import (
    HashList,
    HealthList,
    MemberAdded,
    MemberChange,
    Origin,
    Printable,
    Revoked,
    StatusList,
    TimeToLive,
)
from zetcd.messages.cluster import (
    AlarmResponse,
    HashKVResponse,
    Member,
    MemberListResponse,
    StatusResponse,
)
from zetcd.messages.kv import (
    CompactionResponse,
    DeleteRangeResponse,
    Event,
    KeyValue,
    PutResponse,
    RangeResponse,
    ResponseHeader,
    ResponseOp,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
)
from zetcd.messages.watch import WatchResponse

Json: TypeAlias = "Mapping[str, Json] | list[Json] | str | int | bool | None"
Fields: TypeAlias = "dict[str, Json]"


def render(what: Printable, origin: Origin, is_hex: bool) -> bytes:
    """Return one line of JSON."""
    if isinstance(what, MemberListResponse):
        shape: Json = _members(what.header, what.members, origin, is_hex)
    elif isinstance(what, MemberChange):
        shape = _members(what.response.header, what.response.members, origin, is_hex)
    elif isinstance(what, MemberAdded):
        members = _members(what.response.header, what.response.members, origin, is_hex)
        member = _member(what.response.member, is_hex)
        shape = {"header": members["header"], "member": member, "members": members["members"]}
    else:
        shaper = _SHAPERS.get(type(what))
        if shaper is None:
            raise CtlError("json is not supported as output format", Exit.BAD_FEATURE)
        shape = shaper(what, origin)
    text = json.dumps(shape, separators=(",", ":"), ensure_ascii=False)
    # As Go writes it, so that the text can stand in a page.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode() + b"\n"


def _without_zeros(**fields: Json) -> Fields:
    return {name: value for name, value in fields.items() if value not in (0, "", False, None, [])}


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


def _header(header: ResponseHeader, origin: Origin) -> Fields:
    return _without_zeros(
        cluster_id=origin.cluster_id,
        member_id=origin.member_id,
        revision=header.revision,
        raft_term=header.raft_term,
    )


def _kv(kv: KeyValue) -> Fields:
    return _without_zeros(
        key=_base64(kv.key),
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        value=_base64(kv.value),
        lease=kv.lease,
    )


def _headed(header: ResponseHeader, origin: Origin | None, **fields: Json) -> Fields:
    """Return fields behind a header; ``origin`` None: nested in a transaction."""
    shown: Fields = (
        _without_zeros(revision=header.revision) if origin is None else _header(header, origin)
    )
    return {"header": shown, **_without_zeros(**fields)}


def _range(response: RangeResponse, origin: Origin | None) -> Fields:
    return _headed(
        response.header,
        origin,
        kvs=[_kv(kv) for kv in response.kvs],
        more=response.more,
        count=response.count,
    )


def _put(response: PutResponse, origin: Origin | None) -> Fields:
    prev_kv = _kv(response.prev_kv) if response.prev_kv is not None else None
    return _headed(response.header, origin, prev_kv=prev_kv)


def _delete(response: DeleteRangeResponse, origin: Origin | None) -> Fields:
    prev_kvs: list[Json] = [_kv(kv) for kv in response.prev_kvs]
    return _headed(response.header, origin, deleted=response.deleted, prev_kvs=prev_kvs)


def _txn(response: TxnResponse, origin: Origin | None) -> Fields:
    responses: list[Json] = [{"Response": _operation(each)} for each in response.responses]
    return _headed(response.header, origin, succeeded=response.succeeded, responses=responses)


def _operation(response: ResponseOp) -> Fields:
    if isinstance(response, RangeResponse):
        return {"response_range": _range(response, None)}
    if isinstance(response, PutResponse):
        return {"response_put": _put(response, None)}
    if isinstance(response, DeleteRangeResponse):
        return {"response_delete_range": _delete(response, None)}
    return {"response_txn": _txn(response, None)}


def _event(event: Event) -> Fields:
    fields = _without_zeros(type=int(event.type))
    fields["kv"] = _kv(event.kv)
    if event.prev_kv is not None:
        fields["prev_kv"] = _kv(event.prev_kv)
    return fields


def _watch(response: WatchResponse, origin: Origin) -> Fields:
    return {
        "Header": _header(response.header, origin),
        "Events": [_event(event) for event in response.events],
        "CompactRevision": response.compact_revision,
        "Canceled": response.canceled,
        "Created": response.created,
    }


def _grant(response: LeaseGrantResponse, origin: Origin) -> Fields:
    header = _header(response.header, origin)
    return {**header, "ID": response.id, "TTL": response.ttl, "Error": ""}


def _keep_alive(response: LeaseKeepAliveResponse, origin: Origin) -> Fields:
    return {**_header(response.header, origin), "ID": response.id, "TTL": response.ttl}


def _time_to_live(what: TimeToLive, origin: Origin) -> Fields:
    response = what.response
    return {
        **_header(response.header, origin),
        "id": response.id,
        "ttl": response.ttl,
        "granted-ttl": response.granted_ttl,
        "keys": [_base64(key) for key in response.keys] if what.has_keys else None,
    }


def _leases(response: LeaseLeasesResponse, origin: Origin) -> Fields:
    leases: list[Json] = [{"id": each} for each in response.leases]
    return {**_header(response.header, origin), "leases": leases}


def _members(
    of_response: ResponseHeader, listed: Sequence[Member], origin: Origin, is_hex: bool
) -> Fields:
    header = _header(of_response, origin)
    # Headers about the cluster carry no revision in etcd.
    header.pop("revision", None)
    if is_hex:
        header["cluster_id"] = f"{origin.cluster_id:x}"
        header["member_id"] = f"{origin.member_id:x}"
    members: list[Json] = [_member(member, is_hex) for member in listed]
    return {"header": header, "members": members}


def _member(member: Member, is_hex: bool) -> Fields:
    return _without_zeros(
        ID=f"{member.id:x}" if is_hex else member.id,
        name=member.name,
        peerURLs=list(member.peer_urls),
        clientURLs=list(member.client_urls),
        isLearner=member.is_learner,
        nativeURLs=list(member.native_urls),
    )


def _statuses(statuses: StatusList, origin: Origin) -> list[Json]:
    del origin
    return [
        {"Endpoint": each.endpoint, "Status": _status(each.response, each.origin)}
        for each in statuses.items
    ]


def _status(response: StatusResponse, origin: Origin) -> Fields:
    return _headed(
        response.header,
        origin,
        version=response.version,
        dbSize=response.db_size,
        leader=response.leader,
        raftIndex=response.raft_index,
        raftTerm=response.raft_term,
        raftAppliedIndex=response.raft_applied_index,
        errors=list(response.errors),
        dbSizeInUse=response.db_size_in_use,
        isLearner=response.is_learner,
        storageVersion=response.storage_version,
        dbSizeQuota=response.db_size_quota,
    )


def _hashes(hashes: HashList, origin: Origin) -> list[Json]:
    del origin
    return [
        {"Endpoint": each.endpoint, "HashKV": _hash(each.response, each.origin)}
        for each in hashes.items
    ]


def _hash(response: HashKVResponse, origin: Origin) -> Fields:
    return _headed(
        response.header,
        origin,
        hash=response.hash,
        compact_revision=response.compact_revision,
        hash_revision=response.hash_revision,
    )


def _alarms(response: AlarmResponse, origin: Origin) -> Fields:
    alarms: list[Json] = [
        _without_zeros(memberID=each.member_id, alarm=int(each.alarm)) for each in response.alarms
    ]
    return _headed(response.header, origin, alarms=alarms)


def _health(health: HealthList, origin: Origin) -> list[Json]:
    del origin
    return [
        {
            "endpoint": each.endpoint,
            "health": each.is_healthy,
            "took": duration_text(each.took_seconds),
            **_without_zeros(error=each.error),
        }
        for each in health.items
    ]


_Shaper = Callable[[Printable, Origin], Json]
_SHAPERS: Final = cast(
    "dict[type, _Shaper]",
    {
        AlarmResponse: _alarms,
        CompactionResponse: lambda response, origin: _headed(response.header, origin),
        DeleteRangeResponse: _delete,
        HashList: _hashes,
        HealthList: _health,
        LeaseGrantResponse: _grant,
        LeaseKeepAliveResponse: _keep_alive,
        LeaseLeasesResponse: _leases,
        PutResponse: _put,
        RangeResponse: _range,
        Revoked: lambda revoked, origin: _headed(revoked.response.header, origin),
        StatusList: _statuses,
        TimeToLive: _time_to_live,
        TxnResponse: _txn,
        WatchResponse: _watch,
    },
)

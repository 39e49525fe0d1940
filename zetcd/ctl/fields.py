"""Responsible for the format "fields": one name and value per line, bytes quoted as Go does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast

from zetcd.ctl.exits import CtlError, Exit
from zetcd.ctl.go_text import duration_text, quote
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
    lower,
)
from zetcd.messages.cluster import AlarmResponse, Member, MemberListResponse
from zetcd.messages.kv import (
    CompactionResponse,
    DeleteRangeResponse,
    EventType,
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

#: Where a nested response comes from is said once, by the outer one.
_NESTED: Final = Origin()


def render(what: Printable, origin: Origin, is_hex: bool) -> bytes:
    """Return the lines of ``what``."""
    del is_hex
    writer = _WRITERS.get(type(what))
    if writer is None:
        raise CtlError("fields is not supported as output format", Exit.BAD_FEATURE)
    return "".join(f"{line}\n" for line in writer(what, origin)).encode("utf-8", "surrogateescape")


def _line(name: str, value: object) -> str:
    shown = lower(value) if isinstance(value, bool) else value
    return f'"{name}" : {shown}'


def _header(header: ResponseHeader, origin: Origin) -> list[str]:
    return [
        _line("ClusterID", origin.cluster_id),
        _line("MemberID", origin.member_id),
        _line("Revision", header.revision),
        _line("RaftTerm", 0 if origin is _NESTED else header.raft_term),
    ]


def _kv(prefix: str, kv: KeyValue) -> list[str]:
    return [
        _line(f"{prefix}Key", quote(kv.key)),
        _line(f"{prefix}CreateRevision", kv.create_revision),
        _line(f"{prefix}ModRevision", kv.mod_revision),
        _line(f"{prefix}Version", kv.version),
        _line(f"{prefix}Value", quote(kv.value)),
        _line(f"{prefix}Lease", kv.lease),
    ]


def _range(response: RangeResponse, origin: Origin) -> list[str]:
    lines = _header(response.header, origin)
    for kv in response.kvs:
        lines.extend(_kv("", kv))
    return [*lines, _line("More", response.more), _line("Count", response.count)]


def _put(response: PutResponse, origin: Origin) -> list[str]:
    lines = _header(response.header, origin)
    return lines + _kv("Prev", response.prev_kv) if response.prev_kv else lines


def _delete(response: DeleteRangeResponse, origin: Origin) -> list[str]:
    lines = [*_header(response.header, origin), _line("Deleted", response.deleted)]
    for kv in response.prev_kvs:
        lines.extend(_kv("Prev", kv))
    return lines


def _txn(response: TxnResponse, origin: Origin) -> list[str]:
    lines = [*_header(response.header, origin), _line("Succeeded", response.succeeded)]
    for each in response.responses:
        lines.extend(_operation(each))
    return lines


def _operation(response: ResponseOp) -> list[str]:
    if isinstance(response, RangeResponse):
        return _range(response, _NESTED)
    if isinstance(response, PutResponse):
        return _put(response, _NESTED)
    if isinstance(response, DeleteRangeResponse):
        return _delete(response, _NESTED)
    return _txn(response, _NESTED)


def _watch(response: WatchResponse, origin: Origin) -> list[str]:
    lines = _header(response.header, origin)
    for event in response.events:
        lines.append(_line("Type", EventType(event.type).name))
        if event.prev_kv is not None:
            lines.extend(_kv("Prev", event.prev_kv))
        lines.extend(_kv("", event.kv))
    return lines


def _lease(response: LeaseGrantResponse | LeaseKeepAliveResponse, origin: Origin) -> list[str]:
    lines = _header(response.header, origin)
    return [*lines, _line("ID", response.id), _line("TTL", response.ttl)]


def _time_to_live(what: TimeToLive, origin: Origin) -> list[str]:
    response = what.response
    return [
        *_header(response.header, origin),
        _line("ID", response.id),
        _line("TTL", response.ttl),
        _line("GrantedTTL", response.granted_ttl),
        *(_line("Key", quote(key)) for key in response.keys),
    ]


def _leases(response: LeaseLeasesResponse, origin: Origin) -> list[str]:
    return [*_header(response.header, origin), *(_line("ID", each) for each in response.leases)]


def _members(response: MemberListResponse, origin: Origin) -> list[str]:
    return [*_header(response.header, origin), *_member_lines(response.members)]


def _member_lines(members: Iterable[Member]) -> list[str]:
    lines: list[str] = []
    for member in members:
        lines.append(_line("ID", member.id))
        lines.append(_line("Name", quote(member.name)))
        lines.extend(_line("PeerURL", quote(url)) for url in member.peer_urls)
        lines.extend(_line("ClientURL", quote(url)) for url in member.client_urls)
        lines.append(_line("IsLearner", member.is_learner))
        lines.append("")
    return lines


def _added(added: MemberAdded, origin: Origin) -> list[str]:
    response = added.response
    lines = [*_header(response.header, origin), _line("AddedID", response.member.id)]
    return lines + _member_lines(response.members)


def _changed(change: MemberChange, origin: Origin) -> list[str]:
    response = change.response
    return [*_header(response.header, origin), *_member_lines(response.members)]


def _statuses(statuses: StatusList, origin: Origin) -> list[str]:
    del origin
    lines: list[str] = []
    for status in statuses.items:
        response = status.response
        lines.extend(_header(response.header, status.origin))
        lines.append(_line("Version", quote(response.version)))
        lines.append(_line("StorageVersion", quote(response.storage_version)))
        lines.append(_line("DBSize", response.db_size))
        lines.append(_line("DBSizeInUse", response.db_size_in_use))
        lines.append(_line("DBSizeQuota", response.db_size_quota))
        lines.append(_line("Leader", response.leader))
        lines.append(_line("IsLearner", response.is_learner))
        lines.append(_line("RaftIndex", response.raft_index))
        lines.append(_line("RaftTerm", response.raft_term))
        lines.append(_line("RaftAppliedIndex", response.raft_applied_index))
        lines.append(_line("Errors", f"[{' '.join(response.errors)}]"))
        lines.append(_line("Endpoint", quote(status.endpoint)))
        lines.append("")
    return lines


def _hashes(hashes: HashList, origin: Origin) -> list[str]:
    del origin
    lines: list[str] = []
    for each in hashes.items:
        lines.extend(_header(each.response.header, each.origin))
        lines.append(_line("Endpoint", quote(each.endpoint)))
        lines.append(_line("Hash", each.response.hash))
        lines.append(_line("HashRevision", each.response.hash_revision))
        lines.append("")
    return lines


def _health(health: HealthList, origin: Origin) -> list[str]:
    del origin
    lines: list[str] = []
    for each in health.items:
        lines.append(_line("Endpoint", quote(each.endpoint)))
        lines.append(_line("Health", each.is_healthy))
        lines.append(_line("Took", quote(duration_text(each.took_seconds))))
        lines.append(_line("Error", quote(each.error)))
        lines.append("")
    return lines


def _alarms(response: AlarmResponse, origin: Origin) -> list[str]:
    lines = _header(response.header, origin)
    for each in response.alarms:
        lines.append(_line("MemberID", each.member_id))
        lines.append(_line("AlarmType", each.alarm.name))
        lines.append("")
    return lines


_Writer = Callable[[Printable, Origin], list[str]]
_WRITERS: Final = cast(
    "dict[type, _Writer]",
    {
        AlarmResponse: _alarms,
        CompactionResponse: lambda response, origin: _header(response.header, origin),
        DeleteRangeResponse: _delete,
        HashList: _hashes,
        HealthList: _health,
        LeaseGrantResponse: _lease,
        LeaseKeepAliveResponse: _lease,
        LeaseLeasesResponse: _leases,
        MemberAdded: _added,
        MemberChange: _changed,
        MemberListResponse: _members,
        PutResponse: _put,
        RangeResponse: _range,
        Revoked: lambda revoked, origin: _header(revoked.response.header, origin),
        StatusList: _statuses,
        TimeToLive: _time_to_live,
        TxnResponse: _txn,
        WatchResponse: _watch,
    },
)

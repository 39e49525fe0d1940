"""Responsible for the format "simple": what people read, and what scripts cut with head and tail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from zetcd.ctl.exits import CtlError, Exit
from zetcd.ctl.go_text import duration_text, quote
from zetcd.ctl.printer import (
    HashList,
    HealthList,
    LeaderMoved,
    MemberAdded,
    MemberChange,
    Origin,
    Printable,
    Revoked,
    StatusList,
    TimeToLive,
    alarm_lines,
    hash_rows,
    member_rows,
    status_rows,
)
from zetcd.messages.cluster import AlarmResponse, MemberListResponse
from zetcd.messages.kv import (
    CompactionResponse,
    DeleteRangeResponse,
    EventType,
    KeyValue,
    PutResponse,
    RangeResponse,
    ResponseOp,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
)
from zetcd.messages.watch import WatchResponse


def render(what: Printable, origin: Origin, is_hex: bool) -> bytes:
    """Return the lines of ``what``."""
    del origin
    writer = _WRITERS.get(type(what))
    if writer is None:
        raise CtlError(f"{type(what).__name__} has no simple form", Exit.BAD_FEATURE)
    return b"".join(line + b"\n" for line in writer(what, is_hex))


def render_values(response: RangeResponse, is_hex: bool) -> bytes:
    """Return the values alone, one per line."""
    return b"".join(_shown(kv.value, is_hex) + b"\n" for kv in response.kvs)


def _shown(value: bytes, is_hex: bool) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in value) if is_hex else value


def _kv(kv: KeyValue, is_hex: bool) -> list[bytes]:
    return [_shown(kv.key, is_hex), _shown(kv.value, is_hex)]


def _range(response: RangeResponse, is_hex: bool) -> list[bytes]:
    return [line for kv in response.kvs for line in _kv(kv, is_hex)]


def _put(response: PutResponse, is_hex: bool) -> list[bytes]:
    return [b"OK", *(_kv(response.prev_kv, is_hex) if response.prev_kv else ())]


def _delete(response: DeleteRangeResponse, is_hex: bool) -> list[bytes]:
    lines = [b"%d" % response.deleted]
    for kv in response.prev_kvs:
        lines.extend(_kv(kv, is_hex))
    return lines


def _txn(response: TxnResponse, is_hex: bool) -> list[bytes]:
    lines = [b"SUCCESS" if response.succeeded else b"FAILURE"]
    for each in response.responses:
        lines.append(b"")
        lines.extend(_operation(each, is_hex))
    return lines


def _operation(response: ResponseOp, is_hex: bool) -> list[bytes]:
    if isinstance(response, RangeResponse):
        return _range(response, is_hex)
    if isinstance(response, PutResponse):
        return _put(response, is_hex)
    if isinstance(response, DeleteRangeResponse):
        return _delete(response, is_hex)
    return _txn(response, is_hex)


def _watch(response: WatchResponse, is_hex: bool) -> list[bytes]:
    lines: list[bytes] = []
    for event in response.events:
        lines.append(EventType(event.type).name.encode())
        if event.prev_kv is not None:
            lines.extend(_kv(event.prev_kv, is_hex))
        lines.extend(_kv(event.kv, is_hex))
    return lines


def _grant(response: LeaseGrantResponse, _is_hex: bool) -> list[bytes]:
    return [b"lease %016x granted with TTL(%ds)" % (response.id, response.ttl)]


def _revoked(revoked: Revoked, _is_hex: bool) -> list[bytes]:
    return [b"lease %016x revoked" % revoked.lease_id]


def _keep_alive(response: LeaseKeepAliveResponse, _is_hex: bool) -> list[bytes]:
    return [b"lease %016x keepalived with TTL(%d)" % (response.id, response.ttl)]


def _time_to_live(what: TimeToLive, _is_hex: bool) -> list[bytes]:
    response = what.response
    if response.granted_ttl == 0 and response.ttl == -1:
        return [b"lease %016x already expired" % response.id]
    ids = (response.id, response.granted_ttl, response.ttl)
    line = b"lease %016x granted with TTL(%ds), remaining(%ds)" % ids
    if what.has_keys:
        line += b", attached keys([%s])" % b" ".join(response.keys)
    return [line]


def _leases(response: LeaseLeasesResponse, _is_hex: bool) -> list[bytes]:
    count = len(response.leases)
    return [b"found %d leases" % count, *(b"%016x" % each for each in response.leases)]


def _members(response: MemberListResponse, _is_hex: bool) -> list[bytes]:
    return _joined(member_rows(response))


def _added(added: MemberAdded, _is_hex: bool) -> list[bytes]:
    """Say what to start the new member with: as variables of etcd, and as zetcd's configuration.

    The latter as comments, so that what evaluates the variables is not disturbed.
    """
    member = added.response.member
    role = "as learner " if member.is_learner else ""
    initial_cluster = added.initial_cluster()
    lines = [
        f"Member {member.id:16x} added {role}to cluster {added.cluster_id:16x}",
        "",
        f"ETCD_NAME={quote(added.name)}",
        f"ETCD_INITIAL_CLUSTER={quote(initial_cluster)}",
        f"ETCD_INITIAL_ADVERTISE_PEER_URLS={quote(added.peer_urls)}",
        'ETCD_INITIAL_CLUSTER_STATE="existing"',
        "",
        "# For zetcd's configuration file:",
        f"# name = {quote(added.name)}",
        f"# initial-cluster = {quote(initial_cluster)}",
        f"# initial-advertise-peer-urls = [{', '.join(map(quote, member.peer_urls))}]",
        '# initial-cluster-state = "existing"',
    ]
    return [line.encode() for line in lines]


def _changed(change: MemberChange, _is_hex: bool) -> list[bytes]:
    ids = (change.member_id, change.done.encode(), change.cluster_id)
    return [b"Member %16x %s cluster %16x" % ids]


def _statuses(statuses: StatusList, _is_hex: bool) -> list[bytes]:
    return _joined(status_rows(statuses))


def _hashes(hashes: HashList, _is_hex: bool) -> list[bytes]:
    return _joined(hash_rows(hashes))


def _joined(rows: list[tuple[str, ...]]) -> list[bytes]:
    return [", ".join(row).encode() for row in rows]


def _health(health: HealthList, _is_hex: bool) -> list[bytes]:
    return [
        (
            f"{each.endpoint} is healthy: successfully committed proposal:"
            f" took = {duration_text(each.took_seconds)}"
            if each.is_healthy
            else f"{each.endpoint} is unhealthy: failed to commit proposal: {each.error}"
        ).encode()
        for each in health.items
    ]


def _moved(moved: LeaderMoved, _is_hex: bool) -> list[bytes]:
    return [b"Leadership transferred from %x to %x" % moved]


def _alarms(response: AlarmResponse, _is_hex: bool) -> list[bytes]:
    return [line.encode() for line in alarm_lines(response)]


_Writer = Callable[[Printable, bool], list[bytes]]
_WRITERS: Final = cast(
    "dict[type, _Writer]",
    {
        AlarmResponse: _alarms,
        CompactionResponse: lambda *_: [],
        DeleteRangeResponse: _delete,
        HashList: _hashes,
        HealthList: _health,
        LeaderMoved: _moved,
        LeaseGrantResponse: _grant,
        LeaseKeepAliveResponse: _keep_alive,
        LeaseLeasesResponse: _leases,
        MemberAdded: _added,
        MemberChange: _changed,
        MemberListResponse: _members,
        PutResponse: _put,
        RangeResponse: _range,
        Revoked: _revoked,
        StatusList: _statuses,
        TimeToLive: _time_to_live,
        TxnResponse: _txn,
        WatchResponse: _watch,
    },
)

"""Requests that every run makes first, because chance would seldom make them."""

from __future__ import annotations

from collections.abc import Iterator

from tests.differential.generator import LONG_TTL
from tests.differential.steps import (
    Barrier,
    Call,
    Cancel,
    Create,
    Dialogue,
    Ignored,
    KeepAlives,
    RawCall,
    SnapshotCall,
    Step,
)
from zetcd.gateway.etcd.proto import health_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

_MIB = 1024 * 1024
#: No message: a field of a length that does not come.
_CUT_SHORT = b"\x0a\x7f"


def fixed_steps() -> Iterator[Step]:
    """Yield them; the store is empty."""
    yield from _empty_store()
    yield from _octets()
    yield from _sizes()
    yield from _leases()
    yield from _fragments()
    yield from _rest()


def _empty_store() -> Iterator[Step]:
    yield Call("KV.Range", pb.RangeRequest(key=b"\0", range_end=b"\0"))
    yield Call("KV.Range", pb.RangeRequest(key=b"a", revision=2))
    yield Call("KV.DeleteRange", pb.DeleteRangeRequest(key=b"\0", range_end=b"\0"))
    yield Call("KV.Txn", pb.TxnRequest())
    for revision in (-1, 0, 1, 2):
        yield Call("Maintenance.HashKV", pb.HashKVRequest(revision=revision))
    for revision in (-1, 0, 1, 2):
        yield Call("KV.Compact", pb.CompactionRequest(revision=revision))
    yield Dialogue(
        (
            Ignored(pb.WatchRequest(progress_request=pb.WatchProgressRequest())),
            Ignored(pb.WatchRequest()),
            # No key: from the beginning on.
            Create(pb.WatchCreateRequest()),
            Create(pb.WatchCreateRequest(range_end=b"\0")),
            Create(pb.WatchCreateRequest(key=b"b", range_end=b"a")),
            Create(pb.WatchCreateRequest(key=b"b", range_end=b"b")),
            Create(pb.WatchCreateRequest(key=b"a", watch_id=0)),
            Create(pb.WatchCreateRequest(key=b"a", watch_id=1)),
            Create(pb.WatchCreateRequest(key=b"a", watch_id=-5)),
            Create(pb.WatchCreateRequest(key=b"a", start_revision=-1)),
            Call("KV.Put", pb.PutRequest(key=b"a", value=b"1")),
            Barrier(),
            Cancel(1),
            Call("KV.Put", pb.PutRequest(key=b"a", value=b"2")),
            Barrier(),
        )
    )
    yield Dialogue((Create(pb.WatchCreateRequest(key=b"a", watch_id=-1)),))


def _octets() -> Iterator[Step]:
    for path in (
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.KV/Put",
        "/etcdserverpb.KV/Txn",
        "/etcdserverpb.Lease/LeaseGrant",
        "/etcdserverpb.Maintenance/Status",
        "/etcdserverpb.Auth/Authenticate",
        "/v3lockpb.Lock/Lock",
    ):
        yield RawCall(path, _CUT_SHORT)
    # A field that nobody knows is skipped.
    yield RawCall("/etcdserverpb.KV/Range", b"\x0a\x01a\xf8\x7f\x01")
    yield RawCall("/etcdserverpb.KV/Nothing", b"")
    yield RawCall("/etcdserverpb.Nothing/Range", b"")
    yield RawCall("/nothing", b"")
    yield RawCall("/etcdserverpb.KV/RangeStream", b"\x0a\x01a")


def _sizes() -> Iterator[Step]:
    put = pb.RequestOp(request_put=pb.PutRequest(key=b"large"))
    for size in (
        _MIB,
        3 * _MIB // 2,
        3 * _MIB // 2 + 1024,
        2 * _MIB - 1024,
        2 * _MIB + 1,
        3 * _MIB,
    ):
        value = bytes(size)
        yield Call("KV.Put", pb.PutRequest(key=b"large", value=value))
        large = pb.RequestOp(request_put=pb.PutRequest(key=b"large", value=value))
        yield Call("KV.Txn", pb.TxnRequest(success=[large]))
    yield Call("KV.Range", pb.RangeRequest(key=bytes(3 * _MIB)))
    yield Call("KV.DeleteRange", pb.DeleteRangeRequest(key=b"large"))
    to_the_end = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a", range_end=b"\0"))
    yield Call("KV.Txn", pb.TxnRequest(success=[pb.RequestOp()]))
    no_key = pb.RequestOp(request_put=pb.PutRequest())
    yield Call("KV.Txn", pb.TxnRequest(success=[no_key, pb.RequestOp()]))
    never = pb.Compare(key=b"a", version=-1)
    yield Call("KV.Txn", pb.TxnRequest(compare=[never], success=[to_the_end, put]))
    deletes = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a", range_end=b"z"))
    nested_put, nested_delete = (
        pb.RequestOp(request_txn=pb.TxnRequest(success=[each])) for each in (put, deletes)
    )
    for branch in ([nested_put, nested_delete], [nested_delete, nested_put]):
        yield Call("KV.Txn", pb.TxnRequest(compare=[never], success=branch))
    for operations in (127, 128, 129):
        gets = [pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))] * operations
        yield Call("KV.Txn", pb.TxnRequest(failure=gets))
        nested = pb.TxnRequest(success=gets[:64])
        inner = [pb.RequestOp(request_txn=nested)] * (operations // 2)
        yield Call("KV.Txn", pb.TxnRequest(success=inner))
        yield Call("KV.Txn", pb.TxnRequest(compare=[pb.Compare(key=b"a")] * operations))


def _leases() -> Iterator[Step]:
    yield Call("Lease.LeaseGrant", pb.LeaseGrantRequest(TTL=LONG_TTL, ID=123_456))
    for ttl in (-1, 0, 1, 2, 3, 9_000_000_000, 9_000_000_001, 2**63 - 1, -(2**63)):
        yield Call("Lease.LeaseGrant", pb.LeaseGrantRequest(TTL=ttl, ID=500))
        yield Call("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=500))
    for lease in (-1, -(2**63)):
        yield Call("Lease.LeaseGrant", pb.LeaseGrantRequest(TTL=LONG_TTL, ID=lease))
        yield Call("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))
    for lease in (1, 2**63 - 1):
        yield Call("Lease.LeaseGrant", pb.LeaseGrantRequest(TTL=LONG_TTL, ID=lease))
        yield Call("KV.Put", pb.PutRequest(key=b"leased", lease=lease))
        yield Call("Lease.LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease, keys=True))
        yield Call("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))
    for lease in (0, 4711):
        yield Call("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))
        yield Call("Lease.LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease, keys=True))
        yield Call("KV.Put", pb.PutRequest(key=b"leased", lease=lease))
    yield KeepAlives((0, 4711, 123_456, -1))


def _fragments() -> Iterator[Step]:
    """Events of more than a message, in fragments and in one."""
    value = bytes(_MIB)
    for each in range(3):
        yield Call("KV.Put", pb.PutRequest(key=b"frag/%d" % each, value=value))
    for is_fragmented in (True, False):
        yield Dialogue(
            (
                Create(
                    pb.WatchCreateRequest(
                        key=b"frag/", range_end=b"frag0", start_revision=2, fragment=is_fragmented
                    )
                ),
                Barrier(),
            )
        )
    yield Call("KV.Range", pb.RangeRequest(key=b"frag/", range_end=b"frag0"))
    yield Call(
        "KV.DeleteRange", pb.DeleteRangeRequest(key=b"frag/", range_end=b"frag0", prev_kv=True)
    )


def _rest() -> Iterator[Step]:
    yield Call("Maintenance.Status", pb.StatusRequest())
    yield Call("Cluster.MemberList", pb.MemberListRequest(linearizable=True))
    yield Call("Health.Check", health_pb2.HealthCheckRequest())
    yield Call("Health.Check", health_pb2.HealthCheckRequest(service="etcdserverpb.KV"))
    yield Call("Auth.AuthStatus", pb.AuthStatusRequest())
    yield Call("Auth.AuthDisable", pb.AuthDisableRequest())
    yield Call("Auth.Authenticate", pb.AuthenticateRequest(name="root", password="x"))
    yield SnapshotCall()
    for action in range(4):
        for version in ("", "3.5", "3.5.0", "3.6", "3.4", "x", "v3.5"):
            # In etcd that would begin one.
            if action == pb.DowngradeRequest.ENABLE and version.startswith("3.5"):
                continue
            request = pb.DowngradeRequest(action=action, version=version)  # type: ignore[arg-type]
            yield Call("Maintenance.Downgrade", request)
    for alarm in range(4):
        yield Call("Maintenance.Alarm", pb.AlarmRequest(action=2, memberID=0, alarm=alarm))  # type: ignore[arg-type]
        yield Call("Maintenance.Alarm", pb.AlarmRequest(action=0, memberID=5, alarm=alarm))  # type: ignore[arg-type]
    # An action that is none of etcd's is left out: it ends etcd with a nil dereference.
    token = (("token", "no-such-token"), ("client-api-version", "3.6.0"))
    yield Call("KV.Range", pb.RangeRequest(key=b"a"), token)

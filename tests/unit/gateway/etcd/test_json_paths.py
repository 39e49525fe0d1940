"""Every call of etcd's that has a path has it here."""

from __future__ import annotations

from zetcd.gateway.etcd.json_paths import PATHS, bindings
from zetcd.gateway.etcd.methods import etcd_methods
from zetcd.gateway.etcd.proto import rpc_pb2 as pb


def test_every_method_but_two_has_a_path() -> None:
    bound = {binding.method.path for binding in bindings(etcd_methods()).values()}
    missing = {path for path in etcd_methods() if path not in bound}
    assert missing == {
        "/etcdserverpb.KV/RangeStream",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    }


def test_some_have_two() -> None:
    found = bindings(etcd_methods())
    for name in ("revoke", "timetolive", "leases"):
        assert found[f"/v3/lease/{name}"] is found[f"/v3/kv/lease/{name}"]
    assert len(found) == sum(len(paths) for calls in PATHS.values() for paths in calls.values())
    assert len(found) == 51


def test_the_messages_are_those_of_the_call() -> None:
    binding = bindings(etcd_methods())["/v3/kv/compaction"]
    assert (binding.request, binding.response) == (pb.CompactionRequest, pb.CompactionResponse)

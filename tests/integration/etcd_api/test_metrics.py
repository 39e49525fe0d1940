"""/metrics of a real cluster: whatever is there moves when it should."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.integration.cluster import Cluster, wait_until
from tests.integration.etcd_api.stubs import EtcdClient
from tests.integration.etcd_api.test_http import HttpClient, b64
from tests.integration.etcd_api.test_kv import get, put
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.metrics import DEFINITIONS, Kind

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

_SAMPLE = re.compile(r"([a-z_][a-z0-9_]*)(\{[^}]*\})? (\S+)")

#: These are above 0 only when something goes wrong or is under way.
OF_TROUBLE = {
    "etcd_debugging_mvcc_slow_watcher_total",
    "etcd_debugging_server_alarms",
    "etcd_network_peer_sent_failures_total",
    "etcd_server_health_failures",
    "etcd_server_heartbeat_send_failures_total",
    "etcd_server_is_learner",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_pending",
    "etcd_server_read_indexes_failed_total",
    "etcd_server_slow_apply_total",
    "etcd_server_slow_read_indexes_total",
    "zetcd_actor_restarts_total",
    # A checkpoint takes more entries than a test of this kind makes.
    "etcd_debugging_snap_save_total_duration_seconds",
    # The connections of this test are of two kinds.
    "zetcd_gateway_connections",
}

Samples = dict[str, float]


def scrape(client: HttpClient) -> Samples:
    status, kind, body = client.get("/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    samples: Samples = {}
    for line in body.decode().splitlines():
        if not line.startswith("#"):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            samples[match[1] + (match[2] or "")] = float(match[3])
    return samples


def total(samples: Samples, name: str) -> float:
    """Return the sum of a metric over its labels; of a histogram, what it has observed."""
    if DEFINITIONS[name].kind is Kind.HISTOGRAM:
        name += "_count"
    return sum(value for key, value in samples.items() if key.partition("{")[0] == name)


def move_everything(grpc: EtcdClient, http: HttpClient) -> None:
    put(grpc, b"metrics/a", b"1")
    put(grpc, b"metrics/b", b"1")
    get(grpc, b"metrics/a")
    grpc.call("KV.DeleteRange", pb.DeleteRangeRequest(key=b"metrics/b"), pb.DeleteRangeResponse)
    operation = pb.RequestOp(request_put=pb.PutRequest(key=b"metrics/a", value=b"2"))
    done = grpc.call("KV.Txn", pb.TxnRequest(success=[operation]), pb.TxnResponse)
    grpc.call(
        "KV.Compact",
        pb.CompactionRequest(revision=done.header.revision, physical=True),
        pb.CompactionResponse,
    )
    granted = [
        grpc.call("Lease.LeaseGrant", pb.LeaseGrantRequest(TTL=ttl), pb.LeaseGrantResponse).ID
        for ttl in (60, 1)
    ]
    keep_alive = pb.LeaseKeepAliveRequest(ID=granted[0])
    list(grpc.stream("Lease.LeaseKeepAlive", iter([keep_alive]), pb.LeaseKeepAliveResponse))
    grpc.call("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=granted[0]), pb.LeaseRevokeResponse)
    assert http.get("/health")[0] == 200
    assert http.get("/readyz")[0] == 200


def test_every_metric_moves(etcd_cluster: Cluster) -> None:
    port = etcd_cluster.leader().client_port
    http, grpc = HttpClient(port), EtcdClient(f"127.0.0.1:{port}")
    with http.lines("/v3/watch", {"create_request": {"key": b64(b"metrics/a")}}) as lines:
        assert next(lines)["result"]["created"]
        move_everything(grpc, http)

        def still() -> set[str]:
            samples = scrape(http)
            return {name for name in DEFINITIONS if not total(samples, name)} - OF_TROUBLE

        # Figures are reported at intervals, and a lease takes its time to expire.
        wait_until(lambda: not still(), "every metric has moved")
    names = {name.partition("{")[0] for name in scrape(http)}
    for name in OF_TROUBLE - {"etcd_debugging_server_alarms"}:
        suffix = "_count" if DEFINITIONS[name].kind is Kind.HISTOGRAM else ""
        assert name + suffix in names, name
    http.close()
    grpc.close()


def test_counters_count(etcd_cluster: Cluster) -> None:
    follower = etcd_cluster.followers()[0]
    http, grpc = HttpClient(follower.client_port), EtcdClient(f"127.0.0.1:{follower.client_port}")
    # What others have done before is reported up to half a second later.
    revision = put(grpc, b"metrics/before", b"1").header.revision
    wait_until(
        lambda: scrape(http)["etcd_debugging_mvcc_current_revision"] >= revision, "it is reported"
    )
    before = scrape(http)
    for number in range(25):
        put(grpc, b"metrics/c%d" % number, b"1")

    def grown(name: str, labels: str = "") -> float:
        return scrape(http).get(name + labels, 0) - before.get(name + labels, 0)

    def by(name: str, count: float, labels: str = "") -> Callable[[], bool]:
        return lambda: grown(name, labels) == count

    wait_until(by("etcd_mvcc_put_total", 25), "puts are counted")
    wait_until(by("etcd_debugging_mvcc_current_revision", 25), "revisions are shown")
    labels = '{grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"'
    handled = labels + ',grpc_code="OK"}'
    # The gateway reports by itself: an earlier call may have been counted since.
    wait_until(lambda: grown("grpc_server_started_total", labels + "}") >= 25, "calls are counted")
    wait_until(lambda: grown("grpc_server_handled_total", handled) >= 25, "so are their ends")
    never = labels + ',grpc_code="DataLoss"}'
    assert scrape(http)["grpc_server_handled_total" + never] == 0
    assert scrape(http)["etcd_server_is_leader"] == 0
    assert scrape(http)["etcd_server_has_leader"] == 1
    http.close()
    grpc.close()

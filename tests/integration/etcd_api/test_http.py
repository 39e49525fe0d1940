"""HTTP/1.1 beside gRPC on one port: the endpoints, the JSON gateway, and listeners of their own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import pytest

from tests.integration.cluster import Cluster, free_ports, wait_until
from tests.integration.etcd_api.stubs import EtcdClient
from tests.integration.etcd_api.test_kv import get, put
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

JsonObject = dict[str, Any]


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


class HttpClient:
    """A client of one member that keeps its connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self) -> None:
        self.connection.close()

    def get(self, target: str) -> tuple[int, str, bytes]:
        self.connection.request("GET", target)
        with self.connection.getresponse() as response:
            return response.status, response.headers["Content-Type"], response.read()

    def post(self, path: str, body: object) -> tuple[int, JsonObject]:
        self.connection.request("POST", path, json.dumps(body))
        with self.connection.getresponse() as response:
            found = json.loads(response.read())
        assert isinstance(found, dict)
        return response.status, found

    def good(self, path: str, body: object) -> JsonObject:
        status, found = self.post(path, body)
        assert status == 200, found
        return found

    @contextlib.contextmanager
    def lines(self, path: str, *messages: object) -> Iterator[Iterator[JsonObject]]:
        """Yield what a stream says, line by line."""
        body = "\n".join(map(json.dumps, messages))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", path, body)
        with contextlib.closing(connection), connection.getresponse() as response:
            assert response.status == 200
            yield (json.loads(line) for line in iter(response.readline, b""))


@pytest.fixture
def follower(etcd_cluster: Cluster) -> Iterator[HttpClient]:
    found = HttpClient(etcd_cluster.followers()[0].client_port)
    yield found
    found.close()


def test_a_key_goes_in_by_json_and_comes_out_by_grpc(
    follower: HttpClient, client: EtcdClient
) -> None:
    done = follower.good("/v3/kv/put", {"key": b64(b"http/\xff\x00"), "value": b64(b"1")})
    assert set(done) == {"header"}
    header = done["header"]
    assert set(header) == {"cluster_id", "member_id", "revision", "raft_term"}
    assert all(isinstance(each, str) for each in header.values())
    found = get(client, b"http/\xff\x00")
    assert (found.kvs[0].value, str(found.kvs[0].mod_revision)) == (b"1", header["revision"])

    put(client, b"http/\xff\x00", b"2")
    ranged = follower.good("/v3/kv/range", {"key": b64(b"http/\xff\x00")})
    assert ranged["count"] == "1"
    (kv,) = ranged["kvs"]
    assert kv["value"] == b64(b"2")
    assert kv["version"] == "2"
    assert "lease" not in kv


def test_lists_of_any_size(follower: HttpClient, client: EtcdClient) -> None:
    value = b"x" * 100_000
    for number in range(60):
        put(client, b"http-list/%03d" % number, value)
    found = follower.good(
        "/v3/kv/range", {"key": b64(b"http-list/"), "range_end": b64(b"http-list0")}
    )
    assert found["count"] == "60"
    assert [kv["key"] for kv in found["kvs"]] == [
        b64(b"http-list/%03d" % number) for number in range(60)
    ]
    done = follower.good(
        "/v3/kv/deleterange", {"key": b64(b"http-list/"), "range_end": b64(b"http-list0")}
    )
    assert done["deleted"] == "60"


def test_transactions(follower: HttpClient) -> None:
    key = b64(b"http-txn")
    txn = {
        "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
        "success": [{"requestPut": {"key": key, "value": b64(b"1")}}],
        "failure": [{"request_range": {"key": key}}],
    }
    first = follower.good("/v3/kv/txn", txn)
    assert first["succeeded"] is True
    second = follower.good("/v3/kv/txn", txn)
    assert "succeeded" not in second
    (answer,) = second["responses"]
    assert answer["response_range"]["kvs"][0]["value"] == b64(b"1")


def test_a_snapshot_is_a_stream_of_lines(follower: HttpClient) -> None:
    """The blobs make a database of bbolt and its SHA-256, as in etcd's stream."""
    octets, left = b"", []
    with follower.lines("/v3/maintenance/snapshot", {}) as lines:
        for line in lines:
            result = line["result"]
            assert set(result) <= {"header", "remaining_bytes", "blob", "version"}
            octets += base64.b64decode(result["blob"])
            left.append(int(result.get("remaining_bytes", "0")))
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert hashlib.sha256(octets[:-32]).digest() == octets[-32:]
    assert (len(octets) - 32) % 4096 == 0


def test_a_watch_is_a_stream_of_lines(follower: HttpClient, client: EtcdClient) -> None:
    key = b64(b"http-watch")
    with follower.lines("/v3/watch", {"create_request": {"key": key, "prev_kv": True}}) as lines:
        created = next(lines)["result"]
        assert created["created"] is True
        put(client, b"http-watch", b"1")
        put(client, b"http-watch", b"2")
        events: list[Any] = []
        while len(events) < 2:
            events += next(lines)["result"]["events"]
    assert events[0]["kv"]["value"] == b64(b"1")
    assert events[1]["prev_kv"]["value"] == b64(b"1")


def test_leases_by_both_of_their_paths(follower: HttpClient) -> None:
    lease = follower.good("/v3/lease/grant", {"TTL": 60})["ID"]
    follower.good("/v3/kv/put", {"key": b64(b"http-lease"), "value": "", "lease": lease})
    for path in ("/v3/kv/lease/timetolive", "/v3/lease/timetolive"):
        found = follower.good(path, {"ID": lease, "keys": True})
        assert found["grantedTTL"] == "60"
        assert found["keys"] == [b64(b"http-lease")]
    with follower.lines("/v3/lease/keepalive", {"ID": lease}, {"ID": "99"}) as lines:
        answers = [each["result"] for each in lines]
    assert [each.get("TTL", "0") for each in answers] == ["60", "0"]
    follower.good("/v3/lease/revoke", {"ID": lease})
    status, error = follower.post("/v3/kv/lease/revoke", {"ID": lease})
    assert (status, error) == (
        404,
        {
            "error": "etcdserver: requested lease not found",
            "code": 5,
            "message": "etcdserver: requested lease not found",
        },
    )


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "text"),
    [
        ("/v3/kv/put", {}, 400, 3, "etcdserver: key is not provided"),
        (
            "/v3/kv/range",
            {"key": "YQ==", "revision": 1 << 40},
            400,
            11,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        ("/v3/kv/range", {"key": "not base64"}, 400, 3, "key: is 'not base64', must be base64"),
        ("/v3/election/leader", {"name": "bm9uZQ=="}, 500, 2, "election: no leader"),
    ],
)
def test_errors(
    follower: HttpClient, path: str, body: object, status: int, code: int, text: str
) -> None:
    found = follower.post(path, body)
    assert found == (status, {"error": text, "code": code, "message": text})


def test_status_and_members(follower: HttpClient, etcd_cluster: Cluster) -> None:
    status = follower.good("/v3/maintenance/status", {})
    assert status["version"] == "3.6.14"
    members = follower.good("/v3/cluster/member/list", {})["members"]
    assert len(members) == len(etcd_cluster.nodes)


def test_a_request_that_is_too_large(follower: HttpClient) -> None:
    status, error = follower.post("/v3/kv/put", {"key": "YQ==", "value": b64(b"x" * 1_600_000)})
    assert (status, error["message"]) == (400, "etcdserver: request is too large")
    status, error = follower.post("/v3/kv/put", {"key": "YQ==", "value": b64(b"x" * 2_100_000)})
    assert status == 429
    assert "larger than max" in str(error["message"])


def test_endpoints(follower: HttpClient) -> None:
    assert follower.get("/version") == (
        200,
        "application/json",
        b'{"etcdserver":"3.6.14","etcdcluster":"3.6.0","storage":"3.6.0"}',
    )
    assert follower.get("/health")[::2] == (200, b'{"health":"true","reason":""}')
    assert follower.get("/livez?verbose")[::2] == (200, b"[+]serializable_read ok\nok\n")
    assert follower.get("/readyz")[::2] == (200, b"ok\n")
    assert follower.get("/nowhere")[0] == 404


def is_out_of_space(probe: HttpClient) -> bool:
    return probe.get("/health")[::2] == (503, b'{"health":"false","reason":"ALARM NOSPACE"}\n')


def is_healthy(probe: HttpClient) -> bool:
    try:
        return probe.get("/health")[0] == 200
    except ConnectionRefusedError:
        probe.close()
        return False


def test_variables(follower: HttpClient, etcd_cluster: Cluster) -> None:
    status, kind, body = follower.get("/debug/vars")
    assert (status, kind) == (200, "application/json; charset=utf-8")
    found = json.loads(body)
    member = next(each for each in etcd_cluster.nodes if each.client_port == follower.port)
    raft = found["raft.status"]
    assert raft["id"] == f"{member.config.member_id():x}"
    assert raft["lead"] == f"{etcd_cluster.leader().config.member_id():x}"
    assert raft["raftState"] == "StateFollower"
    assert 0 < raft["applied"] <= raft["commit"]
    assert "raft-0" in found["memstats"]["ByActor"]
    assert found["memstats"]["Sys"] >= sum(found["memstats"]["ByActor"].values())
    status, _, body = follower.get("/debug/pprof/heap")
    assert status == 501
    assert b"py-spy" in body


def test_an_alarm_is_seen_by_probes(follower: HttpClient, etcd_cluster: Cluster) -> None:
    member = {"memberID": "77", "alarm": "NOSPACE"}
    follower.good("/v3/maintenance/alarm", member | {"action": "ACTIVATE"})
    try:
        probes = [HttpClient(node.client_port) for node in etcd_cluster.nodes]
        for probe in probes:
            # Each member hears of the alarm as it applies it.
            wait_until(partial(is_out_of_space, probe), "every member knows of the alarm")
            assert probe.get("/health?exclude=NOSPACE")[0] == 200
            assert probe.get("/readyz")[0] == 200
            probe.close()
    finally:
        follower.good("/v3/maintenance/alarm", member | {"action": "DEACTIVATE"})
    wait_until(lambda: follower.get("/health")[0] == 200, "the alarm is off")


def test_what_is_neither_http_nor_grpc(etcd_cluster: Cluster) -> None:
    port = etcd_cluster.followers()[0].client_port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")


def test_listeners_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    http_port, metrics_port = free_ports(2)
    extra = f"""
listen-client-http-urls = ["http://127.0.0.1:{http_port}"]
listen-metrics-urls = ["http://127.0.0.1:{metrics_port}"]
host-whitelist = ["127.0.0.1", "good.example"]
cors = ["http://page.example"]
"""
    with Cluster(tmp_path_factory.mktemp("http"), size=1, extra=extra) as cluster:
        node = cluster.nodes[0]
        both, metrics = HttpClient(http_port), HttpClient(metrics_port)
        # The cluster serves by its native gateway; the other one may still be starting.
        wait_until(partial(is_healthy, both), "the etcd gateway serves")
        assert both.good("/v3/kv/put", {"key": "YQ==", "value": "Yg=="})
        assert metrics.get("/readyz")[::2] == (200, b"ok\n")
        assert metrics.get("/version")[0] == 404
        assert b"\netcd_server_has_leader 1\n" in metrics.get("/metrics")[2]
        assert metrics.get("/v3/kv/put")[0] == 404

        client = EtcdClient(f"127.0.0.1:{node.client_port}")
        assert get(client, b"a").kvs[0].value == b"b"
        client.close()
        # The port of gRPC has no HTTP/1.1 any more, and that of HTTP no gRPC.
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            HttpClient(node.client_port).get("/health")
        astray = EtcdClient(f"127.0.0.1:{http_port}")
        with pytest.raises(grpc.RpcError):
            astray.call("KV.Range", pb.RangeRequest(key=b"a"), pb.RangeResponse)
        astray.close()

        evil = http.client.HTTPConnection("127.0.0.1", http_port, timeout=30)
        evil.request("GET", "/health", headers={"Host": "evil.example"})
        assert evil.getresponse().status == 421
        evil.close()
        both.connection.request(
            "POST", "/v3/kv/put", "{}", headers={"Origin": "http://other.example"}
        )
        with both.connection.getresponse() as refused:
            assert refused.status == 403
            refused.read()
        both.close()
        metrics.close()

"""Watches and keep-alives over WebSocket, asked by the one that Node.js has."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cluster import Cluster
from tests.integration.etcd_api.stubs import EtcdClient
from tests.integration.etcd_api.test_http import b64
from tests.integration.etcd_api.test_kv import put
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

#: Sends its first argument after the address, prints what it hears, and closes after so many messages.
_SCRIPT = """
const [url, message, count] = process.argv.slice(1);
const socket = new WebSocket(url);
let heard = 0;
socket.onopen = () => socket.send(message);
socket.onmessage = (event) => {
  console.log(event.data);
  heard += 1;
  if (heard === Number(count)) socket.close(1000);
};
socket.onclose = (event) => console.log(JSON.stringify({closed: event.code, clean: event.wasClean}));
socket.onerror = (event) => console.error(event.message);
"""


@pytest.fixture(scope="module")
def node() -> list[str]:
    """Return the command of a Node.js that knows WebSocket."""
    program = shutil.which("node")
    command = [program or "node", "--experimental-websocket"]
    if program is None or subprocess.run([*command, "-e", ""], check=False).returncode:
        pytest.skip("there is no Node.js with WebSocket (20.10 or newer)")
    return command


def heard(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    return (json.loads(line) for line in process.stdout)


def asked(
    node: list[str], cluster: Cluster, path: str, message: object, count: int
) -> subprocess.Popen[str]:
    url = f"ws://127.0.0.1:{cluster.followers()[0].client_port}{path}"
    return subprocess.Popen(
        [*node, "-e", _SCRIPT, url, json.dumps(message), str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_watch_from_node(node: list[str], etcd_cluster: Cluster, client: EtcdClient) -> None:
    key = b"web-socket/watch"
    create = {"create_request": {"key": b64(key)}}
    with asked(node, etcd_cluster, "/v3/watch", create, 3) as process:
        lines = heard(process)
        assert next(lines)["result"]["created"] is True
        # Larger than a frame with a short length, and than one with 16 bits.
        for value in (b"x" * 300, b"y" * 100_000):
            revision = put(client, key, value).header.revision
            (event,) = next(lines)["result"]["events"]
            assert event["kv"]["value"] == b64(value)
            assert event["kv"]["mod_revision"] == str(revision)
        assert next(lines) == {"closed": 1000, "clean": True}


def test_a_lease_from_node(node: list[str], etcd_cluster: Cluster, client: EtcdClient) -> None:
    lease = client.call("Lease.LeaseGrant", pb.LeaseGrantRequest(TTL=60), pb.LeaseGrantResponse)
    message = {"ID": str(lease.ID)}
    with asked(node, etcd_cluster, "/v3/lease/keepalive", message, 1) as process:
        lines = heard(process)
        assert next(lines)["result"]["TTL"] == "60"
        assert next(lines) == {"closed": 1000, "clean": True}

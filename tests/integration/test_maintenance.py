"""A full store, defragmentation under writes, snapshots: one member, one process group, real files."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.integration.cluster import PATIENCE_SECONDS, Cluster, Node, wait_until
from zetcd.bolt import BoltReader
from zetcd.client import Client
from zetcd.errors import NoSpace
from zetcd.etcd_snapshot import status_of
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.messages.cluster import AlarmMember, AlarmType

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

QUOTA_BYTES = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a lone member with a small quota, shared: each test leaves it empty and without alarms."""
    extra = f"quota-backend-bytes = {QUOTA_BYTES}\n"
    with Cluster(tmp_path_factory.mktemp("maintenance"), size=1, extra=extra) as cluster:
        yield cluster


@pytest.fixture
def node(cluster: Cluster) -> Node:
    return cluster.nodes[0]


@pytest.fixture
def client(node: Node) -> Iterator[Client]:
    with Client(node.endpoint, timeout=PATIENCE_SECONDS) as client:
        yield client


def ctl(node: Node, *arguments: str) -> str:
    command = [sys.executable, "-m", "zetcd.ctl.main", "--endpoints", node.endpoint, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def fill(client: Client) -> None:
    for number in itertools.count():
        try:
            client.put(b"big/%d" % number, bytes(100_000))
        except NoSpace:
            return


def empty(client: Client) -> None:
    """Return once there is room: the pages that a compaction frees are free a little later."""
    deleted = client.delete(b"\0", range_end=b"\0")
    client.compact(deleted.header.revision, physical=True)
    wait_until(
        lambda: client.status().db_size_in_use < QUOTA_BYTES // 2, "compaction has made room"
    )


def test_a_full_store_refuses_until_there_is_room_and_somebody_disarms_it(
    client: Client, node: Node
) -> None:
    fill(client)
    alarm = AlarmMember(client.member_id, AlarmType.NOSPACE)
    wait_until(lambda: alarm in client.alarm_list().alarms, "the alarm is on")
    with pytest.raises(NoSpace):
        client.lease_grant(60)
    assert client.get(b"big/0").kvs
    assert "alarm:NOSPACE " in client.status().errors[-1]
    empty(client)
    # Room alone is not enough: the alarm speaks for the whole cluster.
    with pytest.raises(NoSpace):
        client.put(b"a", b"1")
    assert "alarm:NOSPACE" in ctl(node, "alarm", "disarm")
    client.put(b"a", b"1")


def test_defragmentation_shrinks_the_file_while_clients_write_watch_and_read(
    client: Client, node: Node
) -> None:
    fill(client)
    empty(client)
    for alarm in client.alarm_list().alarms:
        client.alarm_disarm(alarm)
    before = client.status().db_size
    stop = threading.Event()
    written: list[tuple[bytes, int]] = []

    def write() -> None:
        with Client(node.endpoint, timeout=PATIENCE_SECONDS) as writer:
            for number in itertools.count():
                if stop.is_set():
                    return
                key = b"w/%06d" % number
                written.append((key, writer.put(key, b"v%d" % number).header.revision))
                # What was written a moment ago is there, whichever file it is in.
                assert writer.get(key).kvs[0].mod_revision == written[-1][1]

    with client.watch(b"w/", range_end=b"w0") as watch:
        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(3):
                assert "Finished defragmenting etcd member[" in ctl(node, "defrag")
        finally:
            stop.set()
            thread.join()
        seen: list[tuple[bytes, int]] = []
        while len(seen) < len(written):
            response = watch.next(PATIENCE_SECONDS)
            assert response is not None
            seen += [(each.kv.key, each.kv.mod_revision) for each in response.events]
    assert seen == written
    assert client.status().db_size < before / 2
    kvs = client.get(b"w/", range_end=b"w0", serializable=True).kvs
    assert [(kv.key, kv.mod_revision) for kv in kvs] == written
    node.assert_running()


def test_a_saved_snapshot_is_an_etcd_database_with_everything_in_it(
    client: Client, node: Node, tmp_path: Path
) -> None:
    lease = client.lease_grant(1000).id
    for number in range(300):
        client.put(b"s/%d" % number, b"v%d" % number, lease=lease if number % 3 else 0)
    client.delete(b"s/1")
    file = tmp_path / "saved.db"
    shown = ctl(node, "snapshot", "save", str(file))
    assert shown == f"Snapshot saved at {file}\nServer version 3.6.0\n"
    content = file.read_bytes()
    assert len(content) % 512 == 32
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    reader = BoltReader(lambda size, offset: content[offset : offset + size], len(content) - 32)
    found = status_of(reader)
    assert found.revision == client.status().header.revision
    # Through the etcd API it is the same, in blobs of 32 KiB and one for the digest.
    with grpc.insecure_channel(f"127.0.0.1:{node.client_port}") as channel:
        call = channel.unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            request_serializer=pb.SnapshotRequest.SerializeToString,
            response_deserializer=pb.SnapshotResponse.FromString,
        )
        blobs = list(call(pb.SnapshotRequest(), timeout=PATIENCE_SECONDS))
    assert {len(each.blob) for each in blobs[:-2]} <= {32 * 1024}
    assert (len(blobs[-1].blob), blobs[-1].remaining_bytes) == (32, 0)
    assert blobs[0].remaining_bytes == sum(len(each.blob) for each in blobs[1:-1])
    assert {each.version for each in blobs} == {"3.6.0"}
    streamed = b"".join(each.blob for each in blobs)
    assert streamed == content
    snapshots = node.data_dir / "member" / "snap"
    wait_until(lambda: not list(snapshots.glob("backup-*")), "what was read is removed")

"""Moving between zetcd and a real etcd, both ways, with the real etcdutl; where Go is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.peers.build import BuildUnavailable, build_program
from tests.integration.cluster import PATIENCE_SECONDS, Cluster, Node, free_ports, wait_until
from zetcd.client import Client

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def programs() -> dict[str, Path]:
    """Yield etcd, etcdutl and etcdctl, built once for the repository."""
    try:
        return {name: build_program(name) for name in ("etcd", "etcdutl", "etcdctl")}
    except BuildUnavailable as error:
        pytest.skip(str(error))


def output_of(*command: str | Path) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def zetcdutl(*arguments: str | Path) -> str:
    return output_of(sys.executable, "-m", "zetcd.utl.main", *arguments)


class Etcd:
    """A real etcd of one member."""

    def __init__(self, programs: dict[str, Path], directory: Path) -> None:
        self.programs = programs
        self.directory = directory
        self.client_port, self.peer_port = free_ports(2)

    @contextmanager
    def running(self) -> Iterator[Etcd]:
        client = f"http://127.0.0.1:{self.client_port}"
        peer = f"http://127.0.0.1:{self.peer_port}"
        command = [
            self.programs["etcd"], "--data-dir", self.directory,
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}", "--log-level", "error",
        ]  # fmt: skip
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen([str(each) for each in command], stdout=log, stderr=log)
            try:
                wait_until(self.is_serving, "etcd serves", 2 * PATIENCE_SECONDS)
                yield self
            finally:
                process.terminate()
                process.wait(timeout=PATIENCE_SECONDS)

    def is_serving(self) -> bool:
        endpoint = f"127.0.0.1:{self.client_port}"
        command = [str(self.programs["etcdctl"]), "--endpoints", endpoint, "endpoint", "health"]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode == 0


def everything(programs: dict[str, Path], port: int, revision: int = 0) -> list[object]:
    """Return every key with all its fields, asked for through the etcd API."""
    shown = output_of(
        programs["etcdctl"], "--endpoints", f"127.0.0.1:{port}", "get", "--prefix", "",
        "--rev", str(revision), "-w", "json",
    )  # fmt: skip
    found: list[object] = json.loads(shown)["kvs"]
    return found


def etcdctl(programs: dict[str, Path], port: int, *arguments: str | Path) -> str:
    return output_of(programs["etcdctl"], "--endpoints", f"127.0.0.1:{port}", *arguments)


def fill(node: Node) -> int:
    """Write keys, history, leases and deletions; compact some of it. Returns a revision kept."""
    with Client(node.endpoint, timeout=PATIENCE_SECONDS) as client:
        lease = client.lease_grant(3600, lease_id=77).id
        for number in range(500):
            client.put(b"k/%03d" % (number % 150), os.urandom(number), lease=lease * (number % 2))
        client.delete(b"k/1", range_end=b"k/12")
        revision = client.put(b"long/" + b"k" * 2_000, b"x" * 200_000).header.revision
        client.compact(revision - 100, physical=True)
        return revision - 50


def test_there_and_back_again(programs: dict[str, Path], tmp_path: Path) -> None:
    first, second = tmp_path / "from-zetcd.db", tmp_path / "from-etcd.db"
    with Cluster(tmp_path / "old", size=1) as cluster:
        node = cluster.nodes[0]
        kept = fill(node)
        before = everything(programs, node.client_port)
        before_kept = everything(programs, node.client_port, kept)
        # The real etcdctl saves from zetcd.
        etcdctl(programs, node.client_port, "snapshot", "save", first)
    assert len(before) > 100

    # The real etcdutl checks every page of it, says the same as zetcdutl, and restores it. It
    # writes to the file that it looks at, so it gets a copy.
    looked_at = tmp_path / "looked-at.db"
    looked_at.write_bytes(first.read_bytes())
    ours = zetcdutl("snapshot", "status", first, "-w", "json")
    assert json.loads(
        output_of(programs["etcdutl"], "snapshot", "status", looked_at, "-w", "json")
    ) == (json.loads(ours))
    hashed = json.loads(zetcdutl("hashkv", first, "-w", "json"))
    etcd = Etcd(programs, tmp_path / "etcd")
    peer = f"http://127.0.0.1:{etcd.peer_port}"
    output_of(
        programs["etcdutl"], "snapshot", "restore", first, "--data-dir", etcd.directory,
        "--initial-cluster", f"default={peer}", "--initial-advertise-peer-urls", peer,
    )  # fmt: skip
    with etcd.running():
        # The real etcdutl's own hashkv panics when a key has a lease; its server's does not.
        shown = json.loads(etcdctl(programs, etcd.client_port, "endpoint", "hashkv", "-w", "json"))
        assert shown[0]["HashKV"]["hash"] == hashed["hash"]
        assert everything(programs, etcd.client_port) == before
        assert everything(programs, etcd.client_port, kept) == before_kept
        left = json.loads(
            etcdctl(programs, etcd.client_port, "lease", "timetolive", "4d", "--keys", "-w", "json")
        )
        assert left["granted-ttl"] == 3600
        etcdctl(programs, etcd.client_port, "put", "written/by/etcd", "1")
        after = everything(programs, etcd.client_port)
        etcdctl(programs, etcd.client_port, "snapshot", "save", second)

    # And back, from its snapshot and from its data directory, into members that serve it.
    for source in (
        ("snapshot", "restore", second),
        ("import", etcd.directory),
    ):
        cluster = Cluster(tmp_path / source[0], size=1)
        node = cluster.nodes[0]
        zetcdutl(
            *source, "--data-dir", node.data_dir, "--name", node.name,
            "--initial-cluster", f"{node.name}={node.peer_url}",
            "--initial-advertise-peer-urls", node.peer_url,
        )  # fmt: skip
        with cluster:
            assert everything(programs, node.client_port) == after
            assert everything(programs, node.client_port, kept) == before_kept
            with Client(node.endpoint, timeout=PATIENCE_SECONDS) as client:
                lease = client.time_to_live(77, keys=True)
                assert lease.granted_ttl == 3600
                assert lease.keys == tuple(sorted(lease.keys))
                assert len(lease.keys) > 10
                client.lease_revoke(77)
                assert not client.get(lease.keys[0]).kvs


def test_three_members_restore_one_file_and_form_a_cluster(tmp_path: Path) -> None:
    file = tmp_path / "saved.db"
    with Cluster(tmp_path / "old", size=1) as old:
        kept = fill(old.nodes[0])
        with Client(old.nodes[0].endpoint, timeout=PATIENCE_SECONDS) as client:
            before = client.get(b"\0", range_end=b"\0").kvs
            file.touch()
            with file.open("wb") as written:
                client.save_snapshot(written.write)
    new = Cluster(tmp_path / "new", size=3)
    initial = ",".join(f"{node.name}={node.peer_url}" for node in new.nodes)
    for node in new.nodes:
        zetcdutl(
            "snapshot", "restore", file, "--data-dir", node.data_dir, "--name", node.name,
            "--initial-cluster", initial, "--initial-advertise-peer-urls", node.peer_url,
        )  # fmt: skip
    with new:
        for node in new.nodes:
            with Client(node.endpoint, timeout=PATIENCE_SECONDS) as client:
                assert client.get(b"\0", range_end=b"\0").kvs == before
                assert client.get(b"k/149", revision=kept).kvs
        with Client(new.nodes[0].endpoint, timeout=PATIENCE_SECONDS) as client:
            revision = client.put(b"after", b"1").header.revision
            assert revision == before[-1].mod_revision + 1 or revision > kept

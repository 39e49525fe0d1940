"""One node: starts, serves, keeps its data, ends as told, and refuses what it must not touch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import (
    PATIENCE_SECONDS,
    Cluster,
    Node,
    free_ports,
    has_ended,
    is_free,
    wait_until,
)
from zetcd.client import Client, get, prefix_end, put, value, version
from zetcd.errors import Compacted, ExitCode, FutureRev, LeaseNotFound
from zetcd.messages.kv import EventType, PutResponse, RangeResponse

pytestmark = pytest.mark.integration


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node that is not started."""
    return Cluster(tmp_path, size=1).nodes[0]


@pytest.fixture
def running(node: Node) -> Iterator[Node]:
    """A node that serves."""
    node.start_serving()
    yield node
    if node.is_running:
        node.kill()


# --- start and stop ---------------------------------------------------------------------------------


def test_without_a_file_a_single_node_runs_with_defaults(tmp_path: Path) -> None:
    """`zetcd supervise` alone runs one node on the default ports, in ./default.zetcd."""
    if not (is_free(2380) and is_free(2382)):
        pytest.skip("something listens on a default port, 2380 or 2382")
    log_path = tmp_path / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "zetcd", "supervise"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path.cwd())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: '"event": "ready"' in log_path.read_text(), "the ready line is logged")
        with Client(timeout=10.0) as client:
            assert client.put(b"k", b"v").header.revision == 2
            assert client.get(b"k").kvs[0].value == b"v"
    finally:
        process.terminate()
        code = process.wait(PATIENCE_SECONDS)
    assert code == 0, log_path.read_text()
    assert (tmp_path / "default.zetcd" / "wal").is_dir()


def test_the_log_says_when_the_node_is_ready(running: Node) -> None:
    """One JSON object per line; the ready line has node, member, leader and term."""

    def ready_lines() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in running.log().splitlines()]
        return [line for line in lines if line["event"] == "ready"]

    # Clients may be served before the supervisor has heard of it.
    wait_until(lambda: bool(ready_lines()), "the ready line is logged")
    ready = ready_lines()
    assert len(ready) == 1
    member = f"{running.config.member_id():016x}"
    expected = {"node": "node0", "actor": "supervisor-0", "role": "leader", "level": "info"}
    assert {key: ready[0][key] for key in expected} == expected
    assert (ready[0]["leader"], ready[0]["member_id"]) == (member, member)
    assert isinstance(ready[0]["term"], int)
    assert ready[0]["term"] > 0


def test_sigterm_ends_everything(running: Node) -> None:
    """SIGTERM: exit code 0, no process killed by force, no process left, ports free."""
    with Client(running.endpoint) as client:
        client.put(b"k", b"v")
        assert running.stop() == ExitCode.OK
    assert "killing an actor" not in running.log()
    assert is_free(running.native_port)
    assert is_free(running.peer_port)
    assert not Path(running.config.runtime_dir).exists()


def test_sigint_does_the_same(running: Node) -> None:
    """SIGINT (Ctrl-C) is a request to stop like SIGTERM."""
    processes = running.processes()
    assert running.process is not None
    running.process.send_signal(signal.SIGINT)
    assert running.wait_exit(processes) == ExitCode.OK


def test_sigterm_while_starting_ends_the_node(node: Node) -> None:
    """A node that is not ready yet stops as well as one that is."""
    node.start()
    wait_until(lambda: '"event": "starting"' in node.log(), "the node starts")
    assert node.stop() == ExitCode.OK


def test_status_shows_every_process(running: Node) -> None:
    """`zetcd status` shows every process of a node with its figures, as a table and as JSON."""
    command = [sys.executable, "-m", "zetcd", "status", "--config", str(running.config_path)]
    done = subprocess.run([*command, "-w", "json"], capture_output=True, check=True, timeout=30)
    (status,) = json.loads(done.stdout)
    assert (status["name"], status["state"], status["role"]) == ("node0", "ready", "leader")
    pids = {each.pid for each in running.processes()}
    assert {each["pid"] for each in status["actors"]} == pids
    wait_until(lambda: _has_figures(running), "every process has figures")
    table = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30).stdout
    for name in ("supervisor-0", "raft-0", "wal-0", "apply-0", "watch-0", "gateway-0"):
        assert name in table
    running.stop()
    down = subprocess.run(command, capture_output=True, check=False, text=True, timeout=30)
    assert down.returncode == ExitCode.FAILED
    assert "not running" in down.stderr


def _has_figures(node: Node) -> bool:
    """Say whether memory and descriptors are known of every process; at first they are not."""
    status = node.status()
    assert status is not None
    return all(each.rss_bytes and each.fds for each in status.actors)


# --- what it serves ---------------------------------------------------------------------------------


@pytest.mark.skipif(
    os.sched_getscheduler(0) != os.SCHED_OTHER, reason="these tests run under a policy of their own"
)
def test_consensus_and_the_log_are_woken_up_before_what_serves_clients(running: Node) -> None:
    actors = running.actors()
    policies = {name: os.sched_getscheduler(pid) for name, pid in actors.items()}
    assert (policies["raft-0"], policies["wal-0"]) == (os.SCHED_OTHER, os.SCHED_OTHER)
    for name in ("apply-0", "watch-0", "snapshot-0", "gateway-0", "etcd-gateway-0"):
        threads = [int(each.name) for each in Path(f"/proc/{actors[name]}/task").iterdir()]
        assert len(threads) > 1, "ZeroMQ has threads of its own"
        assert {os.sched_getscheduler(each) for each in threads} == {os.SCHED_BATCH}


def test_the_api_end_to_end(running: Node) -> None:
    """Keys, history, transactions, leases, watches and compaction, as one client sees them."""
    with Client(running.endpoint, timeout=10.0) as client, client.watch(b"k") as watch:
        first = client.put(b"k", b"one").header.revision
        response = client.put(b"k", b"two", prev_kv=True)
        assert response.prev_kv is not None
        assert response.prev_kv.value == b"one"
        assert client.get(b"k", revision=first).kvs[0].value == b"one"
        txn = client.txn().when(value(b"k") == b"two", version(b"k") > 1)
        done = txn.then(put(b"k", b"three"), get(b"k")).otherwise(get(b"k")).commit()
        assert done.succeeded
        assert [type(each) for each in done.responses] == [PutResponse, RangeResponse]
        lease = client.lease_grant(60)
        client.put(b"leased", b"", lease=lease.id)
        assert client.time_to_live(lease.id, keys=True).keys == (b"leased",)
        assert client.leases().leases == (lease.id,)
        client.lease_revoke(lease.id)
        assert client.get(b"leased").count == 0
        with pytest.raises(LeaseNotFound):
            client.keep_alive_once(lease.id)
        assert client.delete(b"k").deleted == 1
        revision = client.compact(first + 1).header.revision
        with pytest.raises(Compacted):
            client.get(b"k", revision=first)
        with pytest.raises(FutureRev):
            client.get(b"k", revision=revision + 1)
        seen = watch.events()
        kinds = [(event.type, event.kv.value) for event in (next(seen) for _ in range(4))]
    assert kinds == [
        (EventType.PUT, b"one"),
        (EventType.PUT, b"two"),
        (EventType.PUT, b"three"),
        (EventType.DELETE, b""),
    ]


def test_a_large_range_and_large_values_arrive_whole(running: Node) -> None:
    """A response larger than a part is streamed and put together; values up to the limit work."""
    with Client(running.endpoint, timeout=30.0) as client:
        large = bytes(range(256)) * 5_600
        for each in range(4):
            client.put(b"large/%d" % each, large)
        kvs = client.get_prefix(b"large/").kvs
        assert [kv.value == large for kv in kvs] == [True] * 4
        long_key = b"key/" + b"\xff\x00" * 5_000
        client.put(long_key, b"found")
        assert client.range(b"key/", prefix_end(b"key/")).kvs[0].key == long_key


# --- what it keeps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_keeps_everything(running: Node, how: str) -> None:
    """Keys, history, leases, compaction and identity survive a clean end and kill -9 alike."""
    with Client(running.endpoint, timeout=10.0) as client:
        for number in range(50):
            client.put(b"k", b"%d" % number)
        lease = client.lease_grant(600)
        client.put(b"leased", b"v", lease=lease.id)
        client.compact(20)
        before = client.hash_kv()
        kv = client.get(b"k").kvs[0]
        identity = (client.member_id, client.cluster_id)
    getattr(running, how)()
    running.start_serving()
    with Client(running.endpoint, timeout=10.0) as client:
        after = client.hash_kv()
        assert (after.hash, after.hash_revision) == (before.hash, before.hash_revision)
        assert after.compact_revision == before.compact_revision
        assert client.get(b"k").kvs[0] == kv
        assert client.get(b"k", revision=30).kvs[0].value == b"28"
        with pytest.raises(Compacted):
            client.get(b"k", revision=19)
        found = client.time_to_live(lease.id, keys=True)
        assert (found.granted_ttl, found.keys) == (600, (b"leased",))
        assert (client.member_id, client.cluster_id) == identity
        assert client.put(b"k", b"next").header.revision == before.hash_revision + 1


def test_the_store_is_rebuilt_from_the_log(running: Node) -> None:
    """The log is the truth: a store that is gone is made again, bit for bit."""
    with Client(running.endpoint, timeout=10.0) as client:
        for number in range(50):
            client.put(b"%d" % (number % 7), b"%d" % number)
        client.delete(b"3")
        before = client.hash_kv()
    running.stop()
    for file in Path(running.config.store_dir()).iterdir():
        file.unlink()
    running.start_serving()
    with Client(running.endpoint, timeout=10.0) as client:
        assert client.hash_kv().hash == before.hash


# --- damage -----------------------------------------------------------------------------------------


def _fill(node: Node, count: int = 20) -> None:
    """Write some batches and stop cleanly."""
    node.start_serving()
    with Client(node.endpoint, timeout=10.0) as client:
        for number in range(count):
            client.put(b"k%d" % number, b"v" * 100)
    assert node.stop() == ExitCode.OK


def _segment(node: Node) -> Path:
    (segment,) = (node.data_dir / "wal").glob("*.wal")
    return segment


def _batches(content: bytes) -> list[int]:
    """Return where batches begin, see docs/wal-format.md."""
    return [at for at in range(512, len(content), 64) if content[at : at + 4] == b"zWB1"]


def test_damage_in_the_middle_of_the_log_is_refused(node: Node) -> None:
    """A bad record before good ones is corruption: refused, and the text says how to re-join."""
    _fill(node)
    segment = _segment(node)
    content = bytearray(segment.read_bytes())
    batches = _batches(bytes(content))
    content[batches[len(batches) // 2] + 100] ^= 1
    segment.write_bytes(content)
    code, said = node.run_refused()
    assert code == ExitCode.CORRUPTION, said
    assert "zetcd: the log on disk is corrupt" in said
    assert "To re-join: remove member" in said
    assert segment.read_bytes() == content, "nothing was mended behind the user's back"


def test_a_torn_tail_is_cut(node: Node) -> None:
    """A last batch of which only a part reached the disk was never acknowledged: it is cut."""
    _fill(node)
    segment = _segment(node)
    content = bytearray(segment.read_bytes())
    # What a later batch would have left behind, had the power gone after its first sector.
    last = _batches(bytes(content))[-1]
    length = int.from_bytes(content[last + 4 : last + 8], "big")
    content[last + length : last + length + 32] = content[last : last + 32]
    segment.write_bytes(content)
    node.start_serving()
    try:
        with Client(node.endpoint, timeout=10.0) as client:
            assert client.get_prefix(b"k", count_only=True).count == 20
            client.put(b"more", b"")
    finally:
        node.kill()
    recovered = [json.loads(line) for line in node.log().splitlines() if "log recovered" in line]
    assert recovered[-1]["torn_bytes_cut"] > 0


# --- refusals ---------------------------------------------------------------------------------------


def test_a_second_supervisor_on_the_same_directory_is_refused(running: Node) -> None:
    """Two supervisors on one data directory would ruin it: the second one says who has it."""
    assert running.process is not None
    code, said = running.run_refused()
    assert code == ExitCode.DATA_DIR, said
    assert f"in use by the supervisor with pid {running.process.pid}" in said
    assert running.is_serving()


def test_a_port_in_use_is_refused(running: Node, tmp_path: Path) -> None:
    """A listen address that somebody has is named, and nothing is left running."""
    other = Node("other", tmp_path / "other", free_ports(3))
    other.native_port = running.native_port
    other.write_config()
    code, said = other.run_refused()
    assert code == ExitCode.PORT_IN_USE, said
    assert running.endpoint in said
    assert running.is_serving()


def test_a_wrong_configuration_is_refused_whole(node: Node) -> None:
    """Every problem is listed at once: contradictory timings, unknown keys, limits."""
    extra = (
        'heartbeat-interval = 500\nelection-timeout = 600\nsnapshot-cuont = 5\nlog-level = "loud"\n'
    )
    node.write_config(extra=extra)
    code, said = node.run_refused()
    assert code == ExitCode.CONFIG
    assert "3 problems" in said
    assert "election-timeout = 600: must be at least 5 x heartbeat-interval (500 ms)" in said
    assert 'did you mean "snapshot-count"?' in said
    assert "log-level" in said
    assert not node.data_dir.exists()


def test_initial_settings_that_were_edited_later_are_ignored(node: Node) -> None:
    """At a restart the data directory says who the member is, as in etcd; the log warns."""
    _fill(node, count=1)
    old = node.config
    others = ",".join(f"other{each}=tcp://127.0.0.1:{each}" for each in free_ports(2))
    node.write_config(f"{node.name}={node.peer_url},{others}", 'initial-cluster-token = "another"')
    assert node.config.cluster_id() != old.cluster_id()
    node.start_serving()
    with Client(node.endpoint, timeout=10.0) as client:
        assert client.get(b"k0").kvs[0].value == b"v" * 100
        assert client.cluster_id == old.cluster_id()
        assert [each.id for each in client.member_list().members] == [old.member_id()]
    assert node.stop() == ExitCode.OK
    assert "the data directory says who this member is" in node.log_path.read_text()


def test_a_log_of_another_version_is_refused(node: Node) -> None:
    """A log in a format that this version does not know is refused, not guessed at."""
    _fill(node, count=1)
    segment = _segment(node)
    content = bytearray(segment.read_bytes())
    content[8:12] = (99).to_bytes(4, "big")
    segment.write_bytes(content)
    code, said = node.run_refused()
    assert code in (ExitCode.DATA_DIR, ExitCode.CORRUPTION), said
    assert "version" in said


def test_a_failed_start_leaves_no_process(node: Node) -> None:
    """A node that gives up at start ends all of its actors."""
    _fill(node, count=1)
    segment = _segment(node)
    content = bytearray(segment.read_bytes())
    content[600] ^= 1
    segment.write_bytes(content)
    node.start()
    assert node.process is not None
    processes = node.processes()
    assert node.process.wait(PATIENCE_SECONDS) != ExitCode.OK
    node.process = None
    wait_until(lambda: all(map(has_ended, processes)), "every process has ended")
    assert is_free(node.native_port)

"""The supervisor with real processes: restarts, give-up, the order of a stop, and no orphans."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from zetcd.config import Config, load_config
from zetcd.errors import ExitCode
from zetcd.node_status import ActorStatus, NodeStatus
from zetcd.status import ask

PATIENCE_SECONDS = 20.0
ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class SmallNode:
    """A supervisor process with small actors, and what it says."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        self.file = directory / "config.toml"
        self.data_dir = directory / "data"
        self.log_file = directory / "log"
        peer, native, etcd = free_ports(3)
        self.native_url = f"tcp://127.0.0.1:{native}"
        self.file.write_text(
            f"""
name = "small"
data-dir = "{self.data_dir}"
listen-peer-urls = ["tcp://127.0.0.1:{peer}"]
listen-native-client-urls = ["{self.native_url}"]
listen-client-urls = ["http://127.0.0.1:{etcd}"]
[supervisor]
{settings}
"""
        )
        self.config: Config = load_config(self.file)
        self.process: subprocess.Popen[bytes] | None = None

    def order(self, actor: str, order: str) -> None:
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        (self.data_dir / "orders").mkdir(exist_ok=True)
        (self.data_dir / "orders" / actor).write_text(order)

    def start(self, **environment: str) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests/unit/small_node.py"), str(self.file)],
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_ready(self) -> NodeStatus:
        self.start()
        wait_until(lambda: self.state() == "ready", "the node is ready")
        return self.status()

    def status(self) -> NodeStatus:
        status = ask(self.config).status
        assert status is not None
        return status

    def state(self) -> str:
        assert self.process is not None
        assert self.process.poll() is None, self.log_file.read_text()
        status = ask(self.config, 0.5).status
        return "" if status is None else status.state

    def actor(self, name: str) -> ActorStatus:
        return next(each for each in self.status().actors if each.actor == name)

    def pids(self) -> list[int]:
        return [each.pid for each in self.status().actors]

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def stopped(self) -> list[str]:
        return (self.data_dir / "stopped").read_text().split()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[SmallNode]:
    node = SmallNode(tmp_path)
    yield node
    if node.process is not None and node.process.poll() is None:
        node.process.kill()
        node.process.wait()


def restarted(node: SmallNode, *names: str) -> Callable[[], bool]:
    return lambda: node.state() == "ready" and all(node.actor(n).restarts == 1 for n in names)


def test_starts_every_actor_and_reports_ready_once_with_figures(node: SmallNode) -> None:
    status = node.start_ready()
    assert (status.role, status.term, status.leader) == ("leader", 7, f"{1:016x}")
    names = ["supervisor", "spawner", "raft", "wal", "apply", "watch", "snapshot"]
    names += ["gateway", "etcd-gateway"]
    assert [each.actor for each in status.actors] == [f"{name}-0" for name in names]
    assert {each.state for each in status.actors} == {"ready"}
    incarnations = [each.incarnation for each in status.actors if each.actor != "spawner-0"]
    assert sorted(incarnations) == [1, 2, 3, 4, 5, 6, 7, 8]
    wait_until(lambda: all(each.rss_bytes for each in node.status().actors), "figures are there")
    (ready,) = [event for event in node.events() if event["event"] == "ready"]
    assert ready["leader"] == f"{1:016x}"
    assert ready["member_id"] == f"{node.config.member_id():016x}"
    assert ready["term"] == 7


@pytest.mark.parametrize("name", ["apply-0", "watch-0", "gateway-0"])
def test_a_dead_actor_is_restarted_alone_and_the_others_are_told(
    node: SmallNode, name: str
) -> None:
    before = node.start_ready()
    dead = node.actor(name)
    os.kill(dead.pid, signal.SIGKILL)
    wait_until(restarted(node, name), f"{name} is restarted")
    for each in before.actors:
        assert (node.actor(each.actor).pid == each.pid) is (each.actor != name)
    assert node.actor(name).incarnation > max(each.incarnation for each in before.actors)
    told = f"{name}/{dead.incarnation}"
    wait_until(lambda: node.actor("raft-0").facts["gone"] == told, "raft is told")


@pytest.mark.parametrize("name", ["raft-0", "wal-0"])
def test_raft_and_wal_are_restarted_together(node: SmallNode, name: str) -> None:
    before = {each.actor: each.pid for each in node.start_ready().actors}
    os.kill(before[name], signal.SIGKILL)
    wait_until(restarted(node, "raft-0", "wal-0"), "both are restarted")
    after = {each.actor: each.pid for each in node.status().actors}
    changed = sorted(each for each in after if after[each] != before[each])
    assert changed == ["raft-0", "wal-0"]


def test_a_stopped_actor_is_killed_and_replaced(tmp_path: Path) -> None:
    node = SmallNode(tmp_path, "silent-seconds-max = 1.0")
    node.start_ready()
    os.kill(node.actor("watch-0").pid, signal.SIGSTOP)
    wait_until(restarted(node, "watch-0"), "watch is replaced")
    node.signal(signal.SIGTERM)
    assert node.wait() == ExitCode.OK


def test_gives_up_with_a_reason_when_an_actor_dies_again_and_again(node: SmallNode) -> None:
    node.order("watch-0", "exit 1")
    node.start()
    assert node.wait() == ExitCode.GIVE_UP
    reason = next(e["reason"] for e in node.events() if e["event"] == "the member stops")
    assert reason == "watch-0 ended with 1: death 5 of watch-0 within 30 s"


@pytest.mark.parametrize("code", [ExitCode.CORRUPTION, ExitCode.DISK, ExitCode.DATA_DIR])
def test_a_fatal_exit_code_becomes_the_members(node: SmallNode, code: ExitCode) -> None:
    node.order("wal-0", f"exit {int(code)}")
    node.start()
    assert node.wait() == code
    assert [e for e in node.events() if e["event"] == "actor died"]


def test_an_actor_that_never_reports_stops_the_member(tmp_path: Path) -> None:
    node = SmallNode(tmp_path, "start-seconds-max = 2.0")
    node.order("apply-0", "mute")
    node.start()
    assert node.wait() == ExitCode.FAILED
    assert "apply-0 did not start within" in node.log_file.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_actors_in_order(node: SmallNode, number: signal.Signals) -> None:
    node.start_ready()
    pids = node.pids()
    node.signal(number)
    assert node.wait() == ExitCode.OK
    stopped = node.stopped()
    assert sorted(stopped[:2]) == ["etcd-gateway-0", "gateway-0"]
    assert stopped[2] == "raft-0"
    assert sorted(stopped[3:6]) == ["apply-0", "snapshot-0", "watch-0"]
    assert stopped[6:] == ["wal-0"]
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), f"{pid} is gone")  # type: ignore[misc]


def test_an_actor_that_does_not_stop_is_killed(node: SmallNode) -> None:
    node.order("apply-0", "stubborn")
    pids = (node.start_ready(), node.pids())[1]
    node.signal(signal.SIGTERM)
    assert node.wait() == ExitCode.OK
    assert "wal-0" in node.stopped()
    event = "killing an actor that did not stop"
    assert [each["killed"] for each in node.events() if each["event"] == event] == ["apply-0"]
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), f"{pid} is gone")  # type: ignore[misc]


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    node = SmallNode(tmp_path, "drain-seconds = 600.0")
    node.order("gateway-0", "stubborn")
    node.start_ready()
    node.signal(signal.SIGTERM)
    wait_until((node.data_dir / "stopped").exists, "the stop has begun")

    def has_ended() -> bool:
        # The same signal twice at the same moment is taken for one; go on until it is a second one.
        node.signal(signal.SIGTERM)
        return node.process is not None and node.process.poll() is not None

    wait_until(has_ended, "it stops at once")
    assert node.wait() == ExitCode.OK


def test_two_signals_at_the_same_moment_are_one(node: SmallNode) -> None:
    node.start_ready()
    node.signal(signal.SIGTERM)
    node.signal(signal.SIGINT)
    assert node.wait() == ExitCode.OK
    assert node.stopped()[-1] == "wal-0"


def test_sigkill_leaves_no_orphan_and_the_node_starts_again_at_once(node: SmallNode) -> None:
    incarnation = node.start_ready().actors[0].incarnation
    pids = node.pids()
    node.signal(signal.SIGKILL)
    node.wait()
    assert node.start_ready().actors[0].incarnation > incarnation
    for pid in pids:
        assert is_gone(pid)


def test_the_death_of_the_spawner_ends_the_member(node: SmallNode) -> None:
    node.start_ready()
    pids = node.pids()
    os.kill(node.actor("spawner-0").pid, signal.SIGKILL)
    assert node.wait() == ExitCode.FAILED
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), f"{pid} is gone")  # type: ignore[misc]


def test_a_second_supervisor_is_refused(node: SmallNode) -> None:
    status = node.start_ready()
    first, node.process = node.process, None
    node.start()
    assert node.wait() == ExitCode.DATA_DIR
    assert f"is in use by the supervisor with pid {status.pid}" in node.log_file.read_text()
    node.process = first
    assert node.status().pid == status.pid


def test_a_port_in_use_is_named(node: SmallNode) -> None:
    with socket.create_server(("127.0.0.1", int(node.native_url.rpartition(":")[2]))):
        node.start()
        assert node.wait() == ExitCode.PORT_IN_USE
    assert f"listen-native-client-urls {node.native_url}" in node.log_file.read_text()


def test_a_data_directory_that_others_may_enter_is_refused(node: SmallNode) -> None:
    node.data_dir.mkdir(mode=0o755)
    node.start()
    assert node.wait() == ExitCode.DATA_DIR
    assert f"type: chmod 700 {node.data_dir}" in node.log_file.read_text()


def test_refuses_to_run_without_assertions(node: SmallNode) -> None:
    node.start(PYTHONOPTIMIZE="1")
    assert node.wait() == ExitCode.USAGE
    assert not node.data_dir.exists()

"""The local cluster: its files, its processes, its views, and that it leaves nothing running."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace
from rich.console import Console

from zetcd.config import load_config
from zetcd.errors import ConfigError, ExitCode
from zetcd.local import LocalOptions, prepare
from zetcd.local_view import PlainView, WriteRates, cluster_table
from zetcd.node_status import ActorStatus, NodeStatus
from zetcd.status import NodeReply, ask, local_configs

PATIENCE_SECONDS = 30.0
ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def free_base_port(nodes: int) -> int:
    """Return a base port whose cluster finds its ports free."""
    for base in range(21_000 + os.getpid() % 500 * 20, 32_000, 10):
        probes = [socket.socket() for _ in range(nodes * 3)]
        try:
            for number, probe in enumerate(probes):
                probe.bind(("127.0.0.1", base + 10 * (number // 3) + number % 3))
        except OSError:
            continue
        else:
            return base
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no free ports")


def test_files_of_a_new_cluster_follow_the_documented_ports(tmp_path: Path) -> None:
    nodes = prepare(LocalOptions(3, tmp_path, 5000), tmp_path)
    assert [node.config.name for node in nodes] == ["node0", "node1", "node2"]
    config = load_config(tmp_path / "node2" / "config.toml")
    assert config.data_dir == str(tmp_path / "node2" / "data")
    assert config.listen_client_urls == ("http://127.0.0.1:5020",)
    assert config.listen_peer_urls == ("tcp://127.0.0.1:5021",)
    assert config.listen_native_client_urls == ("tcp://127.0.0.1:5022",)
    assert [member.name for member in config.initial_members()].count("node1") == 1
    assert len({node.config.cluster_id() for node in nodes}) == 1
    assert len({node.config.member_id() for node in nodes}) == 3


def test_files_of_an_earlier_run_are_kept(tmp_path: Path) -> None:
    prepare(LocalOptions(1, tmp_path, 5000), tmp_path)
    file = tmp_path / "node0" / "config.toml"
    file.write_text(file.read_text() + "\n[raft]\nnice = 0\n")
    (node,) = prepare(LocalOptions(1, tmp_path, 5000), tmp_path)
    assert node.config.raft.nice == 0


@pytest.mark.parametrize(
    ("nodes", "port", "mend"), [(3, 5000, "use --nodes 2"), (2, 6000, "use the --base-port of")]
)
def test_another_cluster_in_the_directory_is_refused(
    tmp_path: Path, nodes: int, port: int, mend: str
) -> None:
    prepare(LocalOptions(2, tmp_path, 5000), tmp_path)
    with pytest.raises(ConfigError) as caught:
        prepare(LocalOptions(nodes, tmp_path, port), tmp_path)
    assert mend in str(caught.value)


class LocalProcess:
    """A running local cluster of small actors."""

    def __init__(self, directory: Path, nodes: int) -> None:
        self.directory = directory
        self.log_file = directory.with_suffix(".log")
        arguments = ["local", str(directory), str(nodes), str(free_base_port(nodes))]
        self.command = [sys.executable, str(ROOT / "tests/unit/small_node.py"), *arguments]
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, terminal: int | None = None) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log if terminal is None else terminal,
                stderr=log if terminal is None else terminal,
            )

    def wait_healthy(self) -> None:
        wait_until(lambda: "cluster is healthy" in self.log(), "the cluster is healthy")

    def log(self) -> str:
        return self.log_file.read_text()

    def pids(self) -> list[int]:
        assert self.process is not None
        here = psutil.Process(self.process.pid)
        return [each.pid for each in here.children(recursive=True)]

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalProcess]:
    cluster = LocalProcess(tmp_path / "cluster", 2)
    yield cluster
    if cluster.process is not None and cluster.process.poll() is None:
        cluster.process.kill()
        cluster.process.wait()


def assert_all_gone(pids: list[int]) -> None:
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), f"{pid} is gone")  # type: ignore[misc]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process(cluster: LocalProcess, number: signal.Signals) -> None:
    cluster.start()
    cluster.wait_healthy()
    pids = cluster.pids()
    assert len(pids) == 2 * 9
    assert cluster.end(number) == ExitCode.OK
    for pid in pids:
        assert is_gone(pid)
    assert cluster.log().count("stopped") >= 2


def test_sigkill_leaves_nothing(cluster: LocalProcess) -> None:
    cluster.start()
    cluster.wait_healthy()
    pids = cluster.pids()
    assert cluster.end(signal.SIGKILL) == -signal.SIGKILL
    assert_all_gone(pids)


def test_a_killed_node_is_shown_and_may_be_started_again_by_hand(cluster: LocalProcess) -> None:
    cluster.start()
    cluster.wait_healthy()
    config = local_configs(cluster.directory)[1]
    status = ask(config).status
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    file = cluster.directory / "node1" / "config.toml"
    hint = f"node1 ended with -9; start it again: zetcd supervise {file}"
    wait_until(lambda: hint in cluster.log(), "the command is shown")
    wait_until(lambda: "node1: down" in cluster.log(), "it is shown as down")
    with cluster.log_file.open("ab") as log:
        again = subprocess.Popen(
            [cluster.command[0], cluster.command[1], str(file)],
            env=cluster.environment,
            stdout=log,
            stderr=log,
        )
    wait_until(lambda: cluster.log().count("node1: ready") == 2, "it is shown as ready again")
    assert cluster.end(signal.SIGTERM) == ExitCode.OK
    assert again.wait(PATIENCE_SECONDS) == ExitCode.OK


def test_a_node_that_cannot_start_ends_the_cluster_with_its_exit_code(
    cluster: LocalProcess,
) -> None:
    with socket.create_server(("127.0.0.1", int(cluster.command[-1]) + 12)):
        cluster.start()
        assert cluster.process is not None
        assert cluster.process.wait(PATIENCE_SECONDS) == ExitCode.PORT_IN_USE
    assert f"node1 did not start: exit code {int(ExitCode.PORT_IN_USE)}" in cluster.log()
    assert "listen-native-client-urls tcp://127.0.0.1:" in cluster.log()


def test_on_a_terminal_the_nodes_log_to_files_and_a_table_is_shown(cluster: LocalProcess) -> None:
    terminal, far = pty.openpty()
    cluster.start(far)
    os.close(far)
    os.set_blocking(terminal, False)
    shown = bytearray()

    def has_shown(text: bytes) -> bool:
        try:
            shown.extend(os.read(terminal, 65_536))
        except OSError:
            return text in shown
        return text in shown

    wait_until(lambda: has_shown(b"cluster is healthy"), "the line is shown")
    wait_until(lambda: has_shown(b"node1") and has_shown(b"writes/s"), "the table is shown")
    log = cluster.directory / "node0" / "log"
    assert "ready" in log.read_text()
    assert cluster.process is not None
    cluster.process.send_signal(signal.SIGTERM)
    wait_until(lambda: has_shown(b"") and cluster.process.poll() is not None, "it ends")  # type: ignore[union-attr]
    assert cluster.process.returncode == ExitCode.OK
    os.close(terminal)


def status_of(name: str, *, state: str = "ready", term: int = 3, requests: int = 0) -> NodeStatus:
    apply = ActorStatus("apply-0", facts={"applied": "41", "requests": str(requests)})
    gateway = ActorStatus("gateway-0", facts={"sessions": "5"}, rss_bytes=3 << 20, cpu_percent=7)
    raft = ActorStatus("raft-0", facts={"committed": "42"}, rss_bytes=2 << 20, cpu_percent=2)
    return NodeStatus(
        name=name,
        member_id="1",
        cluster_id="2",
        version="0",
        pid=77,
        state=state,
        uptime_seconds=1.0,
        role="leader",
        leader="1",
        term=term,
        data_dir="/d",
        native_urls=("tcp://127.0.0.1:2382",),
        actors=(apply, gateway, raft),
    )


def test_the_rate_of_writes_is_that_between_two_looks() -> None:
    rates = WriteRates()
    assert rates.rate(status_of("a", requests=100), 10.0) == 0.0
    assert rates.rate(status_of("a", requests=300), 12.0) == 100.0
    assert rates.rate(status_of("b", requests=300), 12.0) == 0.0
    # apply was restarted and counts from the beginning.
    assert rates.rate(status_of("a", requests=10), 13.0) == 0.0
    assert rates.rate(status_of("a", requests=20), 14.0) == 10.0


def test_the_table_has_a_row_for_every_node() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        replies = [NodeReply("a", status_of("a")), NodeReply("b", None, "gone")]
        console.print(cluster_table(replies, WriteRates(), 1.0))
    _, *rows = [line.split() for line in capture.get().splitlines()]
    assert rows == [
        ["a", "ready", "leader", "3", "42", "41", "5", "0", "9", "5", "77"],
        ["b", "down", *["-"] * 9],
    ]


def test_the_table_shows_whole_figures_in_80_columns() -> None:
    """The pid is what one kills a node by: the last column must not be the one that is cut."""
    apply = ActorStatus("apply-0", facts={"applied": "1234567", "requests": "1"})
    raft = ActorStatus("raft-0", facts={"committed": "1234567"})
    status = replace(
        status_of("node0", term=1234), role="follower", pid=4_194_304, actors=(apply, raft)
    )
    reply = NodeReply("node0", status)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(cluster_table([reply], WriteRates(), 1.0))
    heading, row = capture.get().splitlines()
    assert "…" not in heading + row
    assert row.split()[4:6] == ["1234567", "1234567"]
    assert row.split()[-1] == "4194304"


def test_the_plain_view_shows_changes_only(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    silent = NodeReply("a", None, "not there yet")
    for reply in (silent, NodeReply("a", status_of("a", state="starting"))):
        view.show([reply], 0.0)
    view.show([NodeReply("a", status_of("a"))], 1.0)
    view.show([NodeReply("a", status_of("a"))], 2.0)
    view.show([NodeReply("a", status_of("a", term=4))], 3.0)
    view.show([silent], 4.0)
    assert capsys.readouterr().out.splitlines() == [
        "a: starting, leader, term 3",
        "a: ready, leader, term 3",
        "a: ready, leader, term 4",
        "a: down",
    ]

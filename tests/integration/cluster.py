"""Clusters of real nodes for the integration tests: real processes, sockets, files and kills."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from zetcd.client import Client
from zetcd.config import Config, load_config
from zetcd.errors import ZetcdError
from zetcd.node_status import ActorStatus, NodeStatus
from zetcd.runtime.runtime_directory import remove_runtime_dir
from zetcd.status import ask

#: Seconds within which anything a test waits for must have happened.
PATIENCE_SECONDS = 60.0
#: Characters of each node's log that a failed test shows.
_LOG_TAIL_MAX = 8_000
#: Below the range that outgoing connections are given; test processes side by side start apart.
_PORTS = itertools.cycle(
    itertools.islice(
        itertools.cycle(range(20_000, 32_000)), (os.getpid() * 97) % 12_000, 12_000 + 97
    )
)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return when ``condition`` holds; fail, naming ``what``, if it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def is_free(port: int) -> bool:
    """Say whether a listener could have ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return TCP ports that nobody listens on; none is given out twice in a test run."""
    return list(itertools.islice(filter(is_free, _PORTS), count))


def has_ended(process: psutil.Process) -> bool:
    """Say whether a process has ended, be it that nobody has collected its exit code yet.

    Of a process with threads the first may have ended, which is all that its state says, while
    others do not yet know of it: until the last one has, its files, locks and sockets are open.
    """
    try:
        if not process.is_running():
            return True
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


class Node:
    """One member: its configuration, its directory and, while it runs, its supervisor process."""

    def __init__(self, name: str, directory: Path, ports: Sequence[int]) -> None:
        self.name = name
        self.directory = directory
        self.client_port, self.peer_port, self.native_port = ports
        self.peer_scheme = "tcp"
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = directory / "log"
        self.config_path = directory / "config.toml"

    @property
    def endpoint(self) -> str:
        return f"tcp://127.0.0.1:{self.native_port}"

    @property
    def peer_url(self) -> str:
        return f"{self.peer_scheme}://127.0.0.1:{self.peer_port}"

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def config(self) -> Config:
        return load_config(self.config_path)

    @property
    def is_running(self) -> bool:
        return self.process is not None

    def write_config(self, initial_cluster: str = "", extra: str = "") -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(
            f"""
name = "{self.name}"
data-dir = "{self.data_dir}"
listen-peer-urls = ["{self.peer_url}"]
listen-native-client-urls = ["{self.endpoint}"]
listen-client-urls = ["http://127.0.0.1:{self.client_port}"]
initial-cluster = "{initial_cluster}"
{extra}
"""
        )

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the supervisor and return at once."""
        assert self.process is None
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "zetcd", "supervise", str(self.config_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_serving(self) -> None:
        """Start, and return once linearizable reads are answered."""
        self.start()
        wait_until(self.is_serving, f"{self.name} serves")

    def run_refused(self) -> tuple[int, str]:
        """Start a supervisor that is expected to refuse; return its exit code and what it said."""
        command = [sys.executable, "-m", "zetcd", "supervise", str(self.config_path)]
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=PATIENCE_SECONDS, text=True
        )
        return done.returncode, done.stdout + done.stderr

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and everything below it."""
        assert self.process is not None
        try:
            supervisor = psutil.Process(self.process.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """SIGKILL the supervisor; return once the kernel has ended every process of the node."""
        assert self.process is not None
        processes = self.processes()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None
        self._assert_gone(processes)

    def stop(self) -> int:
        """SIGTERM the supervisor; return its exit code."""
        assert self.process is not None
        processes = self.processes()
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit(processes)

    def wait_exit(self, processes: Sequence[psutil.Process]) -> int:
        """Return the exit code once the supervisor and all ``processes`` have ended."""
        assert self.process is not None
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self.process = None
        self._assert_gone(processes)
        return code

    def _assert_gone(self, processes: Sequence[psutil.Process]) -> None:
        wait_until(lambda: all(map(has_ended, processes)), f"{self.name} leaves no orphan")

    # --- questions ----------------------------------------------------------------------------

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def log_tail(self) -> str:
        return self.log()[-_LOG_TAIL_MAX:]

    def status(self) -> NodeStatus | None:
        """Return what the supervisor says, None if it does not answer."""
        return ask(self.config).status

    def actor(self, name: str) -> ActorStatus:
        """Return one actor, for example ``raft-0``; one that does not exist has no pid."""
        status = self.status()
        found = [each for each in status.actors if each.actor == name] if status else []
        return found[0] if found else ActorStatus(name)

    def actors(self) -> dict[str, int]:
        """Return the pids of all actors, by name."""
        status = self.status()
        assert status is not None, f"{self.name} does not answer"
        return {each.actor: each.pid for each in status.actors}

    def kill_actor(self, name: str) -> int:
        """SIGKILL one actor; return the pid it had."""
        pid = self.actor(name).pid
        assert pid, f"{name} of {self.name} is not running:\n{self.log_tail()}"
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_actor_back(self, name: str, old_pid: int) -> None:
        """Return once ``name`` has another process that does its work, and the node is ready."""

        def is_back() -> bool:
            self.assert_running()
            status = self.status()
            actor = self.actor(name)
            is_new = actor.pid not in (0, old_pid) and actor.state == "ready"
            return is_new and status is not None and status.state == "ready"

        wait_until(is_back, f"{name} of {self.name} is back")

    def assert_running(self) -> None:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"{self.name} ended with {code}:\n{self.log_tail()}"

    def is_serving(self) -> bool:
        """Say whether the node answers a linearizable read."""
        self.assert_running()
        try:
            with Client(self.endpoint, timeout=2.0) as client:
                client.get(b"health")
        except ZetcdError:
            return False
        return True

    def leadership(self) -> tuple[int, int, int] | None:
        """Return (own id, leader's id, term), or None if the node does not answer."""
        try:
            with Client(self.endpoint, timeout=2.0) as client:
                status = client.status()
                return client.member_id, status.leader, status.raft_term
        except ZetcdError:
            return None


class Cluster:
    """Several nodes on loopback; a context manager that leaves nothing running."""

    def __init__(
        self,
        directory: Path,
        size: int = 3,
        extra: str = "",
        extra_of: Mapping[int, str] | None = None,
        peer_scheme: str = "tcp",
    ) -> None:
        """Write the configurations; ``extra`` for all nodes, ``extra_of`` for single ones."""
        ports = free_ports(3 * size)
        self.nodes = [
            Node(f"node{each}", directory / f"node{each}", ports[3 * each : 3 * each + 3])
            for each in range(size)
        ]
        for node in self.nodes:
            node.peer_scheme = peer_scheme
        initial_cluster = ",".join(f"{node.name}={node.peer_url}" for node in self.nodes)
        for number, node in enumerate(self.nodes):
            node.write_config(initial_cluster, extra + (extra_of or {}).get(number, ""))

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
            self.wait_serving()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        self.kill_all()
        for node in self.nodes:
            # It is outside of the test's own directory if that is too deep for sockets; a test may break the file.
            with contextlib.suppress(ZetcdError, OSError):
                remove_runtime_dir(Path(node.config.runtime_dir))

    def kill_all(self) -> None:
        """SIGKILL every supervisor before waiting for the end of any."""
        for node in self.running:
            assert node.process is not None
            node.process.kill()
        for node in self.running:
            node.kill()

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes if node.is_running]

    @property
    def endpoints(self) -> list[str]:
        return [node.endpoint for node in self.nodes]

    def endpoints_from(self, first: Node) -> list[str]:
        """Return all endpoints, that of ``first`` first: clients try them in order."""
        return [first.endpoint, *(node.endpoint for node in self.nodes if node is not first)]

    def wait_serving(self) -> None:
        """Return once every running node answers linearizable reads."""
        for node in self.running:
            wait_until(node.is_serving, f"{node.name} serves")

    def leader_and_term(self) -> tuple[Node, int]:
        """Return the node that all running nodes agree leads, and the term they agree on."""
        found: list[tuple[Node, int]] = []

        def agree() -> bool:
            answers = [(node, node.leadership()) for node in self.running]
            known = [(node, answer) for node, answer in answers if answer is not None]
            views = {(leader, term) for _, (_, leader, term) in known}
            found[:] = [(node, term) for node, (own, leader, term) in known if own == leader]
            return len(known) == len(answers) and len(views) == 1 and len(found) == 1

        wait_until(agree, "the nodes agree on a leader")
        return found[0]

    def leader(self) -> Node:
        return self.leader_and_term()[0]

    def followers(self) -> list[Node]:
        leader = self.leader()
        return [node for node in self.running if node is not leader]

    def move_leader(self, target: Node) -> None:
        """Return once ``target`` leads."""

        def moved() -> bool:
            leader = self.leader()
            if leader is target:
                return True
            with contextlib.suppress(ZetcdError), Client(leader.endpoint, timeout=3.0) as client:
                client.move_leader(target.config.member_id())
            return False

        wait_until(moved, f"{target.name} leads")


def hashes_at(cluster: Cluster, revision: int) -> list[int | None]:
    """Return each running member's hash of the history up to ``revision``; None: not there yet."""

    def hash_of(node: Node) -> int | None:
        try:
            with Client(node.endpoint, timeout=5.0) as client:
                return client.hash_kv(revision).hash
        except ZetcdError:
            return None

    return [hash_of(node) for node in cluster.running]


def assert_same_history(cluster: Cluster) -> None:
    """Assert that every running member comes to hold the same history, by its hash."""
    with Client(cluster.endpoints, timeout=10.0) as client:
        revision = client.get(b"health").header.revision
    wait_until(
        lambda: None not in hashes_at(cluster, revision), f"every member has revision {revision}"
    )
    assert len(set(hashes_at(cluster, revision))) == 1


@contextlib.contextmanager
def client_of(cluster: Cluster, timeout: float = 10.0) -> Iterator[Client]:
    """Yield a client of the whole cluster."""
    with Client(cluster.endpoints, timeout=timeout) as client:
        yield client

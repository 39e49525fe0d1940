"""An actor's process: how it ends, with which exit code, and what it says about it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from zetcd.actors.actor import APPLY, RAFT, SUPERVISOR, WAL
from zetcd.errors import ExitCode
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.node import (
    ActorReport,
    ActorRole,
    Drained,
    Hello,
    LeaderInfo,
    Shutdown,
)
from zetcd.messages.raft import HardState
from zetcd.messages.storage import StorageAppend
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.log_storage import LogOptions, open_log
from zetcd.runtime.mailbox import Address, ZmqMailbox

_Inbox = Hello | ActorReport | Drained | LeaderInfo
_PROGRAM = """
import sys
from zetcd.actors.entry import run_actor
from zetcd.config import load_config
from zetcd.messages.node import ActorRole
from zetcd.runtime.mailbox import Address
sys.exit(run_actor(load_config(sys.argv[1]), Address(ActorRole(int(sys.argv[2]))), 2))
"""
PATIENCE_SECONDS = 60.0


class Node:
    """Directories and configuration of a node, of which one actor at a time is started."""

    def __init__(self, directory: Path) -> None:
        self.runtime_dir = tempfile.mkdtemp(dir="/tmp")
        self.data_dir = directory / "a"
        self.data_dir.mkdir()
        self.config_file = directory / "config.toml"
        self.configure()

    def configure(self, **settings: object) -> None:
        values: dict[str, object] = {
            "name": "a",
            "data-dir": str(self.data_dir),
            "runtime-dir": self.runtime_dir,
            **{key.replace("_", "-"): value for key, value in settings.items()},
        }
        # JSON values of these kinds are TOML values.
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]
        self.config_file.write_text("".join(lines))

    def start(self, address: Address) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _PROGRAM, str(self.config_file), str(int(address.role))]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def run(self, address: Address) -> tuple[int, str]:
        """Run an actor that ends by itself; return its exit code and what it said."""
        with self.start(address) as process:
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, said


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    shutil.rmtree(node.runtime_dir)


def test_a_peer_port_in_use_has_its_own_exit_code(node: Node) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        node.configure(
            listen_peer_urls=[url],
            initial_advertise_peer_urls=[url],
            initial_cluster=f"a={url}",
        )
        code, said = node.run(RAFT)
    assert code == ExitCode.PORT_IN_USE, said
    assert f"address already in use (listen-peer-urls {url})" in said
    assert "Traceback" not in said


def test_a_socket_that_cannot_be_made_is_said_in_one_line(node: Node) -> None:
    missing = f"{node.runtime_dir}/missing"
    node.configure(runtime_dir=missing)
    code, said = node.run(WAL)
    assert code == ExitCode.FAILED, said
    assert missing in said
    assert "Traceback" not in said


def test_a_directory_that_cannot_be_used_is_a_matter_of_the_disk(node: Node) -> None:
    (node.data_dir / "db").write_text("in the way")
    code, said = node.run(APPLY)
    assert code == ExitCode.DISK, said
    assert str(node.data_dir / "db") in said
    assert "Traceback" not in said


def test_a_store_that_lmdb_does_not_accept_is_a_matter_of_the_disk(node: Node) -> None:
    store = node.data_dir / "db"
    store.mkdir()
    (store / "trust").write_text("clean")
    (store / "data.mdb").write_bytes(b"no such thing" * 1000)
    code, said = node.run(APPLY)
    assert code == ExitCode.DISK, said
    assert "the store is rebuilt from the log" in said
    assert "Traceback" not in said


def test_the_log_of_another_member_has_its_own_exit_code(node: Node) -> None:
    wal_dir = str(node.data_dir / "wal")
    node.configure(wal_dir=wal_dir)
    storage = open_log(OSFileSystem(), wal_dir, LogOptions(cluster_id=1, member_id=2))
    storage.append([StorageAppend((), HardState(1, 0, 0))])
    storage.close()
    code, said = node.run(WAL)
    assert code == ExitCode.DATA_DIR, said
    assert "Traceback" not in said


def test_a_defect_is_logged_with_its_traceback(node: Node) -> None:
    # A role without a module.
    code, said = node.run(Address(ActorRole.SUPERVISOR))
    assert code == ExitCode.FAILED, said
    assert "actor crashed" in said
    assert "KeyError" in said


class Supervisor:
    """What the supervisor hears."""

    def __init__(self, node: Node) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.mailbox = ZmqMailbox(
            node.runtime_dir,
            SUPERVISOR,
            1,
            neighbours=(WAL,),
            decoder=UnionDecoder(_Inbox),
            context=self.context,
        )

    def wait_for(self, kind: type[Message]) -> Message:
        while True:
            assert self.mailbox.inbox.poll(int(PATIENCE_SECONDS * 1000)), f"no {kind.__name__}"
            for each in self.mailbox.receive(1):
                if isinstance(each.message, kind):
                    return each.message

    def close(self) -> None:
        self.mailbox.close()
        self.context.term()


def test_signals_are_the_supervisors_matter_and_a_request_to_stop_ends_well(node: Node) -> None:
    supervisor = Supervisor(node)
    with node.start(WAL) as process:
        supervisor.wait_for(ActorReport)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        supervisor.wait_for(ActorReport)
        supervisor.mailbox.send(WAL, Shutdown())
        # Said before the end, and not lost with it.
        supervisor.wait_for(Drained)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    supervisor.close()
    assert process.returncode == ExitCode.OK, said

"""Asking a node how it is, and showing the answer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from rich.console import Console

from zetcd.config import Config
from zetcd.node_status import CONTROL_NAME, ActorStatus, NodeStatus
from zetcd.status import NodeReply, ask, duration, local_configs, node_table, to_json

RAFT = ActorStatus(
    "raft-0",
    pid=12,
    incarnation=3,
    state="ready",
    restarts=1,
    uptime_seconds=75.0,
    cpu_percent=12.34,
    cpu_seconds=5.0,
    rss_bytes=30 << 20,
    fds=21,
    threads=3,
    facts={"role": "leader", "applied": "41"},
)
STATUS = NodeStatus(
    name="a",
    member_id="00000000000000aa",
    cluster_id="00000000000000bb",
    version="0",
    pid=11,
    state="ready",
    uptime_seconds=3700.0,
    role="leader",
    leader="00000000000000aa",
    term=7,
    data_dir="/d",
    actors=(
        RAFT,
        ActorStatus("wal-0", state="waiting", restarts=4),
        ActorStatus("gateway-0", facts={"sessions": "2"}),
        ActorStatus("gateway-1", facts={"sessions": "3"}),
    ),
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Callable[[bytes], Config]]:
    """Return a function that makes a control socket answer the next question with given bytes."""
    child = 0

    def answer(body: bytes) -> Config:
        nonlocal child
        child = os.fork()
        if child == 0:
            with zmq.Context() as context, context.socket(zmq.REP) as socket:
                socket.bind(f"ipc://{tmp_path}/{CONTROL_NAME}")
                socket.recv()
                socket.send(body)
                socket.poll(30_000)
            os._exit(0)
        while not (tmp_path / CONTROL_NAME).exists():
            os.sched_yield()
        return Config(name="a", runtime_dir=str(tmp_path))

    yield answer
    os.kill(child, 9)
    os.waitpid(child, 0)


def test_asks_the_control_socket(supervisor: Callable[[bytes], Config]) -> None:
    config = supervisor(msgspec.json.encode(STATUS))
    assert ask(config) == NodeReply("a", STATUS)


def test_an_answer_that_is_no_status_is_said_to_be_one(
    supervisor: Callable[[bytes], Config],
) -> None:
    reply = ask(supervisor(b'{"error": "unknown command"}'))
    assert reply.status is None
    assert reply.reason.startswith("answers with something else: ")


def test_a_node_that_never_ran_here(tmp_path: Path) -> None:
    reply = ask(Config(name="a", runtime_dir=str(tmp_path)))
    assert reply == NodeReply("a", None, f"not running: there is no {tmp_path}/control")


def test_a_node_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / CONTROL_NAME).touch()
    reply = ask(Config(name="a", runtime_dir=str(tmp_path)), seconds=0.05)
    assert reply == NodeReply("a", None, f"not running: nobody answers on {tmp_path}/control")


def test_configurations_of_a_local_cluster_come_in_the_order_of_their_numbers(
    tmp_path: Path,
) -> None:
    for name in ("node10", "node9", "node0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(f'name = "{name}"')
    assert [each.name for each in local_configs(tmp_path)] == ["node0", "node9", "node10"]


def test_a_directory_without_nodes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no node below {tmp_path}"):
        local_configs(tmp_path)


def test_facts_are_found_by_role() -> None:
    assert STATUS.fact("raft", "applied") == "41"
    assert STATUS.fact("raft", "unknown") == ""
    assert STATUS.fact("apply", "applied") == ""
    assert STATUS.fact_sum("gateway", "sessions") == 5
    assert STATUS.fact_sum("raft", "role") == 0


def test_json_holds_every_node() -> None:
    running, down = json.loads(to_json([NodeReply("a", STATUS), NodeReply("b", None, "why")]))
    assert msgspec.convert(running, NodeStatus) == STATUS
    assert down == {"name": "b", "state": "down", "error": "why"}


def test_the_table_shows_figures_and_facts() -> None:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(node_table(STATUS))
    title, *lines = capture.get().splitlines()
    assert title.split("  ")[:4] == ["a", "ready", "leader", "term 7"]
    assert "up 1h 1m" in title
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    figures = ["12", "1m 15s", "12.3", "5.0", "30.0", "21", "3", "1"]
    assert rows[0] == ["raft-0", "ready", *figures, "applied=41  role=leader"]
    assert rows[1] == ["wal-0", "waiting", *["-"] * 7, "4", ""]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (59.94, "59.9s"), (60, "1m 0s"), (7384, "2h 3m"), (90_000, "1d 1h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text

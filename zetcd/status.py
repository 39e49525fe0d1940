"""Responsible for asking running nodes how they are and for showing the answer.

A node is found by its runtime directory, which follows from its configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import zmq

from zetcd.config import Config, load_config
from zetcd.node_status import CONTROL_NAME, ActorStatus, ControlRequest, NodeStatus

if TYPE_CHECKING:
    from rich.table import Table

#: A supervisor answers within a turn of its loop; a longer silence means that it is stuck.
ANSWER_SECONDS_MAX: Final = 2.0
_MIB: Final = 1024 * 1024


class NodeReply(NamedTuple):
    """What came of asking one node."""

    name: str
    #: None: it does not answer.
    status: NodeStatus | None
    #: Why not.
    reason: str = ""


def ask(config: Config, seconds: float = ANSWER_SECONDS_MAX) -> NodeReply:
    """Ask the supervisor of the node with ``config``; wait at most ``seconds``."""
    path = Path(config.runtime_dir) / CONTROL_NAME
    if not path.exists():
        return NodeReply(config.name, None, f"not running: there is no {path}")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    with context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{path}")
        socket.send(msgspec.json.encode(ControlRequest("status")))
        if not socket.poll(int(seconds * 1000)):
            return NodeReply(config.name, None, f"not running: nobody answers on {path}")
        answer = socket.recv()
    try:
        return NodeReply(config.name, msgspec.json.decode(answer, type=NodeStatus))
    except msgspec.DecodeError as error:
        return NodeReply(config.name, None, f"answers with something else: {error}")


def local_configs(directory: Path) -> tuple[Config, ...]:
    """Return the configurations of a local cluster, by node name.

    Raises:
        FileNotFoundError: there is none in ``directory``.
        ConfigError: one of them is wrong.
    """
    files = sorted(directory.glob("*/config.toml"), key=_node_order)
    if not files:
        raise FileNotFoundError(f"no node below {directory}: expected {directory}/*/config.toml")
    return tuple(load_config(file) for file in files)


def _node_order(file: Path) -> tuple[int, str]:
    """Sort node10 after node9."""
    name = file.parent.name
    digits = name[len(name.rstrip("0123456789")) :]
    return int(digits or 0), name


def to_json(replies: Sequence[NodeReply]) -> str:
    """Return one JSON array: a `NodeStatus` per node, or its name with ``error``."""
    nodes: list[object] = [
        reply.status or {"name": reply.name, "state": "down", "error": reply.reason}
        for reply in replies
    ]
    return msgspec.json.format(msgspec.json.encode(nodes), indent=2).decode()


def node_table(status: NodeStatus) -> Table:
    """Return a table of all processes of one node."""
    from rich.markup import escape  # noqa: PLC0415 - rich costs start-up time elsewhere
    from rich.table import Table  # noqa: PLC0415

    title = (
        f"{status.name}  {status.state}  {status.role or 'no role'}  term {status.term}  "
        f"member {status.member_id}  leader {status.leader or 'none'}  "
        f"up {duration(status.uptime_seconds)}"
    )
    table = Table(title=escape(title), title_justify="left")
    table.add_column("actor")
    table.add_column("state")
    for heading in ("pid", "up", "CPU %", "CPU s", "RSS MiB", "fds", "threads", "restarts"):
        table.add_column(heading, justify="right")
    table.add_column("facts", overflow="fold")
    for actor in status.actors:
        table.add_row(*map(escape, _cells(actor)))
    return table


def _cells(actor: ActorStatus) -> tuple[str, ...]:
    facts = "  ".join(f"{key}={value}" for key, value in sorted(actor.facts.items()))
    if not actor.pid:
        return (actor.actor, actor.state, *("-",) * 7, str(actor.restarts), facts)
    return (
        actor.actor,
        actor.state,
        str(actor.pid),
        duration(actor.uptime_seconds),
        f"{actor.cpu_percent:.1f}",
        f"{actor.cpu_seconds:.1f}",
        f"{actor.rss_bytes / _MIB:.1f}",
        str(actor.fds),
        str(actor.threads),
        str(actor.restarts),
        facts,
    )


def duration(seconds: float) -> str:
    """Return a time span in its two largest units, for example ``2m 5s``."""
    whole = int(seconds)
    for name, unit, small_name, small in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= unit:
            return f"{whole // unit}{name} {whole % unit // small}{small_name}"
    return f"{seconds:.1f}s"

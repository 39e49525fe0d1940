"""A node whose actors are real processes that do next to nothing: run as a program by the tests.

    python small_node.py CONFIG_FILE                    one node
    python small_node.py local DIRECTORY NODES PORT     a local cluster

Each actor obeys the file ``<data-dir>/orders/<actor>`` when it starts: ``exit N`` ends it at once,
``stubborn`` makes it ignore a request to stop, ``mute`` never lets it report. All others run
and write what they are asked to stop for into ``<data-dir>/stopped``.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import zmq

from zetcd.actors.actor import Actor, run
from zetcd.config import Config, load_config
from zetcd.local import LocalOptions, run_local
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.node import ActorGone, ActorRole, Hello, LeaderInfo, Role, Shutdown
from zetcd.runtime.clock import SystemClock
from zetcd.runtime.mailbox import Address, ZmqMailbox
from zetcd.supervision import ActorProgram, supervise

_Inbox = Hello | Shutdown | ActorGone
SUPERVISOR = Address(ActorRole.SUPERVISOR)


class SmallActor(Actor):
    """Reports, notes who died, and stops when asked."""

    def __init__(self, mailbox: ZmqMailbox, data_dir: Path, order: str) -> None:
        super().__init__(mailbox, SystemClock())
        self.order = order
        self.data_dir = data_dir
        self.gone: list[str] = []
        self.is_ready = True

    def neighbour_started(self, neighbour: Address) -> None:
        self.report(self.clock.now())
        if self.mailbox.address.role is ActorRole.RAFT:
            self.mailbox.send(neighbour, LeaderInfo(7, 1, Role.LEADER))

    def handle(self, sender: Address, message: Message, now: float) -> None:
        assert isinstance(message, ActorGone)
        self.gone.append(f"{Address(message.role, message.instance)}/{message.incarnation}")
        self.report(now)

    def facts(self) -> tuple[tuple[str, str], ...]:
        return (("gone", " ".join(self.gone)),)

    def shut_down(self, request: Shutdown, now: float) -> None:
        with (self.data_dir / "stopped").open("a") as file:
            file.write(f"{self.mailbox.address}\n")
        if self.order != "stubborn":
            super().shut_down(request, now)


def run_small_actor(config: Config, address: Address, incarnation: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    data_dir = Path(config.data_dir)
    order_file = data_dir / "orders" / str(address)
    order = order_file.read_text() if order_file.exists() else ""
    if order.startswith("exit"):
        return int(order.split()[1])
    while order == "mute":
        time.sleep(60)
    mailbox = ZmqMailbox(
        config.runtime_dir,
        address,
        incarnation,
        neighbours=(SUPERVISOR,),
        decoder=UnionDecoder(_Inbox),
        context=zmq.Context(),
    )
    run(SmallActor(mailbox, data_dir, order), [mailbox])
    mailbox.close()
    return 0


if __name__ == "__main__":
    program = ActorProgram(run_small_actor, ())
    if sys.argv[1] == "local":
        directory, nodes, port = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
        options = LocalOptions(nodes, directory, port, program=program)
        raise SystemExit(run_local(options))
    raise SystemExit(supervise(load_config(sys.argv[1]), program=program))

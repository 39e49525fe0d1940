"""Responsible for the process that carries what members say in TLS; the work is `PeerRelay`'s.

It is there only if a peer URL is https. It holds nothing that could be lost: when it dies it is started
again alone, ZeroMQ connects again, and raft says again what was on its way. Actors wait for it at a
socket that outlives it.

On an event loop, as the gateways of the etcd API: TLS is done by asyncio's transports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog
import uvloop
import zmq

from zetcd.actors.actor import SUPERVISOR, Actor, Pollable
from zetcd.actors.entry import ActorSetting
from zetcd.actors.raft_setting import raise_priority
from zetcd.config import Config
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.node import ActorGone, Hello, Shutdown
from zetcd.runtime.mailbox import Address
from zetcd.runtime.peer_tls import PeerRelay

_Inbox = Hello | Shutdown | ActorGone
#: Decodes what this actor may receive.
INBOX: Final = UnionDecoder(_Inbox)

#: The inbox is looked at so often, whatever ZeroMQ's descriptor says of it.
_TURN_SECONDS: Final = 0.25


def neighbours(config: Config, instance: int) -> tuple[Address, ...]:
    """Return the actors that this one talks to."""
    del config, instance
    return (SUPERVISOR,)


class PeerTlsActor(Actor):
    """Runs one `PeerRelay`."""

    def __init__(self, setting: ActorSetting, relay: PeerRelay) -> None:
        """Wire the relay; it carries nothing before `run`."""
        super().__init__(setting.mailbox, setting.clock)
        self._relay = relay
        #: Something is in the inbox, perhaps.
        self._due: asyncio.Event

    def run(self, sources: Sequence[Pollable]) -> None:
        """Carry until the actor stops. Exceptions pass through."""
        (inbox,) = [source.inbox for source in sources]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(inbox))

    async def _serve(self, inbox: zmq.Socket[bytes]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_on_loop_failure)
        self._due = asyncio.Event()
        descriptor = inbox.getsockopt(zmq.FD)
        assert isinstance(descriptor, int), "FD is a number"
        carrying = loop.create_task(self._relay.serve())
        turning = loop.create_task(self._take_turns())
        loop.add_reader(descriptor, self._due.set)
        try:
            # Whatever fails ends the process.
            done, _ = await asyncio.wait((carrying, turning), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            loop.remove_reader(descriptor)
            for task in (carrying, turning):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self._relay.close()

    async def _take_turns(self) -> None:
        self.become_ready()
        while self.is_running:
            self._due.clear()
            self.turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TURN_SECONDS):
                    await self._due.wait()

    def handle(self, sender: Address, message: Message, now: float) -> None:
        """Nothing that other actors say or do matters here."""

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return connections for `zetcd status`."""
        return tuple(sorted(self._relay.facts().items()))


def _on_loop_failure(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log what went wrong in one connection; the others go on."""
    del loop
    failure = context.get("exception")
    if not isinstance(failure, OSError):
        structlog.get_logger().error(
            "a connection of peers failed", error=repr(failure or context.get("message"))
        )


def build(setting: ActorSetting) -> tuple[Actor, Sequence[Pollable]]:
    """Read the certificates and bind the peer port."""
    # Heartbeats come this way.
    raise_priority(setting.config.raft.nice)
    return PeerTlsActor(setting, PeerRelay(setting.config)), ()

"""Responsible for the tunnel's socket, made before any process is forked, and for a relay in a thread.

The socket listens as long as the supervisor lives: while peer-tls is started again, connections of the
other actors wait in it, and nobody else can take its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import uvloop

from zetcd.config import Config
from zetcd.config.tree import PeerTunnel
from zetcd.runtime.peer_tls import PeerRelay

_KEY_BYTES: Final = 16
_BACKLOG: Final = 128


@contextlib.contextmanager
def with_tunnel(config: Config) -> Iterator[Config]:
    """Yield the configuration with a tunnel, if it takes one to reach other members.

    Raises:
        OSError: there is no loopback interface.
    """
    if not config.has_peer_tls():
        yield config
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(_BACKLOG)
        tunnel = PeerTunnel(
            port=int(listener.getsockname()[1]),
            key=secrets.token_hex(_KEY_BYTES),
            descriptor=listener.fileno(),
        )
        yield replace(config, peer_tunnel=tunnel)


def carry_in_thread(config: Config) -> None:
    """Start a relay for a process that is not the actor and ends soon.

    Raises:
        OSError: a certificate cannot be used.
        PortInUse: another process listens there.
    """
    relay = PeerRelay(config)

    def carry() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(relay.serve())

    threading.Thread(target=carry, daemon=True).start()

"""Responsible for turning a freshly forked process into one actor, running it, and its exit code."""

from __future__ import annotations

import errno
import gc
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Final, cast

import structlog
import zmq

from zetcd import telemetry
from zetcd.actors.actor import Actor, Pollable
from zetcd.config import Config
from zetcd.errors import ExitCode, ZetcdError, exit_code_of
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.node import ActorRole
from zetcd.runtime.clock import Clock, SystemClock
from zetcd.runtime.mailbox import Address, Mailbox, ZmqMailbox
from zetcd.runtime.process import let_others_go_first

#: Module of each role; each has INBOX (a `UnionDecoder`), ``neighbours(config)`` and ``build(setting)``.
MODULES: Final = {
    ActorRole.RAFT: "zetcd.actors.raft_actor",
    ActorRole.WAL: "zetcd.actors.wal_actor",
    ActorRole.APPLY: "zetcd.actors.apply_actor",
    ActorRole.WATCH: "zetcd.actors.watch_actor",
    ActorRole.SNAPSHOT: "zetcd.actors.snapshot_actor",
    ActorRole.GATEWAY: "zetcd.actors.gateway_actor",
    ActorRole.ETCD_GATEWAY: "zetcd.actors.etcd_gateway_actor",
    ActorRole.PEER_TLS: "zetcd.actors.peer_tls_actor",
}

#: Who never takes the processor from whoever runs. Consensus and the log may: a heartbeat does not wait for a client.
#: On busy cores these are woken up later and find more to do at once (docs/decisions/0091-consensus-runs-first.md).
_LATER: Final = frozenset(
    {
        ActorRole.APPLY,
        ActorRole.WATCH,
        ActorRole.SNAPSHOT,
        ActorRole.GATEWAY,
        ActorRole.ETCD_GATEWAY,
    }
)


@dataclass(frozen=True, slots=True)
class ActorSetting:
    """What an actor is built from."""

    config: Config
    clock: Clock
    #: Already bound and connected.
    mailbox: Mailbox
    #: For sockets beside the mailbox (peers, clients).
    context: zmq.Context[zmq.Socket[bytes]]


Build = Callable[[ActorSetting], tuple[Actor, Sequence[Pollable]]]
Neighbours = Callable[[Config, int], tuple[Address, ...]]


def _parts(module: ModuleType) -> tuple[UnionDecoder, Neighbours, Build]:
    return (
        cast(UnionDecoder, module.INBOX),
        cast(Neighbours, module.neighbours),
        cast(Build, module.build),
    )


def run_actor(config: Config, address: Address, incarnation: int) -> int:
    """Run one actor until it stops; return the exit code of the process."""
    # Ctrl-C reaches the whole process group; stopping in order is the supervisor's matter.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if address.role in _LATER:
        # Before ZeroMQ starts its threads, which do the same.
        let_others_go_first()
    telemetry.configure(config, actor=str(address))
    log: structlog.stdlib.BoundLogger = structlog.get_logger()
    context = zmq.Context(io_threads=1)
    actor: Actor | None = None
    try:
        inbox, neighbours, build = _parts(import_module(MODULES[address.role]))
        mailbox = ZmqMailbox(
            config.runtime_dir,
            address,
            incarnation,
            neighbours=neighbours(config, address.instance),
            decoder=inbox,
            context=context,
        )
        setting = ActorSetting(config, SystemClock(), mailbox, context)
        actor, extra_sources = build(setting)
        # Everything made so far lives as long as the process: keep the collector away from it.
        gc.collect()
        gc.freeze()
        actor.run([mailbox, *extra_sources])
        return actor.exit_code
    except ZetcdError as error:
        log.error("actor stopped", error=error.text, detail=str(error))
        return exit_code_of(error)
    except OSError as error:
        log.error("actor stopped by the operating system", error=str(error), errno=error.errno)
        # Too many open files are too many clients; the disk has nothing to do with it.
        is_full = error.errno in (errno.EMFILE, errno.ENFILE)
        return ExitCode.FAILED if is_full else ExitCode.DISK
    except zmq.ZMQError as error:
        log.error("actor stopped: it has no socket", error=str(error), errno=error.errno)
        return ExitCode.PORT_IN_USE if error.errno == zmq.EADDRINUSE else ExitCode.FAILED
    except Exception:
        log.exception("actor crashed", pid=os.getpid())
        return ExitCode.FAILED
    finally:
        if actor is not None:
            actor.close()
        context.destroy(linger=0 if actor is None or actor.is_running else 200)

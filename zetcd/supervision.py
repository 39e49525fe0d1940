"""Responsible for putting a node together in the right order, and for its exit code.

    1  data directory made or verified, and locked      no second supervisor, no old actor
    2  listen addresses tried                           or an error that names the URL
    3  who this node is: a running cluster may know     asked by a process of its own
    4  everything imported, then the spawner forked     before any ZeroMQ context exists
    5  ZeroMQ context, mailbox, control socket, loop    the supervisor proper

Refuses `python -O`: assertions guard the data.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

import zmq

from zetcd import __version__, etcd_lines, telemetry
from zetcd.actors.entry import MODULES, run_actor
from zetcd.config import Config
from zetcd.config.urls import names_file
from zetcd.errors import ExitCode, ZetcdError, exit_code_of, require_asserts
from zetcd.gateway.urls import all_urls
from zetcd.runtime.certificates import with_certificates
from zetcd.runtime.clock import SystemClock
from zetcd.runtime.identity import identified
from zetcd.runtime.listening import check_listen_urls
from zetcd.runtime.mailbox import Address
from zetcd.runtime.peer_tunnel import with_tunnel
from zetcd.runtime.process import (
    process_age_seconds,
    raise_descriptor_limit,
    set_process_name,
)
from zetcd.runtime.runtime_directory import (
    DataDirectory,
    clear_sockets,
    make_private_directory,
    remove_runtime_dir,
)
from zetcd.runtime.spawner import Spawner, SpawnerGone
from zetcd.runtime.stop_signals import arrived, stop_signals
from zetcd.supervisor import Supervisor, actor_addresses

#: Descriptors that an actor needs beside those of its clients, with room to spare.
_DESCRIPTORS_SPARE: Final = 200


@dataclass(frozen=True, slots=True)
class ActorProgram:
    """What the processes of a node run."""

    #: Runs one actor in its process and returns the exit code.
    run: Callable[[Config, Address, int], int]
    #: Imported before the first fork.
    modules: tuple[str, ...]

    def preload(self) -> None:
        """Import everything the actors need, once for all of them."""
        for module in self.modules:
            import_module(module)


class Ending(NamedTuple):
    """How a node stopped."""

    code: ExitCode
    #: The signal that asked for it; None = nobody did.
    signal: signal.Signals | None


#: The actors of zetcd.
ACTORS: Final = ActorProgram(run_actor, tuple(MODULES.values()))


def supervise(
    config: Config,
    *,
    program: ActorProgram = ACTORS,
    notify_socket: str = "",
    ignores_interrupt: bool = False,
) -> ExitCode:
    """Run one node until it stops; return the exit code for this process; for arguments see `run_node`."""
    return run_node(
        config,
        program=program,
        notify_socket=notify_socket,
        ignores_interrupt=ignores_interrupt,
    ).code


def run_node(
    config: Config,
    *,
    program: ActorProgram = ACTORS,
    notify_socket: str = "",
    ignores_interrupt: bool = False,
) -> Ending:
    """Run one node until it stops; return how it did.

    Args:
        config: of the node.
        program: what the actors run.
        notify_socket: where a service manager listens for READY=1; empty = nowhere.
        ignores_interrupt: leave SIGINT to the parent, which stops this node by SIGTERM.
    """
    require_asserts()
    began = time.monotonic() - process_age_seconds()
    try:
        telemetry.configure(config, actor="supervisor-0")
        log = telemetry.get_logger()
    except OSError as error:
        # The log itself does not work: standard error is all there is.
        telemetry.configure_process(node=config.name, actor="supervisor-0")
        telemetry.get_logger().error("cannot open the log", error=str(error))
        return Ending(ExitCode.CONFIG, None)
    log.info("starting", version=__version__, pid=os.getpid(), data_dir=config.data_dir)
    set_process_name(f"zetcd:{config.name}", f"zetcd: {config.name} supervisor")
    _raise_descriptor_limit(config)
    ending = Ending(ExitCode.FAILED, None)
    try:
        with stop_signals(ignores_interrupt=ignores_interrupt) as signals:
            ending = _supervise(config, program, signals, began, notify_socket)
    except ZetcdError as error:
        ending = Ending(exit_code_of(error), None)
        log.error("cannot start", error=str(error), exit_code=int(ending.code))
    except SpawnerGone as error:
        log.error("the spawner died, and with it every actor", error=str(error))
    except OSError as error:
        ending = Ending(ExitCode.DISK, None)
        log.error("stopped by the operating system", error=str(error), exit_code=int(ending.code))
    log.info("stopped", exit_code=int(ending.code))
    _say_as_etcd(config, (etcd_lines.closed(config),))
    return ending


def _say_as_etcd(config: Config, lines: Iterable[etcd_lines.Line]) -> None:
    """Log what tools wait for in etcd's log, if it is to be like etcd's."""
    if config.logger == "zap":
        log = telemetry.get_logger()
        for line in lines:
            log.info(line.message, **line.fields)


def _raise_descriptor_limit(config: Config) -> None:
    """Allow as many open files as the hard limit says; warn if clients may need more."""
    limit = raise_descriptor_limit()
    if limit < config.gateway.sessions_max + _DESCRIPTORS_SPARE:
        telemetry.get_logger().warning(
            "few open files allowed: clients beyond them are not accepted",
            limit=limit,
            sessions_max=config.gateway.sessions_max,
            mend="raise the hard limit (ulimit -Hn, LimitNOFILE=)",
        )


def _supervise(
    config: Config, program: ActorProgram, signals: int, began: float, notify_socket: str
) -> Ending:
    is_initialized = Path(config.wal_dir).is_dir()
    _say_as_etcd(config, etcd_lines.starting(config, is_initialized=is_initialized))
    data = DataDirectory.open(Path(config.data_dir))
    runtime_dir = Path(config.runtime_dir)
    make_private_directory(runtime_dir, "runtime-dir")
    clear_sockets(runtime_dir)
    with with_tunnel(with_certificates(config)) as prepared:
        _check_listening(prepared)
        known = identified(prepared, signals)
        if known is None:
            data.close()
            return Ending(ExitCode.OK, next(iter(arrived(signals)), None))
        return _run(known, program, data, signals=signals, began=began, notify_socket=notify_socket)


def _check_listening(config: Config) -> None:
    """Refuse addresses that this machine or another process does not give; raises as `check_listen_urls`."""
    native_urls = all_urls(config.listen_native_client_urls, config.gateway.native_processes)
    etcd_urls = [
        (key, url)
        for key, urls in (
            ("listen-client-urls", config.listen_client_urls),
            ("listen-client-http-urls", config.listen_client_http_urls),
            ("listen-metrics-urls", config.listen_metrics_urls),
        )
        for url in urls
        if config.gateway.etcd_processes and not names_file(url)
    ]
    check_listen_urls(
        [
            *(("listen-peer-urls", url) for url in config.listen_peer_urls),
            *(("listen-native-client-urls", url) for url in native_urls),
            *etcd_urls,
        ]
    )


def _run(
    config: Config,
    program: ActorProgram,
    data: DataDirectory,
    *,
    signals: int,
    began: float,
    notify_socket: str,
) -> Ending:
    program.preload()
    addresses = {str(each): each for each in actor_addresses(config)}
    spawner = Spawner.start(
        lambda name, incarnation: program.run(config, addresses[name], incarnation),
        label=config.name,
    )
    context: zmq.Context[zmq.Socket[bytes]] | None = None
    try:
        context = zmq.Context(io_threads=1)
        supervisor = Supervisor(
            config,
            spawner=spawner,
            data=data,
            context=context,
            clock=SystemClock(),
            signals=signals,
            began=began,
            notify_socket=notify_socket,
        )
        return Ending(supervisor.run(), supervisor.stop_signal)
    finally:
        spawner.close()
        if context is not None:
            context.destroy(linger=0)
        remove_runtime_dir(Path(config.runtime_dir))
        data.close()

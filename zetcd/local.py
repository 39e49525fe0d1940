"""Responsible for a cluster of nodes on this machine, for trying things out and for tests.

How it works
    Everything is imported once, then each node is forked from this process and supervises itself as
    `zetcd supervise` would. This process only watches: it never restarts a node. A node killed by
    hand is shown as down, with the command that starts it again; started that way, it is a part of
    the cluster as before, and is ended with it.

    Node i has the ports P+10·i (etcd API, reserved), +1 (peers) and +2 (native protocol), its
    configuration in ``<dir>/node<i>/config.toml`` and its data in ``<dir>/node<i>/data``.

Invariant: nothing outlives this process, not even after SIGKILL (PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
import psutil

from zetcd.config import Config
from zetcd.errors import ConfigError, ExitCode, Problem, ZetcdError, require_asserts
from zetcd.local_view import LocalView, view_for
from zetcd.runtime.process import (
    die_with_parent,
    process_age_seconds,
    set_process_name,
    sibling_command,
)
from zetcd.runtime.stop_signals import arrived, stop_signals
from zetcd.status import NodeReply, ask, local_configs
from zetcd.supervision import ACTORS, ActorProgram, supervise

#: Node 0 then has the default ports of a single node: 2381 for peers apart, 2382 for clients.
BASE_PORT_DEFAULT: Final = 2380
NODES_MAX: Final = 9
_PORTS_PER_NODE: Final = 10
_HOST: Final = "127.0.0.1"
#: Seconds between two looks at the nodes: while they start, and afterwards.
_START_LOOK_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 1.0
#: A node that does not answer within this is shown as down; the others must not wait for it.
_ASK_SECONDS: Final = 0.3
#: Beyond the nodes' own drain time, until they are killed.
_STOP_PATIENCE_SECONDS: Final = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class LocalOptions:
    """What `zetcd local` was asked for."""

    nodes: int = 1
    #: None: a temporary directory, removed at the end.
    directory: Path | None = None
    base_port: int = BASE_PORT_DEFAULT
    #: Called once, when the cluster is healthy, with the native URLs of its nodes and a function
    #: that shows a line.
    demo: Callable[[list[str], Callable[[str], None]], None] | None = None
    program: ActorProgram = ACTORS


class LocalNode:
    """One node: its configuration and, while it runs as our child, its process."""

    def __init__(self, config: Config, file: Path) -> None:
        """Describe the node whose configuration is in ``file``; nothing is started."""
        self.config = config
        self.file = file
        #: 0 = not our child, or not any more.
        self.pid = 0
        self.exit_code: int | None = None

    @property
    def log_file(self) -> Path:
        """Where its log goes while a live view has the terminal."""
        return self.file.parent / "log"

    def start(self, program: ActorProgram, log_file: Path | None) -> None:
        """Fork the node; its standard output goes to ``log_file``, if given."""
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(program, parent, log_file)

    def _run(self, program: ActorProgram, parent: int, log_file: Path | None) -> None:
        code = int(ExitCode.FAILED)
        try:
            die_with_parent(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if log_file is not None:
                file = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(file, 1)
                os.dup2(file, 2)
                os.close(file)
            # Ctrl-C reaches the whole process group; stopping is the parent's matter.
            code = int(supervise(self.config, program=program, ignores_interrupt=True))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def reap(self) -> bool:
        """Return whether it has just ended."""
        if not self.pid:
            return False
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.pid = 0
        self.exit_code = os.waitstatus_to_exitcode(status)
        return True

    def start_command(self) -> str:
        """Return what to type to start it again."""
        return f"{sibling_command('zetcd')} supervise {self.file}"


def node_config(number: int, options: LocalOptions, directory: Path) -> Config:
    """Return the configuration of node ``number``, as it is written to its file."""

    def url(node: int, offset: int, scheme: str = "tcp") -> str:
        return f"{scheme}://{_HOST}:{options.base_port + _PORTS_PER_NODE * node + offset}"

    members = ",".join(f"node{each}={url(each, 1)}" for each in range(options.nodes))
    return Config(
        name=f"node{number}",
        data_dir=str(directory / f"node{number}" / "data"),
        listen_client_urls=(url(number, 0, "http"),),
        listen_peer_urls=(url(number, 1),),
        listen_native_client_urls=(url(number, 2),),
        initial_cluster=members,
        log_format="console",
    )


def prepare(options: LocalOptions, directory: Path) -> list[LocalNode]:
    """Write the configurations, or read those that are there from an earlier run.

    Raises:
        ConfigError: the directory holds a cluster of another size or on other ports, or a
            configuration was changed into one that cannot be used.
    """
    written = sorted(directory.glob("node*/config.toml"))
    if not written:
        for number in range(options.nodes):
            home = directory / f"node{number}"
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            config = node_config(number, options, directory)
            (home / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    elif len(written) != options.nodes:
        mend = f"use --nodes {len(written)} or another --dir"
        problem = Problem("--nodes", str(options.nodes), f"{directory} holds another cluster", mend)
        raise ConfigError(problems=[problem], source=str(directory))
    configs = local_configs(directory)
    _check_base_port(configs[0], options, directory)
    return [LocalNode(each, directory / each.name / "config.toml") for each in configs]


def _check_base_port(config: Config, options: LocalOptions, directory: Path) -> None:
    expected = node_config(0, options, directory)
    if config.listen_native_client_urls != expected.listen_native_client_urls:
        found = ", ".join(config.listen_native_client_urls)
        mend = "use the --base-port of the first run or another --dir"
        why = f"the cluster in {directory} listens on {found}"
        raise ConfigError(problems=[Problem("--base-port", str(options.base_port), why, mend)])


class LocalCluster:
    """The loop of `zetcd local`."""

    def __init__(self, nodes: list[LocalNode], view: LocalView, options: LocalOptions) -> None:
        """Run ``nodes`` and show them in ``view``."""
        self._nodes = nodes
        self._view = view
        self._options = options
        self._was_healthy = False
        self._replies: list[NodeReply] = []

    def run(self, signals: int) -> ExitCode:
        """Start the nodes, watch them until a signal arrives, stop them."""
        for node in self._nodes:
            log_file = node.log_file if self._view.owns_terminal else None
            node.start(self._options.program, log_file)
        code = ExitCode.OK
        try:
            with self._view:
                while code is ExitCode.OK and not arrived(signals):
                    code = self._look()
                    seconds = _LOOK_SECONDS if self._was_healthy else _START_LOOK_SECONDS
                    select.select([signals], [], [], seconds)
        finally:
            self._stop(signals)
        return code

    def _look(self) -> ExitCode:
        """Look at every node once; not OK = the cluster could not be started."""
        for node in self._nodes:
            if not node.reap():
                continue
            if not self._was_healthy:
                return self._failed(node)
            self._view.say(
                f"{node.config.name} ended with {node.exit_code}; start it again: "
                f"{node.start_command()}"
            )
        self._replies = [ask(node.config, _ASK_SECONDS) for node in self._nodes]
        self._view.show(self._replies, time.monotonic())
        if not self._was_healthy and all(map(_is_ready, self._replies)):
            self._was_healthy = True
            return self._greet()
        return ExitCode.OK

    def _failed(self, node: LocalNode) -> ExitCode:
        self._view.say(f"{node.config.name} did not start: exit code {node.exit_code}")
        if self._view.owns_terminal:
            lines = node.log_file.read_text(errors="replace").splitlines()
            for line in lines[-5:]:
                self._view.say(f"  {line}")
        known = {int(each): each for each in ExitCode}
        code = known.get(node.exit_code or 0, ExitCode.FAILED)
        return code if code is not ExitCode.OK else ExitCode.FAILED

    def _greet(self) -> ExitCode:
        """Say that the cluster is healthy; not OK = the demonstration failed."""
        leader = next(
            (r.name for r in self._replies if r.status and r.status.role == "leader"), "?"
        )
        count = len(self._nodes)
        self._view.say(f"cluster is healthy: {count} node{'s' * (count > 1)}, leader {leader}")
        self._view.say(f"  started in {process_age_seconds():.2f} s")
        urls = [url for n in self._nodes for url in n.config.advertise_native_client_urls]
        self._view.say(f"  endpoints {','.join(urls)}")
        directory = self._nodes[0].file.parent.parent
        if self._options.demo is not None:
            try:
                self._options.demo(urls, self._view.say)
            except ZetcdError as error:
                self._view.say(f"the demonstration failed: {error}")
                return ExitCode.FAILED
        self._view.say(f"  {sibling_command('zetcd')} status --dir {directory}")
        self._view.say("Ctrl-C ends the cluster.")
        return ExitCode.OK

    def _stop(self, signals: int) -> None:
        """End our children and nodes that were started again by hand; SIGKILL what does not end."""
        self._view.say("stopping")
        drain = max(node.config.supervisor.drain_seconds for node in self._nodes)
        processes = [psutil.Process(node.pid) for node in self._nodes if node.pid]
        processes += self._strangers()
        _send_all(processes, signal.SIGTERM)
        deadline = time.monotonic() + drain + _STOP_PATIENCE_SECONDS
        while processes and time.monotonic() < deadline:
            _, processes = psutil.wait_procs(processes, timeout=0.05)
            processes = [process for process in processes if not _is_zombie(process)]
            if arrived(signals):
                _send_all(processes, signal.SIGTERM)
        _send_all(processes, signal.SIGKILL)
        psutil.wait_procs(processes, timeout=1)

    def _strangers(self) -> list[psutil.Process]:
        """Return the supervisors of nodes that were started again by hand."""
        found = []
        for node in self._nodes:
            status = None if node.pid else ask(node.config, _ASK_SECONDS).status
            if status is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(status.pid))
        return found


def _is_ready(reply: NodeReply) -> bool:
    return reply.status is not None and reply.status.state == "ready"


def _is_zombie(process: psutil.Process) -> bool:
    """Say whether a process has ended, although its parent (a shell) has not noticed yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _send_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def run_local(options: LocalOptions) -> ExitCode:
    """Run a cluster until SIGTERM or SIGINT; return the exit code of this process."""
    require_asserts()
    with contextlib.ExitStack() as stack:
        directory = options.directory
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="zetcd-local-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        try:
            nodes = prepare(options, directory.absolute())
        except ConfigError as error:
            click.echo(str(error), err=True)
            return ExitCode.CONFIG
        signals = stack.enter_context(stop_signals())
        set_process_name("zetcd:local", "zetcd: local")
        # Once here instead of once in each node.
        options.program.preload()
        return LocalCluster(nodes, view_for(sys.stdout), options).run(signals)

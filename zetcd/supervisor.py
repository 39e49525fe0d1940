"""Responsible for one running node: starts its actors, watches, restarts and stops them.

It decides nothing itself: `RestartPolicy` says whom to start and kill, `ShutdownPlan` in which
order to stop. Here the spawner is asked, messages are sent and questions about the node answered.

Invariants
    - Every process asked for is in the `ProcessTable` until its death is reported.
    - Nothing here waits, except poll.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import zmq

from zetcd import __version__, etcd_lines, telemetry
from zetcd.actors.actor import gateway_addresses
from zetcd.config import Config
from zetcd.errors import ExitCode
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.node import (
    ActorGone,
    ActorReport,
    ActorRole,
    Drained,
    Figure,
    FiguresRequest,
    Hello,
    LeaderInfo,
    NodeFigures,
    Role,
    Shutdown,
)
from zetcd.node_status import NodeStatus
from zetcd.restart_policy import ActorKey, RestartPolicy, Stop
from zetcd.runtime.clock import Clock
from zetcd.runtime.mailbox import Address, ZmqMailbox
from zetcd.runtime.runtime_directory import DataDirectory
from zetcd.runtime.service_notify import notify
from zetcd.runtime.spawner import EventKind, Spawner, SpawnerEvent
from zetcd.runtime.stop_signals import arrived
from zetcd.shutdown_plan import ShutdownPlan
from zetcd.supervisor_control import ControlServer
from zetcd.supervisor_figures import node_figures
from zetcd.supervisor_processes import ProcessTable

_Inbox = Hello | ActorReport | Drained | LeaderInfo | FiguresRequest
#: Decodes what the supervisor may receive.
INBOX: Final = UnionDecoder(_Inbox)

SUPERVISOR: Final = Address(ActorRole.SUPERVISOR)
#: Messages handled in one turn.
_MESSAGES_PER_TURN_MAX: Final = 1_024
#: Longest sleep; the grain at which silence is noticed.
_TURN_SECONDS_MAX: Final = 0.5
#: CPU percentages cover at most this long.
_SAMPLE_SECONDS: Final = 5.0
#: Tools that stop a whole group of processes signal a node twice: by its parent, and directly.
_SIGNAL_ECHO_SECONDS: Final = 0.3
#: The kernel needs a moment to end a killed process.
_KILL_PATIENCE_SECONDS: Final = 1.0


def actor_addresses(config: Config) -> tuple[Address, ...]:
    """Return every actor of a node."""
    roles = (
        ActorRole.RAFT,
        ActorRole.WAL,
        ActorRole.APPLY,
        ActorRole.WATCH,
        ActorRole.SNAPSHOT,
    )
    tls = (Address(ActorRole.PEER_TLS),) if config.has_peer_tls() else ()
    return (*(Address(role) for role in roles), *tls, *gateway_addresses(config))


class Supervisor:
    """The loop of the supervisor process."""

    def __init__(  # noqa: PLR0913 - one argument per thing it is built from, all by name
        self,
        config: Config,
        *,
        spawner: Spawner,
        data: DataDirectory,
        context: zmq.Context[zmq.Socket[bytes]],
        clock: Clock,
        signals: int,
        began: float,
        notify_socket: str = "",
    ) -> None:
        """Build the node's supervisor; nothing is started before `run`.

        Args:
            config: of the node.
            spawner: forks the actors.
            data: the locked data directory; gives out incarnations.
            context: for the mailbox and the control socket.
            clock: monotonic time.
            signals: descriptor of `stop_signals`.
            began: when the process started, in seconds of ``clock``.
            notify_socket: where a service manager listens; empty = nowhere.
        """
        now = clock.now()
        self._config = config
        self._log = telemetry.get_logger()
        self._clock = clock
        self._spawner = spawner
        self._data = data
        self._signals = signals
        self._notify_socket = notify_socket
        self._addresses = actor_addresses(config)
        self._began = began
        self._policy = RestartPolicy(config.supervisor, self._addresses, now)
        self._processes = ProcessTable(spawner.pid, now)
        self._mailbox = ZmqMailbox(
            config.runtime_dir,
            SUPERVISOR,
            data.next_incarnation(),
            neighbours=self._addresses,
            decoder=INBOX,
            context=context,
        )
        self._control = ControlServer(context, Path(config.runtime_dir), self.status)
        self._leader = LeaderInfo(0, 0, Role.FOLLOWER)
        self._is_ready = False
        #: Has been ready before.
        self._was_ready = False
        self._next_sample = now + _SAMPLE_SECONDS
        #: The signal that asked this node to stop.
        self.stop_signal: signal.Signals | None = None
        #: While stopping.
        self._plan: ShutdownPlan | None = None
        self._stop_began = 0.0
        self._is_over = False
        self._give_up_at = 0.0
        self._exit_code = ExitCode.OK

    def run(self) -> ExitCode:
        """Run the node until it stops; return the exit code of the process.

        Raises:
            SpawnerGone: the spawner died, and with it every actor.
            OSError: the next incarnation could not be noted.
        """
        poller = zmq.Poller()
        poller.register(self._mailbox.inbox, zmq.POLLIN)
        poller.register(self._control.inbox, zmq.POLLIN)
        poller.register(self._spawner.fileno(), zmq.POLLIN)
        poller.register(self._signals, zmq.POLLIN)
        while not self._is_over:
            self.turn()
            # Round up: waking a fraction of a millisecond early would spin until the timer is due.
            poller.poll(int(self._wait_seconds() * 1000 + 0.999))
        return self._exit_code

    def turn(self) -> None:
        """Take what has arrived, let the policy decide, and do it."""
        now = self._clock.now()
        self._take_signals(now)
        for event in self._spawner.events():
            self._take_process_event(event, now)
        for sender, _, message in self._mailbox.receive(_MESSAGES_PER_TURN_MAX):
            if isinstance(message, ActorReport):
                self._policy.reported(sender, now, is_ready=message.is_ready)
                self._processes.reported(sender, message)
            elif isinstance(message, Hello):
                # Its loop runs: from now on it must not be silent.
                self._policy.reported(sender, now, is_ready=False)
            elif isinstance(message, LeaderInfo):
                self._leader = message
                telemetry.set_term(message.term)
            elif isinstance(message, FiguresRequest):
                self._mailbox.send(sender, NodeFigures(message.request_id, self._figures()))
        # Usually nobody: only then is the kernel asked.
        suspects = self._policy.suspects(now)
        self._policy.handle_timer(now, self._processes.stopped(suspects) if suspects else ())
        self._perform(now)
        self._advance_stop(now)
        self._note_readiness(now)
        self._mailbox.flush()
        self._control.serve()
        if now >= self._next_sample:
            self._next_sample = now + _SAMPLE_SECONDS
            self._processes.sample(now)

    def _wait_seconds(self) -> float:
        now = self._clock.now()
        due = min(now + _TURN_SECONDS_MAX, self._policy.next_timer())
        if self._plan is not None:
            due = min(now + _TURN_SECONDS_MAX, max(now + 0.001, self._plan.next_timer()))
        return 0.0 if self._is_over else max(0.0, due - now)

    # --- what arrives ---------------------------------------------------------------------------

    def _take_signals(self, now: float) -> None:
        for number in arrived(self._signals):
            name = number.name
            if self._plan is None:
                self.stop_signal = number
                self._log.info("stopping", signal=name)
                self._say_as_etcd((etcd_lines.closing(self._config),))
                self._begin_stop(now, self._config.supervisor.drain_seconds)
            elif now >= self._stop_began + _SIGNAL_ECHO_SECONDS:
                self._log.warning("stopping at once", signal=name)
                self._begin_stop(now, 0.0)

    def _take_process_event(self, event: SpawnerEvent, now: float) -> None:
        if event.kind is EventKind.EXITED:
            self._take_exit(event.key, event.value, now)
            return
        process = self._processes.forked(event.key, event.value, now)
        if event.value == 0:
            self._log.error("could not fork", died=str(process.address))
            self._processes.remove(process.address)
            self._policy.exited(process.address, ExitCode.FAILED, now)
        elif process.is_unwanted:
            self._spawner.kill(process.pid)

    def _take_exit(self, pid: int, code: int, now: float) -> None:
        process = self._processes.exited(pid)
        self._policy.exited(process.address, code, now)
        if self._plan is not None:
            self._plan.exited(process.address)
        else:
            self._log.warning(
                "actor died", died=str(process.address), pid=pid, exit_code=_code_text(code)
            )
        gone = ActorGone(process.address.role, process.address.instance, process.incarnation)
        for other in self._processes.all():
            self._mailbox.send(other.address, gone)
        if process.address.role is ActorRole.RAFT:
            self._leader = LeaderInfo(self._leader.term, 0, Role.FOLLOWER)

    # --- what is done ---------------------------------------------------------------------------

    def _perform(self, now: float) -> None:
        actions = self._policy.ready()
        for key in actions.kill:
            self._log.warning("killing an actor", killed=str(Address(*key)))
            self._kill(key)
        for key in actions.start:
            address, incarnation = Address(*key), self._data.next_incarnation()
            self._processes.add(address, incarnation, now)
            self._spawner.spawn(str(address), incarnation)
        if actions.stop is not None:
            self._give_up(actions.stop, now)

    def _kill(self, key: ActorKey) -> None:
        process = self._processes.get(Address(*key))
        if process is None:
            return
        process.is_unwanted = True
        if process.pid:
            self._spawner.kill(process.pid)

    def _give_up(self, stop: Stop, now: float) -> None:
        """Stop the member at once: what is wrong with it must not get the time to get worse."""
        self._log.error("the member stops", reason=stop.reason, exit_code=int(stop.exit_code))
        self._exit_code = stop.exit_code
        self._begin_stop(now, 0.0)

    def _begin_stop(self, now: float, drain_seconds: float) -> None:
        notify(self._notify_socket, "STOPPING=1")
        self._policy.stop()
        self._stop_began = now
        running = [process.address for process in self._processes.all()]
        self._plan = ShutdownPlan(running, now, drain_seconds)
        self._give_up_at = now + drain_seconds + _KILL_PATIENCE_SECONDS

    def _advance_stop(self, now: float) -> None:
        plan = self._plan
        if plan is None:
            return
        for request in plan.advance(now):
            self._mailbox.send(Address(*request.actor), Shutdown(request.drain_seconds))
        for key in plan.to_kill(now):
            process = self._processes.get(Address(*key))
            if process is not None and not process.is_unwanted:
                if self._exit_code is ExitCode.OK:
                    self._log.warning(
                        "killing an actor that did not stop", killed=str(Address(*key))
                    )
                self._kill(key)
        if plan.is_done() or now >= self._give_up_at:
            self._is_over = True

    # --- readiness and status -------------------------------------------------------------------

    def _note_readiness(self, now: float) -> None:
        is_ready = self._plan is None and self._leader.leader != 0 and self._policy.is_ready()
        if is_ready and not self._is_ready:
            figures = {
                "leader": f"{self._leader.leader:016x}",
                "member_id": f"{self._config.member_id():016x}",
                "role": self._role(),
            }
            if self._was_ready:
                self._log.info("ready again", **figures)
            else:
                self._log.info("ready", seconds=round(now - self._began, 2), **figures)
                self._say_as_etcd(etcd_lines.ready(self._config))
            notify(self._notify_socket, "READY=1")
            self._was_ready = True
        self._is_ready = is_ready

    def _say_as_etcd(self, lines: Iterable[etcd_lines.Line]) -> None:
        if self._config.logger == "zap":
            for line in lines:
                self._log.info(line.message, **line.fields)

    def _role(self) -> str:
        if not self._leader.term:
            return ""
        return "learner" if self._leader.is_learner else _role_name(self._leader.role)

    def _state(self) -> str:
        if self._plan is not None:
            return "stopping"
        if self._is_ready:
            return "ready"
        return "not ready" if self._was_ready else "starting"

    def _figures(self) -> tuple[Figure, ...]:
        """Return everything for /metrics."""
        status = self.status()
        own = node_figures(self._config, status.actors, status.uptime_seconds)
        return (*own, *self._processes.reported_figures())

    def status(self) -> NodeStatus:
        """Return what `zetcd status` shows."""
        now, config, leader = self._clock.now(), self._config, self._leader.leader
        return NodeStatus(
            name=config.name,
            member_id=f"{config.member_id():016x}",
            cluster_id=f"{config.cluster_id():016x}",
            version=__version__,
            pid=os.getpid(),
            state=self._state(),
            uptime_seconds=now - self._began,
            role=self._role(),
            leader=f"{leader:016x}" if leader else "",
            term=self._leader.term,
            data_dir=config.data_dir,
            native_urls=config.advertise_native_client_urls,
            peer_urls=config.initial_advertise_peer_urls,
            actors=self._processes.statuses(
                self._addresses, self._policy, incarnation=self._mailbox.incarnation, now=now
            ),
        )


def _role_name(role: Role) -> str:
    return role.name.lower().replace("_", "-")


def _code_text(code: int) -> str:
    """Return an exit code as people know it: ``DISK (5)``, ``SIGKILL``."""
    if code < 0:
        known = {int(each): each.name for each in signal.Signals}
        return known.get(-code, f"signal {-code}")
    names = {int(each): each.name for each in ExitCode}
    return f"{names.get(code, 'unknown')} ({code})"

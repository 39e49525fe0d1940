"""Responsible for one simulated machine: its disk, its clock, its actors, and who restarts them.

The actors are the real ones. Around them: mailboxes in memory, a process that takes turns when a
message or a timer is due, and the supervisor's rules for restarts (raft and wal share their fate).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

import zmq

from tests.simulation.disk import Killed, after_power_loss
from tests.simulation.invariants.invariant import Invariants
from tests.simulation.network import Network, SimulatedLinks, SimulatedSender
from tests.simulation.snapshot_network import SimulatedFetcher, SimulatedListener
from tests.simulation.store import SimulatedStore, StoreFile, StoreSource
from tests.simulation.world import NodeClock, World
from zetcd.actors import apply_actor, raft_actor, snapshot_actor, wal_actor, watch_actor
from zetcd.actors.actor import APPLY, RAFT, SNAPSHOT, SUPERVISOR, WAL, WATCH, Actor
from zetcd.actors.checkpointer import CheckpointPauses
from zetcd.actors.entry import ActorSetting
from zetcd.actors.log_release import ReleaseOptions
from zetcd.actors.store_opening import open_tables_of
from zetcd.apply import Applier
from zetcd.config import Config
from zetcd.errors import DiskFailed, ExitCode
from zetcd.messages.base import Message
from zetcd.messages.node import ActorGone, ActorRole, LeaderInfo, Role, Shutdown
from zetcd.messages.snapshot import CheckpointMark, CheckpointMarked, SnapshotFetched
from zetcd.messages.storage import StorageAppend, StorageApply, WalState
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.log_storage import LogOptions, open_log
from zetcd.runtime.mailbox import Address, MemoryMailbox, MemoryPost
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.scalars import NodeID, Term
from zetcd.shutdown_plan import ShutdownPlan

GATEWAY: Final = Address(ActorRole.GATEWAY)
#: Who dies together.
_GROUPS: Final = {
    RAFT: (RAFT, WAL),
    WAL: (WAL, RAFT),
    APPLY: (APPLY,),
    WATCH: (WATCH,),
    SNAPSHOT: (SNAPSHOT,),
    GATEWAY: (GATEWAY,),
}
_NEIGHBOURS: Final = {
    RAFT: (SUPERVISOR, WAL, APPLY, WATCH, SNAPSHOT, GATEWAY),
    WAL: (SUPERVISOR, RAFT, SNAPSHOT),
    APPLY: (SUPERVISOR, RAFT, WATCH, SNAPSHOT, GATEWAY),
    SNAPSHOT: (SUPERVISOR, RAFT, WAL, APPLY),
    WATCH: (SUPERVISOR, RAFT, APPLY, GATEWAY),
    GATEWAY: (SUPERVISOR, RAFT, APPLY, WATCH),
}
#: Every actor of a node.
ACTORS: Final = tuple(_GROUPS)
_NEVER: Final = float("inf")
_LOG_DIRECTORY: Final = "/wal"
#: The actors' setting wants one; no socket is ever made from it.
_CONTEXT: Final[zmq.Context[zmq.Socket[bytes]]] = zmq.Context()


class Endpoint(Protocol):
    """The clients of a node, in the place of its gateway."""

    def connect(self, mailbox: MemoryMailbox) -> None:
        """Serve through a new incarnation, which knows nothing of the one before."""
        ...

    def close(self) -> None:
        """Stop serving: the process is gone, and whatever was under way has an unknown outcome."""
        ...

    def turn(self) -> None:
        """Take what has arrived."""
        ...

    def wait_seconds(self) -> float:
        """Return the seconds until there is something to do without input."""
        ...


#: Seconds that an orderly stop may take, and between two looks at how far it is.
_DRAIN_SECONDS: Final = 1.0
_STOP_LOOK_SECONDS: Final = 0.01
#: Clients know no orderly end: they always take too long to stop.
_KILLED_AT_STOP: Final = (GATEWAY,)
#: Pipes stall now and then, so that what one actor says to two arrives in any order.
_STALL_CHANCE: Final = 0.005
_STALL_SECONDS: Final = (0.001, 0.01, 0.1)


class _Post(MemoryPost):
    """Delivers, wakes the receiver, and shows every message to the invariants.

    Each pair of actors has a pipe of its own: in order, but not at once.
    """

    def __init__(self, node: SimulatedNode) -> None:
        super().__init__(raft_actor.INBOX)
        self._node = node
        self._rng = node.world.rng(f"pipes {node.name}")
        #: Until when the pipe of an incarnation to somebody stands still.
        self._stalled: dict[tuple[Address, int, Address], float] = {}

    def deliver(self, sender: MemoryMailbox, to: Address, meant_for: int, message: Message) -> None:
        self._node.saw(sender.address, to, message)
        world, pipe = self._node.world, (sender.address, sender.incarnation, to)
        until = self._stalled.get(pipe, 0.0)
        if until <= world.now and self._rng.random() < _STALL_CHANCE:
            until = self._stalled[pipe] = world.now + self._rng.choice(_STALL_SECONDS)
        if until <= world.now:
            self._put(sender, to, meant_for, message)
        else:
            world.at(until, lambda: self._put(sender, to, meant_for, message))

    def _put(self, sender: MemoryMailbox, to: Address, meant_for: int, message: Message) -> None:
        super().deliver(sender, to, meant_for, message)
        self._node.wake(to)

    def incarnation(self, address: Address) -> int:
        """Return the incarnation that lives at ``address``, 0 = none."""
        box = self._boxes.get(address)
        return 0 if box is None else box.incarnation


class Process:
    """Something that takes turns."""

    def __init__(self, node: SimulatedNode, address: Address, turn: Callable[[], None]) -> None:
        self._node = node
        self.address = address
        self._turn = turn
        self.actor: Actor | None = None
        self.paused_until = 0.0
        self.is_alive = True
        self._next_wake = _NEVER

    def wake(self, time: float) -> None:
        """Take a turn at ``time`` or earlier."""
        time = max(time, self.paused_until)
        if time < self._next_wake:
            self._next_wake = time
            self._node.world.at(time, lambda: self._run(time))

    def resume(self) -> None:
        """End a pause (SIGCONT)."""
        if self.paused_until > self._node.world.now:
            self.paused_until = 0.0
            self.wake(self._node.world.now)

    def _run(self, time: float) -> None:
        if not self.is_alive or time != self._next_wake:
            return
        self._next_wake = _NEVER
        if self._node.world.now < self.paused_until:
            self.wake(self.paused_until)
            return
        try:
            self._turn()
        except (OSError, DiskFailed, Killed) as reason:
            self._node.failed(self.address, reason)
            return
        self._node.had_turn(self)
        if self.actor is not None and not self.actor.is_running:
            self._node.exited(self)
        elif self.actor is not None:
            seconds = min(self.actor.wait_seconds(self._node.clock.now()), 0.5)
            self.wake(self._node.world.now + seconds + self._node.latency(self.address))
        elif self.address == GATEWAY:
            self._node.wake_gateway(self._node.world.now + self._node.endpoint.wait_seconds())


class SimulatedNode:
    """One machine."""

    def __init__(
        self,
        world: World,
        config: Config,
        network: Network,
        invariants: Invariants,
        endpoint: Endpoint,
        *,
        is_founder: bool = True,
    ) -> None:
        self.world = world
        self.config = config
        self.name = config.name
        self.node_id = config.member_id()
        self.endpoint = endpoint
        self._network = network
        self._invariants = invariants
        self._rng = world.rng(f"node {self.name}")
        self.clock = NodeClock(world, self._rng.uniform(0, 10_000))
        self._segment_bytes = self._rng.choice((1024, 1024, 4096, 16384))
        self._page_bytes = self._rng.choice((512, 4096))
        self.disk = MemoryFileSystem(page_bytes=self._page_bytes)
        self.disk.observer = self._observe_disk
        #: Names were removed since the disk was last looked at.
        self._is_removal_unseen = False
        self._store_file = StoreFile()
        #: Bytes of one step of a checkpoint.
        self._slice_bytes = self._rng.choice((2048, 16384, 1 << 20))
        self._boot = 0
        #: Seconds that one turn of wal takes, at most.
        self.disk_seconds = 0.002
        self._incarnation = 0
        #: Counts starts of the whole node: a restart planned before a crash is void after it.
        self._epoch = 0
        self._post = _Post(self)
        self.processes: dict[Address, Process] = {}
        self._links: SimulatedLinks | None = None
        self._listener: SimulatedListener | None = None
        self.is_up = False
        #: It is a member, or is to be one: somebody starts it when it has stopped.
        self.is_wanted = is_founder
        self._is_founder = is_founder
        #: Told when the machine has stopped by itself: in the middle of something, or in good order.
        self.went_down: Callable[[SimulatedNode], None] = SimulatedNode.start
        #: The orderly stop under way.
        self._plan: ShutdownPlan | None = None
        #: Where everybody is: it may be led by a member that its own log does not name yet.
        self.known_peers: dict[NodeID, tuple[str, ...]] = {}
        #: Newest term that it led.
        self.led_term: Term = 0
        #: With which a watch stream begins: little, so that it runs out.
        self.credit_initial = self._rng.choice(((3, 1 << 20), (40, 4096), (1024, 1 << 22)))

    # --- time ---------------------------------------------------------------------------------

    def latency(self, address: Address) -> float:
        """Return how long ``address`` takes to get to its next turn."""
        if address == WAL:
            return self._rng.uniform(0.0001, self.disk_seconds)
        return self._rng.uniform(0.00002, 0.0003)

    def wake(self, address: Address) -> None:
        """Let ``address`` take a turn soon, if it lives."""
        process = self.processes.get(address)
        if process is not None:
            process.wake(self.world.now + self.latency(address))

    def wake_gateway(self, time: float) -> None:
        """Let the gateway take a turn at ``time``, infinity = never."""
        process = self.processes.get(GATEWAY)
        if process is not None and time < _NEVER:
            process.wake(time + self.latency(GATEWAY))

    def saw(self, sender: Address, to: Address, message: Message) -> None:
        """Show what actors say to each other to the invariants."""
        kind = type(message)
        if kind is StorageAppend:
            self._invariants.append(self, message)  # type: ignore[arg-type]
        elif kind is StorageApply:
            self._invariants.commit(self, message)  # type: ignore[arg-type]
        elif kind is LeaderInfo and to == SUPERVISOR:
            self.world.note("leader", f"{self.name} {message}")
            if message.role is Role.LEADER:  # type: ignore[attr-defined]
                self.led_term = message.term  # type: ignore[attr-defined]
            self._invariants.leader(self, message)  # type: ignore[arg-type]
        elif kind is WalState:
            self._invariants.recovered(self, message)  # type: ignore[arg-type]
        elif kind is CheckpointMark:
            self.world.note("checkpoint", f"{self.name} {message}")
            self._invariants.offered(self, message.snapshot)  # type: ignore[attr-defined]
        elif kind is CheckpointMarked and to == SNAPSHOT:
            self.world.note("marked", f"{self.name} {message}")
            self._invariants.marked(self, message)  # type: ignore[arg-type]
        elif kind is SnapshotFetched and not message.error:  # type: ignore[attr-defined]
            self.world.note("fetched", f"{self.name} {message}")
            self._invariants.offered(self, message.offer.snapshot)  # type: ignore[attr-defined]

    def _observe_disk(self, kind: str) -> None:
        """Let the invariants look when something was removed, before anything else becomes durable."""
        if kind == "unlink":
            self._is_removal_unseen = True
        elif kind == "fdatasync" and self._is_removal_unseen:
            self._is_removal_unseen = False
            self._invariants.removed(self)

    def had_turn(self, process: Process) -> None:
        """Look at what a turn has changed."""
        if process.address == APPLY and isinstance(process.actor, apply_actor.ApplyActor):
            self._invariants.applied(self, process.actor._applier)

    # --- start ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Boot: everything starts, in any order."""
        assert not self.is_up
        self.world.note("start", self.name)
        self.is_up = True
        self._epoch += 1
        self._start_supervisor()
        order = [*ACTORS]
        self._rng.shuffle(order)
        for address in order:
            self._start_later(address, self._rng.uniform(0, 0.02))

    def _start_supervisor(self) -> None:
        mailbox = self._mailbox(SUPERVISOR)
        process = Process(self, SUPERVISOR, lambda: _discard(mailbox))
        self.processes[SUPERVISOR] = process
        self._supervisor = mailbox

    def _start_later(self, address: Address, seconds: float) -> None:
        epoch = self._epoch

        def start() -> None:
            is_due = self.is_up and self._epoch == epoch and self._plan is None
            if is_due and address not in self.processes:
                self._start_actor(address)

        self.world.after(seconds, start)

    def _mailbox(self, address: Address) -> MemoryMailbox:
        self._incarnation += 1
        return MemoryMailbox(self._post, address, self._incarnation)

    def _start_actor(self, address: Address) -> None:
        mailbox = self._mailbox(address)
        setting = ActorSetting(self.config, self.clock, mailbox, _CONTEXT)
        actor: Actor | None = None
        try:
            if address == RAFT:
                actor = self._raft(setting)
            elif address == WAL:
                actor = self._wal(setting)
            elif address == APPLY:
                actor = self._apply(setting)
            elif address == WATCH:
                actor = self._watch(setting)
            elif address == SNAPSHOT:
                actor = self._snapshot(setting)
            else:
                self.endpoint.connect(mailbox)
        except (Killed, OSError, DiskFailed) as reason:
            self._post.remove(address)
            self.failed(address, reason)
            return
        turn = self.endpoint.turn if actor is None else actor.turn
        process = Process(self, address, turn)
        process.actor = actor
        self.processes[address] = process
        for neighbour in _NEIGHBOURS[address]:
            mailbox.greet(neighbour)
        self.wake(address)

    def _raft(self, setting: ActorSetting) -> raft_actor.RaftActor:
        self._links = SimulatedLinks(
            self._network, self.node_id, self.known_peers, lambda: self.wake(RAFT)
        )
        return raft_actor.RaftActor(setting, self._links, self._rng)

    def log_options(self) -> LogOptions:
        """Return how this node stores its log."""
        return LogOptions(
            self.config.cluster_id(),
            self.node_id,
            segment_bytes=self._segment_bytes,
            tail_bytes=2048,
            salt=lambda: self._rng.getrandbits(64),
        )

    def _wal(self, setting: ActorSetting) -> wal_actor.WalActor:
        storage = open_log(self.disk, _LOG_DIRECTORY, self.log_options())
        if storage.is_pristine and self._is_founder:
            storage.append([wal_actor.founding_append(self.config)])
        return wal_actor.WalActor(
            setting.mailbox,
            setting.clock,
            storage,
            self.config.wal,
            node_id=self.node_id,
            sender=SimulatedSender(self._network, self.node_id, self.known_peers),
            release=ReleaseOptions.of(self.config),
        )

    def _apply(self, setting: ActorSetting) -> apply_actor.ApplyActor:
        store = open_tables_of(
            self.config,
            self.disk,
            f"boot-{self._boot}",
            lambda directory: self._store_file.open(self.disk, directory),
        )
        applier = apply_actor.open_applier(self.config, store)
        self.world.note("store", f"{self.name} opened at {applier.state.consistent_index}")
        return apply_actor.ApplyActor(setting, store, applier, self.disk)

    def _snapshot(self, setting: ActorSetting) -> snapshot_actor.SnapshotActor:
        files = CheckpointFiles(
            self.disk, self.config.snapshot_dir(), self.config.cluster_id(), self._slice_bytes
        )
        files.prepare()
        port = 20_000 + setting.mailbox.incarnation

        def wake() -> None:
            self.wake(SNAPSHOT)

        network = self._network.snapshots
        self._listener = SimulatedListener(network, self.node_id, self._host, port, wake)
        fetcher = SimulatedFetcher(network, self.node_id, wake)
        return snapshot_actor.SnapshotActor(
            setting,
            self._rng,
            files,
            open_store=self._open_source,
            listener=self._listener,
            fetcher=fetcher,
            pauses=CheckpointPauses(look=0.2, after_failure=1.0, mark_again=0.5),
        )

    def _open_source(self) -> snapshot_actor.OpenedStore | None:
        store = self.open_store()
        if store is None:
            return None
        source = StoreSource(store, self.disk)
        return snapshot_actor.OpenedStore(store, source, source.close)

    @property
    def _host(self) -> str:
        return self.config.listen_peer_urls[0].rpartition(":")[0]

    @property
    def store(self) -> SimulatedStore:
        """The tables that live; empty ones, if nobody has opened any since the machine was started."""
        return self._store_file.living

    def open_store(self) -> SimulatedStore | None:
        """Open the store for reading; None: there is none."""
        return self._store_file.living if self._store_file.is_there else None

    def _watch(self, setting: ActorSetting) -> watch_actor.WatchActor:
        return watch_actor.WatchActor(
            setting.mailbox,
            setting.clock,
            options=replace(
                watch_actor.watch_options(self.config), credit_initial=self.credit_initial
            ),
            rng=self._rng,
            open_store=self.open_store,
            close_store=lambda: None,
        )

    # --- death -----------------------------------------------------------------------------------

    def failed(self, address: Address, reason: BaseException) -> None:
        """Let an actor die of what it raised, and the machine with it if it was the power."""
        self.world.note("died", f"{self.name} {address} {reason!r}")
        # What was to go wrong with the disk has gone wrong.
        self.disk.before_call = None
        if isinstance(reason, Killed) and reason.is_power_loss:
            self.crash(is_power_loss=True)
            self.went_down(self)
        else:
            self.crash_actor(address)

    def crash_actor(self, address: Address) -> None:
        """Kill an actor; the supervisor kills who shares its fate, and starts them again."""
        if not self.is_up:
            return
        self.world.note("crash", f"{self.name} {address}")
        if self._plan is not None:
            self._plan.exited(address)
        # Who is not there, because it is being started again, cannot crash; nor is anybody killed for it.
        is_there = address in self.processes
        pause = self._rng.uniform(0.02, 0.3)
        for each in _GROUPS[address]:
            if each == address:
                self._bury(each)
            else:
                seconds = self._rng.uniform(0, 0.01)
                if is_there:
                    self._kill_later(each, seconds)
            self._start_later(each, pause + self._rng.uniform(0, 0.02))

    def _kill_later(self, address: Address, seconds: float) -> None:
        process = self.processes.get(address)

        def kill() -> None:
            if process is not None and self.processes.get(address) is process:
                self._bury(address)

        self.world.after(seconds, kill)

    def _bury(self, address: Address) -> None:
        """End a process; the kernel closes its files and sockets, what it wrote stays in the cache."""
        if address == WAL:
            self.disk.unlock_all()
        if address == RAFT and self._links is not None:
            self._links.close()
        if address == SNAPSHOT and self._listener is not None:
            self._listener.close()
        process = self.processes.pop(address, None)
        if process is None:
            return
        process.is_alive = False
        if address == GATEWAY:
            self.endpoint.close()
        incarnation = self._post.incarnation(address)
        self._post.remove(address)
        if address != SUPERVISOR:
            for each in _NEIGHBOURS[address]:
                if each != SUPERVISOR:
                    gone = ActorGone(address.role, address.instance, incarnation)
                    self._supervisor.send(each, gone)

    def crash(self, *, is_power_loss: bool) -> None:
        """Kill every process, or pull the plug: then unsynced pages and the store's cache are lost."""
        if not self.is_up:
            return
        self.world.note("power loss" if is_power_loss else "node crash", self.name)
        self.is_up = False
        self._plan = None
        for address in (*ACTORS, SUPERVISOR):
            self._bury(address)
        if is_power_loss:
            self.disk = after_power_loss(self.disk, self._rng)
            self.disk.observer = self._observe_disk
            self._store_file.lose_power()
            self._boot += 1
            self.clock.offset = self._rng.uniform(0, 10_000)

    # --- orderly stop ----------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop in good order (SIGTERM): actors by stages, those that take too long are killed."""
        if not self.is_up or self._plan is not None:
            return
        self.world.note("stop", self.name)
        living = [each for each in self.processes if each != SUPERVISOR]
        self._plan = ShutdownPlan(living, self.world.now, _DRAIN_SECONDS)
        self._go_on_stopping(self._plan)

    def _go_on_stopping(self, plan: ShutdownPlan) -> None:
        if plan is not self._plan:
            return
        for request in plan.advance(self.world.now):
            address = Address(*request.actor)
            if address in _KILLED_AT_STOP:
                self._bury(address)
                plan.exited(request.actor)
            else:
                self._supervisor.send(address, Shutdown(request.drain_seconds))
        for actor in plan.to_kill(self.world.now):
            self._bury(Address(*actor))
            plan.exited(actor)
        if plan.is_done():
            self.world.note("stopped", self.name)
            self.crash(is_power_loss=False)
            self.went_down(self)
        else:
            self.world.after(_STOP_LOOK_SECONDS, lambda: self._go_on_stopping(plan))

    def exited(self, process: Process) -> None:
        """Note that an actor has ended by itself."""
        assert process.actor is not None
        process.actor.close()
        self._bury(process.address)
        if self._plan is not None:
            self._plan.exited(process.address)
        elif process.actor.exit_code is ExitCode.REMOVED:
            self.crash(is_power_loss=False)
            self.went_down(self)
        elif process.actor.exit_code is ExitCode.RESTORE:
            self.world.note("restore", f"{self.name} {process.address}")
            self._start_later(process.address, self._rng.uniform(0.0, 0.1))

    def pause(self, address: Address, seconds: float) -> None:
        """Stop a process for a while (SIGSTOP)."""
        process = self.processes.get(address)
        if process is not None:
            self.world.note("pause", f"{self.name} {address} {seconds:.3f} s")
            process.paused_until = max(process.paused_until, self.world.now + seconds)

    def applied_index(self) -> int:
        """Return the consistent index of the store, 0 if apply is down."""
        applier = self._applier()
        return 0 if applier is None else applier.state.consistent_index

    def applied_ids(self) -> tuple[NodeID, ...]:
        """Return the members that apply knows of; everybody, if it is down or knows of none."""
        applier = self._applier()
        if applier is None or not applier.conf_state.voters:
            return tuple(self._network.node_ids)
        return applier.conf_state.voters + applier.conf_state.learners

    def is_compacting(self) -> bool:
        """Say whether apply is still removing history."""
        applier = self._applier()
        return applier is not None and applier.is_compacting

    def _applier(self) -> Applier | None:
        process = self.processes.get(APPLY)
        if process is None or not isinstance(process.actor, apply_actor.ApplyActor):
            return None
        return process.actor._applier


def _discard(mailbox: MemoryMailbox) -> None:
    mailbox.receive(1_000)

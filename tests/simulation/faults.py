"""Responsible for what goes wrong, when and where: drawn from the seed, a different mixture for each."""

from __future__ import annotations

import errno
from collections.abc import Callable

from tests.simulation.disk import fail_at, fail_sync, kill_at
from tests.simulation.invariants.invariant import Invariants
from tests.simulation.link import Link
from tests.simulation.network import Network
from tests.simulation.node import ACTORS, GATEWAY, SimulatedNode
from tests.simulation.world import World
from zetcd.actors.actor import APPLY, RAFT, SNAPSHOT, WAL, WATCH
from zetcd.messages.raft import (
    Append,
    AppendResp,
    ForwardReadIndex,
    HeartbeatResp,
    PeerMessage,
    Vote,
    VoteResp,
)
from zetcd.scalars import NodeID


class Faults:
    """Injects faults at random moments until told to stop.

    Each seed uses some of the kinds only: a run in which everything happens at once commits nothing
    and finds nothing.
    """

    def __init__(
        self, world: World, nodes: list[SimulatedNode], network: Network, invariants: Invariants
    ) -> None:
        self._world = world
        self._rng = world.rng("faults")
        self._nodes = nodes
        self._network = network
        self._invariants = invariants
        self.is_over = False
        kinds: list[Callable[[], None]] = [
            self._crash_actor,
            self._crash_node,
            self._stop_node,
            self._lose_power,
            self._lose_power_everywhere,
            self._pause_actor,
            self._pause_node,
            self._slow_disk,
            self._failing_disk,
            self._failing_sync,
            self._killed_while_writing,
            self._killed_while_applying,
            self._die_after_sending,
            self._cut_after_sending,
            self._isolate_leader,
            self._cut_one_way,
            self._isolate,
            self._split,
            self._flap,
            self._bad_links,
        ]
        for node in nodes:
            node.went_down = self.boot_later
        self._kinds = sorted(
            self._rng.sample(kinds, self._rng.randint(2, 6)), key=lambda kind: kind.__name__
        )
        self._pause_mean = self._rng.choice((0.15, 0.4, 0.8))

    def start(self) -> None:
        """Begin; the first fault comes after the first election."""
        self._world.note("faults", ", ".join(kind.__name__.strip("_") for kind in self._kinds))
        self._world.after(1.0, self._next)

    def _next(self) -> None:
        if self.is_over:
            return
        if self._rng.random() < 0.25:
            self._invariants.power_lost(self._nodes)
        self._rng.choice(self._kinds)()
        self._world.after(self._rng.expovariate(1 / self._pause_mean), self._next)

    def heal(self) -> None:
        """End every fault: everything runs, on good disks and a good network."""
        self.is_over = True
        self._world.note("heal", "")
        self._network.heal()
        self._network.snares.clear()
        for node in self._nodes:
            node.disk_seconds = 0.002
            node.disk.before_call = None
            node.store.kill_after = 0
            for process in node.processes.values():
                process.resume()
            self._boot(node)

    # --- processes and machines -------------------------------------------------------------------

    def _node(self) -> SimulatedNode:
        return self._rng.choice([node for node in self._nodes if node.is_wanted])

    def _crash_actor(self) -> None:
        self._node().crash_actor(
            self._rng.choice((RAFT, WAL, APPLY, APPLY, WATCH, SNAPSHOT, SNAPSHOT, GATEWAY))
        )

    def _crash_node(self) -> None:
        self._crash(self._node(), is_power_loss=False)

    def _stop_node(self) -> None:
        self._node().stop()

    def _lose_power(self) -> None:
        self._crash(self._node(), is_power_loss=True)

    def _lose_power_everywhere(self) -> None:
        for node in self._nodes:
            self._crash(node, is_power_loss=True)

    def _crash(self, node: SimulatedNode, *, is_power_loss: bool) -> None:
        if node.is_up:
            node.crash(is_power_loss=is_power_loss)
            self.boot_later(node)

    def boot_later(self, node: SimulatedNode) -> None:
        """Start a machine that has stopped, after a while; look what it has taken with it."""
        if self._rng.random() < 0.5:
            look_after = self._rng.uniform(0.0005, 0.03)
            self._world.after(look_after, lambda: self._invariants.power_lost(self._nodes))
        self._world.after(self._rng.uniform(0.05, 2.0), lambda: self._boot(node))

    @staticmethod
    def _boot(node: SimulatedNode) -> None:
        if node.is_wanted and not node.is_up:
            node.start()

    def _pause_actor(self) -> None:
        address = self._rng.choice(ACTORS)
        self._node().pause(address, self._rng.choice((0.05, 0.5, 2.0)) * self._rng.random())

    def _pause_node(self) -> None:
        node, seconds = self._node(), self._rng.uniform(0.05, 2.5)
        for address in ACTORS:
            node.pause(address, seconds)

    # --- disks ------------------------------------------------------------------------------------

    def _slow_disk(self) -> None:
        node = self._node()
        node.disk_seconds = self._rng.choice((0.02, 0.2, 1.0, 3.0))
        self._world.note("slow disk", f"{node.name} {node.disk_seconds} s")

    def _failing_disk(self) -> None:
        node = self._node()
        error = self._rng.choice((errno.EIO, errno.ENOSPC))
        self._world.note("bad disk", f"{node.name} {errno.errorcode[error]}")
        fail_at(node.disk, self._rng.randint(1, 20), error)

    def _failing_sync(self) -> None:
        node = self._node()
        self._world.note("bad sync", node.name)
        fail_sync(node.disk)

    def _killed_while_writing(self) -> None:
        node = self._node()
        is_power_loss = self._rng.random() < 0.7
        self._world.note("kill", f"{node.name} at a call to the disk {is_power_loss}")
        # The power fails between a write and its sync, or a process dies there.
        kill_at(node.disk, self._rng.randint(1, 20), is_power_loss=is_power_loss)

    def _killed_while_applying(self) -> None:
        store = self._node().store
        store.kill_after = self._rng.randint(1, 6)
        store.is_killed_within = self._rng.random() < 0.3

    # --- at the worst moment ----------------------------------------------------------------------

    def _snare(self, act: Callable[[SimulatedNode], None]) -> None:
        """Do ``act`` to whoever sends a message of some kind next, right after it."""
        kind = self._rng.choice(
            (VoteResp, VoteResp, Vote, AppendResp, Append, HeartbeatResp, ForwardReadIndex)
        )
        left = self._rng.choice((1, 1, 2, 5))
        pause = self._rng.choice((0.0, 0.0005, 0.005))

        def sprung(sender: NodeID, message: PeerMessage) -> bool:
            nonlocal left
            left -= type(message) is kind
            if left > 0:
                return False
            (node,) = [each for each in self._nodes if each.node_id == sender]
            self._world.note("snare", f"{node.name} {type(message).__name__}")
            self._world.after(pause, lambda: act(node))
            return True

        self._network.snares.append(sprung)

    def _die_after_sending(self) -> None:
        is_power_loss = self._rng.random() < 0.7
        self._snare(lambda node: self._crash(node, is_power_loss=is_power_loss))

    def _cut_after_sending(self) -> None:
        seconds = self._rng.uniform(0.5, 3)
        self._snare(lambda node: self._cut(self._links_of(node), seconds))

    # --- network ----------------------------------------------------------------------------------

    def _links_of(self, node: SimulatedNode) -> list[tuple[int, int]]:
        return [pair for pair in self._network.links if node.node_id in pair]

    def _isolate_leader(self) -> None:
        """Cut the newest leader off from the others, though not from its clients."""
        leader = max(self._nodes, key=lambda node: node.led_term)
        self._cut(self._links_of(leader), self._rng.uniform(1, 4))

    def _cut(self, pairs: list[tuple[int, int]], seconds: float) -> None:
        """Cut some directions for a while."""
        if self.is_over:
            return
        self._world.note(
            "cut", f"{[(f'{a:x}'[:4], f'{b:x}'[:4]) for a, b in pairs]} {seconds:.3f} s"
        )
        for pair in pairs:
            self._network.links[pair].is_cut = True

        def mend() -> None:
            for pair in pairs:
                self._network.links[pair].is_cut = False

        self._world.after(seconds, mend)

    def _cut_one_way(self) -> None:
        if self._network.links:
            self._cut([self._rng.choice(list(self._network.links))], self._rng.uniform(0.2, 3))

    def _isolate(self) -> None:
        alone = self._node().node_id
        pairs = [pair for pair in self._network.links if alone in pair]
        if self._rng.random() < 0.3:
            side = self._rng.randint(0, 1)
            pairs = [pair for pair in pairs if pair[side] == alone]
        self._cut(pairs, self._rng.uniform(0.5, 4))

    def _split(self) -> None:
        ids = self._network.node_ids
        side = self._rng.sample(ids, len(ids) // 2)
        pairs = [pair for pair in self._network.links if (pair[0] in side) != (pair[1] in side)]
        self._cut(pairs, self._rng.uniform(0.5, 4))

    def _flap(self) -> None:
        alone = self._node().node_id
        pairs = [pair for pair in self._network.links if alone in pair]
        for number in range(self._rng.randint(2, 6)):
            seconds = self._rng.uniform(0.02, 0.4)
            self._world.after(0.5 * number, lambda seconds=seconds: self._cut(pairs, seconds))  # type: ignore[misc]

    def _bad_links(self) -> None:
        rng = self._rng
        for pair in self._network.links:
            self._network.links[pair] = Link(
                loss=rng.choice((0.0, 0.02, 0.2)),
                duplication=rng.choice((0.0, 0.1)),
                delay_max=rng.choice((0.002, 0.002, 0.02, 0.2, 1.5)),
                damage=rng.choice((0.0, 0.1, 0.5)),
            )
        self._world.note("bad links", "")

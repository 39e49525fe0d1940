"""Responsible for changing who is a member while the cluster runs, as an operator would: one step at a time.

What was asked for may happen late, twice or never; the committed log says who is a member, and machines
are started and stopped after it.
"""

from __future__ import annotations

from typing import Final

from tests.simulation.gateway import Gateway
from tests.simulation.invariants.durable_member import durable_log
from tests.simulation.invariants.reference import Reference
from tests.simulation.node import SimulatedNode
from tests.simulation.world import World
from zetcd.messages.cluster import Member
from zetcd.messages.codec import encode
from zetcd.messages.raft import ConfChange, ConfChangeType
from zetcd.raft.quorum import has_majority
from zetcd.scalars import NodeID

_LOOK_SECONDS: Final = 0.1


class Membership:
    """Adds learners, promotes them, removes members."""

    def __init__(
        self,
        world: World,
        nodes: list[SimulatedNode],
        gateways: list[Gateway],
        reference: Reference,
    ) -> None:
        """Change the membership of ``nodes``, some of which are not members yet."""
        self._world = world
        self._rng = world.rng("membership")
        self._nodes = nodes
        self._gateways = gateways
        self._reference = reference
        self._pause_mean = self._rng.choice((0.2, 0.7))
        self._is_used = self._rng.random() < 0.5
        self.is_over = False

    def start(self) -> None:
        """Begin, in half of the runs."""
        self._look()
        if self._is_used:
            self._world.after(1.0, self._next)

    @property
    def members(self) -> list[SimulatedNode]:
        """Who is a member now."""
        ids = self._ids()
        return [node for node in self._nodes if node.node_id in ids]

    def _ids(self) -> tuple[NodeID, ...]:
        conf = self._reference.conf_states[1]
        return conf.voters + conf.learners

    # --- machines ---------------------------------------------------------------------------------

    def _look(self) -> None:
        """Start who was added, stop who was removed."""
        members = self.members
        for node in self._nodes:
            if node in members and not node.is_wanted:
                node.is_wanted = True
                if not node.is_up:
                    node.start()
            elif members and node not in members and node.is_wanted and self._is_known_gone(node):
                node.is_wanted = False
                self._world.after(self._rng.uniform(0, 1), lambda node=node: self._stop(node))  # type: ignore[misc]
        self._world.after(_LOOK_SECONDS, self._look)

    def _is_known_gone(self, removed: SimulatedNode) -> bool:
        """Say whether enough members know that ``removed`` is none.

        Until then its vote may be needed: of two voters, one of which is removed, the other cannot lead
        before it has heard that the removal is committed, and could forget that with its power.
        """
        voters = self._reference.conf_states[1].voters
        knowing = [
            node.node_id
            for node in self._nodes
            if removed.node_id not in node.applied_ids()
            and durable_log(node).hard_state.commit >= self._reference.conf_index
        ]
        return has_majority(voters, knowing)

    @staticmethod
    def _stop(node: SimulatedNode) -> None:
        if not node.is_wanted:
            node.crash(is_power_loss=False)

    # --- changes ----------------------------------------------------------------------------------

    def _next(self) -> None:
        if self.is_over:
            return
        change = self._change()
        gateways = [each for each in self._gateways if each.is_alive]
        if change is not None and gateways:
            self._world.note("change", f"{change.type.name} {change.node_id:x}")
            self._rng.choice(gateways).propose_change(encode(change))
        self._world.after(self._rng.expovariate(1 / self._pause_mean), self._next)

    def _change(self) -> ConfChange | None:
        """Return the next step, None if there is nothing to do."""
        conf = self._reference.conf_states[1]
        members = self.members
        # A member that was removed never comes back: not its id, and not what is on its disk.
        gone = self._reference.removed_ids
        outside = [node for node in self._nodes if node not in members and node.node_id not in gone]
        draw = self._rng.random()
        if draw < 0.4 and outside:
            return _addition(ConfChangeType.ADD_LEARNER, self._rng.choice(outside))
        learners = [node for node in members if node.node_id in conf.learners]
        if draw < 0.8 and learners:
            return _addition(ConfChangeType.ADD_NODE, self._rng.choice(learners))
        if len(conf.voters) > 2 or (conf.voters and self._rng.random() < 0.2):
            return ConfChange(ConfChangeType.REMOVE_NODE, self._rng.choice(conf.voters))
        return None


def _addition(kind: ConfChangeType, node: SimulatedNode) -> ConfChange:
    """Return a change that says where the member is: it may be removed before this is committed."""
    is_learner = kind is ConfChangeType.ADD_LEARNER
    member = Member(node.node_id, "", node.config.listen_peer_urls, is_learner=is_learner)
    return ConfChange(kind, node.node_id, encode(member))

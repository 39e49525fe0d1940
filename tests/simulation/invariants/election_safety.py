"""At most one leader in a term (Raft §5.2), and at most one vote of a member in a term."""

from __future__ import annotations

from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.messages.node import LeaderInfo, Role
from zetcd.messages.raft import PeerMessage, VoteResp
from zetcd.scalars import NodeID, Term


class ElectionSafety(Invariant):
    """Remembers leaders and granted votes across all restarts."""

    def __init__(self) -> None:
        self.leaders: dict[Term, NodeID] = {}
        self._votes: dict[tuple[NodeID, Term], NodeID] = {}

    def leader(self, node: Observed, message: LeaderInfo) -> None:
        if message.role is Role.LEADER:
            first = self.leaders.setdefault(message.term, node.node_id)
            require(
                first == node.node_id,
                "election safety",
                f"{node.name} and {first:016x} both lead term {message.term}",
            )

    def sent(self, node: Observed, message: PeerMessage) -> None:
        del node
        if type(message) is VoteResp and not message.rejected:
            key = (message.sender, message.term)
            first = self._votes.setdefault(key, message.to)
            require(
                first == message.to,
                "election safety",
                f"{message.sender:016x} voted in term {message.term} for both "
                f"{first:016x} and {message.to:016x}",
            )

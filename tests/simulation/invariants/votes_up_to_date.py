"""Nobody votes for a candidate whose log is less up to date than the own one (Raft §5.4.1)."""

from __future__ import annotations

from tests.simulation.invariants.invariant import Invariant, Observed, require
from tests.simulation.invariants.shadow_logs import ShadowLogs
from zetcd.messages.raft import PeerMessage, Vote, VoteResp
from zetcd.scalars import Index, NodeID, Term


class VotesUpToDate(Invariant):
    """Remembers how long the log of each candidate was."""

    def __init__(self, logs: ShadowLogs) -> None:
        self._logs = logs
        self._candidates: dict[tuple[NodeID, Term], tuple[Term, Index]] = {}

    def sent(self, node: Observed, message: PeerMessage) -> None:
        if type(message) is Vote:
            place = (message.last_term, message.last_index)
            self._candidates[message.sender, message.term] = place
        elif type(message) is VoteResp and not message.rejected:
            theirs = self._candidates[message.to, message.term]
            ours = self._logs.last_before(node.node_id, message.term)
            require(
                theirs >= ours,
                "votes up to date",
                f"{node.name} voted in term {message.term} for a log that ends with {theirs}, "
                f"the own one ends with {ours} (term, index)",
            )

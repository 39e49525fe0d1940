"""Every leader's log has every entry that was committed before (Raft §5.4)."""

from __future__ import annotations

from tests.simulation.invariants.committed_immutable import CommittedImmutable
from tests.simulation.invariants.invariant import Invariant, Observed, require
from tests.simulation.invariants.shadow_logs import ShadowLogs
from zetcd.messages.node import LeaderInfo, Role


class LeaderCompleteness(Invariant):
    """Compares the log of each new leader with the committed log."""

    def __init__(self, logs: ShadowLogs, committed: CommittedImmutable) -> None:
        self._logs = logs
        self._committed = committed

    def leader(self, node: Observed, message: LeaderInfo) -> None:
        if message.role is not Role.LEADER:
            return
        for index, entry in self._committed.entries.items():
            term = self._logs.term(node.node_id, index)
            # A deposed leader may learn late that it won; entries of later terms are not its concern.
            require(
                term == entry.term or entry.term > message.term,
                "leader completeness",
                f"{node.name} leads term {message.term} without entry {index} of term {entry.term}",
            )

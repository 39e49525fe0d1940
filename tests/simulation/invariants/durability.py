"""What a client was told to be done is on the disks of a majority, even if all power fails now."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.invariants.committed_immutable import CommittedImmutable
from tests.simulation.invariants.durable_member import durable_log, newest_checkpoint
from tests.simulation.invariants.invariant import Invariant, Observed, require
from tests.simulation.invariants.reference import Reference
from zetcd.mvcc.state import load_state
from zetcd.raft.quorum import has_majority
from zetcd.scalars import Index, NodeID, Term


class Durability(Invariant):
    """Remembers the highest acknowledged index; reads the disks as a power loss would leave them."""

    def __init__(self, committed: CommittedImmutable, reference: Reference) -> None:
        self._committed = committed
        self._reference = reference
        self._acknowledged: Index = 0

    def acknowledged(self, origin: NodeID, batch: bytes) -> None:
        index = self._committed.index_of.get(batch)
        require(index is not None, "durability", "a batch was answered that is not committed")
        assert index is not None
        self._acknowledged = max(self._acknowledged, index)

    def power_lost(self, nodes: Sequence[Observed]) -> None:
        index = self._acknowledged
        if not index:
            return
        term = self._committed.entries[index].term
        holders = [node.node_id for node in nodes if _holds(node, index, term)]
        # The leader that committed it may not have handed out the newest change of the membership.
        confs = self._reference.conf_states
        require(
            any(has_majority(conf.voters, holders) for conf in confs),
            "durability",
            f"the acknowledged entry {index} is durable at {holders} only, of {confs}",
        )

    def finish(self, nodes: Sequence[Observed]) -> None:
        for node in nodes:
            with node.store.read() as transaction:
                applied = load_state(transaction).consistent_index
            require(
                applied >= self._acknowledged,
                "durability",
                f"{node.name} has applied {applied}, acknowledged was {self._acknowledged}",
            )


def _holds(node: Observed, index: Index, term: Term) -> bool:
    """Say whether an entry is in the durable log, or in a durable checkpoint that the log has marked."""
    log = durable_log(node)
    if log.term_of(index) == term:
        return True
    if index > log.mark.index:
        return False
    newest = newest_checkpoint(node)
    return newest is not None and newest.snapshot.index >= log.mark.index

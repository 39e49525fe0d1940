"""Applied index and revision of a member never go back, unless its store was lost; they are never reused."""

from __future__ import annotations

from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.apply import Applier
from zetcd.runtime.memory_backend import MemoryBackend
from zetcd.scalars import Index, NodeID, Revision


class MonotonicRevisions(Invariant):
    """Remembers how far each store was, and which revision belongs to which index."""

    def __init__(self) -> None:
        self._last: dict[NodeID, tuple[MemoryBackend, Index, Revision]] = {}
        self._revisions: dict[Index, Revision] = {}

    def applied(self, node: Observed, applier: Applier) -> None:
        index, revision = applier.state.consistent_index, applier.state.current_revision
        last = self._last.get(node.node_id)
        if last is not None and last[0] is node.store:
            require(
                index >= last[1] and revision >= last[2],
                "monotonic revisions",
                f"{node.name} went from {last[1:]} back to {(index, revision)}",
            )
        self._last[node.node_id] = (node.store, index, revision)
        known = self._revisions.setdefault(index, revision)
        require(
            known == revision,
            "monotonic revisions",
            f"index {index} led to revision {known}, at {node.name} to {revision}",
        )

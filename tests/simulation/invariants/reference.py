"""Every index leads to the same revisions as in a store that never fails, forgets or compacts.

The committed log is executed a second time, entry by entry, on a store of its own, whose history is
what all other invariants about answers and watches compare with.
"""

from __future__ import annotations

from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.apply import Applier
from zetcd.messages.kv import Event
from zetcd.messages.raft import ConfState
from zetcd.messages.storage import StorageApply
from zetcd.scalars import Index, NodeID, Revision, Term


class Reference(Invariant):
    """Follows whoever is first told that entries are committed; must come after `CommittedImmutable`."""

    def __init__(self, applier: Applier) -> None:
        """Execute with ``applier``, whose store is empty."""
        self._applier = applier
        #: What each revision changed.
        self.changes: dict[Revision, tuple[Event, ...]] = {}
        #: Term and revision after each index, and the membership there.
        self._states: dict[Index, tuple[Term, Revision, ConfState]] = {}
        #: Membership before the newest change, and now.
        self.conf_states: tuple[ConfState, ConfState] = (ConfState(), ConfState())
        #: Index of the newest change.
        self.conf_index: Index = 0

    @property
    def revision(self) -> Revision:
        """Newest revision."""
        return self._applier.state.current_revision

    @property
    def removed_ids(self) -> tuple[NodeID, ...]:
        """Who is a member no more."""
        return tuple(each.id for each in self._applier.removed)

    @property
    def compact_revision(self) -> Revision:
        """History before it may be gone."""
        return self._applier.state.compact_revision

    def commit(self, node: Observed, message: StorageApply) -> None:
        del node
        known = self._applier.state.consistent_index
        fresh = [entry for entry in message.entries if entry.index > known]
        for entry in fresh:
            output = self._applier.apply_entries((entry,), 0.0)
            self.changes.update((each.revision, each.events) for each in output.revisions)
            self._states[entry.index] = (entry.term, self.revision, self._applier.conf_state)
            if self._applier.conf_state != self.conf_states[1]:
                self.conf_states = (self.conf_states[1], self._applier.conf_state)
                self.conf_index = entry.index

    def at(self, index: Index) -> tuple[Term, Revision, ConfState]:
        """Return term, revision and membership after an index; none of them if nobody has got so far."""
        return self._states.get(index, (0, 0, ConfState()))

    def applied(self, node: Observed, applier: Applier) -> None:
        index, revision = applier.state.consistent_index, applier.state.current_revision
        if index:
            wanted = self.at(index)[1]
            require(
                revision == wanted,
                "reference",
                f"{node.name} is at revision {revision} after index {index}, not {wanted}",
            )

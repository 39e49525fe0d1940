"""Responsible for knowing the terms in the log of every member, from what raft and wal say to each other."""

from __future__ import annotations

from bisect import bisect_left

from tests.simulation.invariants.committed_immutable import CommittedImmutable
from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.messages.storage import StorageAppend, WalState
from zetcd.scalars import Index, NodeID, Term


class ShadowLogs(Invariant):
    """For each member a list of terms, by index; what is not durable is in it too.

    What a checkpoint stands for counts as being there.
    """

    def __init__(self, committed: CommittedImmutable) -> None:
        self._committed = committed
        self._terms: dict[NodeID, list[Term]] = {}

    def recovered(self, node: Observed, message: WalState) -> None:
        mark = message.snapshot
        terms = self._terms_up_to(node, mark.index, mark.term)
        del terms[message.last_index + 1 :]
        terms.extend([0] * (message.last_index + 1 - len(terms)))
        for run in message.term_runs:
            terms[run.first_index :] = [run.term] * (len(terms) - run.first_index)
        self._terms[node.node_id] = terms

    def append(self, node: Observed, message: StorageAppend) -> None:
        snapshot = message.snapshot
        if snapshot is not None and self.term(node.node_id, snapshot.index) != snapshot.term:
            self._terms[node.node_id] = self._terms_up_to(node, snapshot.index, snapshot.term)
        if message.entries:
            terms = self._terms[node.node_id]
            del terms[message.entries[0].index :]
            terms.extend(entry.term for entry in message.entries)

    def _terms_up_to(self, node: Observed, index: Index, term: Term) -> list[Term]:
        """Return the terms of the entries that a checkpoint at ``index`` stands for."""
        committed = self._committed.entries
        terms = [0]
        for each in range(1, index + 1):
            entry = committed.get(each)
            require(
                entry is not None,
                "log matching",
                f"{node.name} has a mark at {index}, but entry {each} was never committed",
            )
            assert entry is not None
            terms.append(entry.term)
        require(
            terms[-1] == term or not index,
            "log matching",
            f"the mark of {node.name} at {index} has term {term}, the entry {terms[-1]}",
        )
        return terms

    def term(self, node_id: NodeID, index: Index) -> Term | None:
        """Return the term of an entry, None if the log does not reach it."""
        terms = self._terms.get(node_id, [])
        return terms[index] if index < len(terms) else None

    def last_before(self, node_id: NodeID, term: Term) -> tuple[Term, Index]:
        """Return term and index of the last entry from before ``term``; zeros if there is none."""
        terms = self._terms.get(node_id, [])
        index = bisect_left(terms, term) - 1
        return (terms[index], index) if index > 0 else (0, 0)

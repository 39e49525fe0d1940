"""What one member was told to be committed at an index is what every member is told, for ever."""

from __future__ import annotations

from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.messages.raft import LogEntry
from zetcd.messages.storage import StorageApply
from zetcd.scalars import Index


class CommittedImmutable(Invariant):
    """Remembers the committed log; others look into it."""

    def __init__(self) -> None:
        self.entries: dict[Index, LogEntry] = {}
        #: Index of each batch, by its bytes, which name origin and batch.
        self.index_of: dict[bytes, Index] = {}

    def commit(self, node: Observed, message: StorageApply) -> None:
        for entry in message.entries:
            known = self.entries.setdefault(entry.index, entry)
            if known is entry:
                if entry.data:
                    self.index_of.setdefault(entry.data, entry.index)
                continue
            require(
                known == entry,
                "committed immutable",
                f"entry {entry.index} was committed in term {known.term}, "
                f"{node.name} now has one of term {entry.term}",
            )

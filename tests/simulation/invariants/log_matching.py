"""Two entries with the same index and term are the same and follow the same entry (Raft §5.3)."""

from __future__ import annotations

from tests.simulation.invariants.invariant import Invariant, Observed, require
from tests.simulation.invariants.shadow_logs import ShadowLogs
from zetcd.messages.raft import LogEntry
from zetcd.messages.storage import StorageAppend
from zetcd.scalars import Index, Term


class LogMatching(Invariant):
    """Remembers every entry that any member ever wrote; must come before ``logs`` in the list."""

    def __init__(self, logs: ShadowLogs) -> None:
        self._logs = logs
        self._entries: dict[tuple[Index, Term], tuple[LogEntry, Term]] = {}

    def append(self, node: Observed, message: StorageAppend) -> None:
        if not message.entries:
            return
        first = message.entries[0].index
        before = self._logs.term(node.node_id, first - 1)
        if message.snapshot is not None and message.snapshot.index == first - 1:
            before = message.snapshot.term
        require(
            before is not None, "log matching", f"{node.name} left a gap before an appended entry"
        )
        assert before is not None
        for entry in message.entries:
            known = self._entries.setdefault((entry.index, entry.term), (entry, before))
            require(
                known == (entry, before),
                "log matching",
                f"entry {entry.index} of term {entry.term} differs at {node.name}",
            )
            before = entry.term

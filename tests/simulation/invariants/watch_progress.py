"""After a watcher was told that it has everything up to a revision, no event up to it follows."""

from __future__ import annotations

from tests.simulation.invariants.invariant import Invariant, require
from zetcd.messages.watch import WatchResponse
from zetcd.scalars import Revision


class WatchProgress(Invariant):
    """Remembers the revision in the last header of each watcher's session."""

    def __init__(self) -> None:
        self._told: dict[int, Revision] = {}
        #: Notifications seen.
        self.count = 0

    def received(self, watcher: int, sequence: int, response: WatchResponse) -> None:
        """Take one response in; it is the one with this number of its session."""
        if sequence == 1:
            self._told[watcher] = 0
        if response.created or response.canceled:
            return
        told = self._told[watcher]
        for event in response.events:
            require(
                event.kv.mod_revision > told,
                "watch progress",
                f"watcher {watcher} got revision {event.kv.mod_revision} after it was told {told}",
            )
        self._told[watcher] = max(told, response.header.revision)
        self.count += not response.events

"""A watcher gets every event once, in the order of revisions, however often it reconnects.

Only history that was compacted may be missing, and only after the watcher was told so.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.invariants.invariant import Invariant, Observed, require
from tests.simulation.invariants.reference import Reference
from zetcd.messages.kv import Event
from zetcd.messages.watch import WatchResponse
from zetcd.scalars import Revision

_NAME = "watch order"


class WatchOrder(Invariant):
    """Keeps what each watcher of all keys was sent."""

    def __init__(self, reference: Reference) -> None:
        """Compare with the history of ``reference``."""
        self._reference = reference
        self.events: dict[int, list[Event]] = {}
        #: Revisions [first, end) that each watcher was told it cannot have.
        self._gaps: dict[int, list[tuple[Revision, Revision]]] = {}

    def received(self, watcher: int, sequence: int, response: WatchResponse) -> None:
        """Take one response in; it is the one with this number of its session."""
        require(
            response.sequence == sequence,
            _NAME,
            f"watcher {watcher} expects response {sequence} and got {response}",
        )
        events = self.events.setdefault(watcher, [])
        last = events[-1].kv.mod_revision if events else 0
        for event in response.events:
            revision = event.kv.mod_revision
            is_first = event is response.events[0]
            require(
                last < revision <= response.header.revision or (last == revision and not is_first),
                _NAME,
                f"watcher {watcher} got revision {revision} after {last}",
            )
            last = revision
        events.extend(response.events)

    def canceled(self, watcher: int, next_revision: Revision, response: WatchResponse) -> None:
        """Take in that a watcher was ended, which stood before ``next_revision``."""
        end = response.compact_revision
        require(
            next_revision < end <= self._reference.compact_revision,
            _NAME,
            f"watcher {watcher} at revision {next_revision} was told {response}, "
            f"compacted was {self._reference.compact_revision}",
        )
        self._gaps.setdefault(watcher, []).append((next_revision, end))

    def finish(self, nodes: Sequence[Observed]) -> None:
        del nodes
        changes = self._reference.changes
        for watcher, events in self.events.items():
            gaps = self._gaps.get(watcher, [])
            wanted = [
                event
                for revision in sorted(changes)
                if not any(first <= revision < end for first, end in gaps)
                for event in changes[revision]
            ]
            require(
                events == wanted,
                _NAME,
                f"watcher {watcher} got {len(events)} events that are not the {len(wanted)} of the "
                f"history; compacted meanwhile: {gaps}",
            )

"""Responsible for carrying between wal and the core what may go of the log; part of the raft actor.

    wal: mark durable ──► the core offers it ──► `LogRelease`: what nobody needs ──► wal: segments gone
                                                                                           │
                                              the core forgets what is gone ◄──────────────┘

In this order: nobody is offered a snapshot behind which the log is about to go.
"""

from __future__ import annotations

from collections.abc import Callable

from zetcd.messages.snapshot import CheckpointMarked, LogRelease
from zetcd.raft.raw_node import RawNode
from zetcd.scalars import Index


class RaftLogRelease:
    """One log, one core, which may come later."""

    def __init__(self, send_to_wal: Callable[[LogRelease], bool]) -> None:
        """Begin without a core."""
        self._send = send_to_wal
        #: Said by wal, and not yet done by the core; None = nothing.
        self._marked: CheckpointMarked | None = None
        self._told: Index = 0

    def marked(self, core: RawNode | None, marked: CheckpointMarked) -> None:
        """Take what wal says: a mark is durable, segments are gone."""
        self._marked = marked
        if core is not None:
            self.core_started(core)

    def core_started(self, core: RawNode) -> None:
        """Let the core know of the newest mark, and wal of what it may let go of."""
        if self._marked is not None:
            core.snapshot_available(self._marked.snapshot)
            self.compact(core)
        self.tell(core)

    def compact(self, core: RawNode) -> None:
        """Let the core forget what wal has let go of; it does once it knows that apply has it."""
        if self._marked is None:
            return
        index = self._marked.first_index - 1
        if core.compact(index) >= index:
            self._marked = None

    def tell(self, core: RawNode) -> None:
        """Tell wal how far the log may go, if that is news."""
        index = core.release_index()
        if index > self._told and self._send(LogRelease(index)):
            self._told = index

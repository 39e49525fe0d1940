"""Responsible for raft's questions whether wal and apply live, and for telling the core what follows.

The judgement itself is in the pure modules `zetcd.raft.liveness` and `zetcd.raft.fitness`; here messages are
sent and the kernel is asked. Must never wait: it runs with every tick, on the path of heartbeats.
"""

from __future__ import annotations

import structlog

from zetcd.actors.actor import APPLY, WAL
from zetcd.config import Config
from zetcd.messages.storage import LivenessAnswer, LivenessQuery
from zetcd.raft.liveness import Liveness
from zetcd.raft.raw_node import RawNode
from zetcd.runtime.mailbox import Address, Mailbox
from zetcd.runtime.process import is_stopped


class Vitals:
    """What raft knows of the life of its two neighbours."""

    def __init__(self, mailbox: Mailbox, config: Config) -> None:
        """Begin as if both had just been heard."""
        self._mailbox = mailbox
        self._log = structlog.get_logger()
        #: Whoever hears wal or apply says so here.
        self.liveness = Liveness(
            silence_ticks_max=config.election_ticks(),
            unstable_ticks_max=config.unstable_ticks_max(),
        )
        #: The process that wal is; 0 = not known yet.
        self.wal_pid = 0
        self._was_fit = True

    def answered(self, sender: Address, answer: LivenessAnswer) -> None:
        """Take the answer of wal or apply."""
        if sender == WAL:
            self.wal_pid = answer.pid
            self.liveness.wal.heard()
        else:
            self.liveness.apply.heard()

    def tick(self, core: RawNode) -> None:
        """Ask who is silent, and tell the core whether this node could do a leader's work."""
        questions = self.liveness.tick()
        if questions.wal:
            self._mailbox.send(WAL, LivenessQuery())
        if questions.apply:
            self._mailbox.send(APPLY, LivenessQuery())
        complaint = self.liveness.complaint(self._is_wal_stopped)
        core.set_fit(is_fit=not complaint)
        if core.is_fit == self._was_fit:
            return
        self._was_fit = core.is_fit
        if self._was_fit:
            self._log.info("fit to lead again")
        else:
            self._log.warning("not fit to lead", reason=complaint or core.unfit_reason())

    def _is_wal_stopped(self) -> bool:
        return self.wal_pid != 0 and is_stopped(self.wal_pid)

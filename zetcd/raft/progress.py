"""Responsible for what the leader knows of one other member, and how it may send to it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from zetcd.raft.inflights import Inflights

if TYPE_CHECKING:
    from zetcd.messages.raft import SnapshotMetadata
    from zetcd.scalars import Index

#: Election timeouts of silence after which no log is held for a peer any more.
SILENT_PERIODS_MAX: Final = 10


class ProgressState(IntEnum):
    """How entries are sent to a peer.

    ::

              answer accepted                 first entry needed is compacted
        PROBE ───────────────► REPLICATE   PROBE ───────────────► SNAPSHOT
              ◄───────────────                   ◄───────────────
              rejected, or unreachable           transfer ended (or answer accepted: REPLICATE)
    """

    #: Where the logs agree is not known: one message, then wait for its answer or a heartbeat's.
    PROBE = 0
    #: The logs agree up to ``next_index - 1`` unless messages were lost: send ahead of the answers.
    REPLICATE = 1
    #: A snapshot is on its way: send no entries.
    SNAPSHOT = 2


class Progress:
    """What the leader knows of one peer; created when it becomes leader, or when the peer joins.

    Invariants:
        * ``match_index < next_index``.
        * ``next_index == match_index + 1`` in PROBE until a snapshot was sent or the first answer
          came; in REPLICATE it runs ahead of ``match_index`` by what is in ``inflights``, and by what
          the peer has said to have in memory when it left PROBE.
        * ``inflights`` is empty unless in REPLICATE, ``pending_snapshot`` is 0 unless in SNAPSHOT.
        * At most one `LogRead` for this peer is outstanding.
        * ``held_index`` only rises, until it is 0 again (`log_hold`).
    """

    __slots__ = (
        "awaited_index",
        "held_goal",
        "held_index",
        "inflights",
        "is_awaited",
        "is_fit",
        "is_learner",
        "is_news_due",
        "is_probe_sent",
        "is_turn_due",
        "log_read_low",
        "match_index",
        "must_send",
        "next_index",
        "offered",
        "pending_snapshot",
        "recent_active",
        "sent_commit",
        "silent_periods",
        "state",
    )

    def __init__(self, *, next_index: Index, is_learner: bool, inflights: Inflights) -> None:
        """Start in PROBE, knowing nothing."""
        #: Highest index known to be durable in the peer's log and equal to ours.
        self.match_index: Index = 0
        #: First index of the next message.
        self.next_index = next_index
        self.state = ProgressState.PROBE
        #: Highest commit index told to the peer in this state; only spares messages.
        self.sent_commit: Index = 0
        #: Somebody there waits for the commit of everything up to here (it was forwarded) ...
        self.awaited_index: Index = 0
        #: ... or for every commit (it is watched).
        self.is_awaited = False
        #: Deferred news of a commit are old enough.
        self.is_news_due = False
        #: No entries have been sent since the last tick.
        self.is_turn_due = False
        #: Heard from since the last check of the quorum.
        self.recent_active = False
        #: It says that it could lead (`fitness`).
        self.is_fit = True
        self.is_learner = is_learner
        #: PROBE only: the one message is under way.
        self.is_probe_sent = False
        #: A heartbeat was answered while something is unacknowledged: send a message, even an empty
        #: one to a full window, which finds out whether messages were lost.
        self.must_send = False
        #: ``low`` of the outstanding `LogRead`; 0 = none.
        self.log_read_low: Index = 0
        #: Index of the snapshot under way; 0 = none.
        self.pending_snapshot: Index = 0
        #: The snapshot that was offered last.
        self.offered: SnapshotMetadata | None = None
        #: Entries above it are kept for the peer, which was sent a snapshot; 0 = none are.
        self.held_index: Index = 0
        #: What it must have by the end of this period to count as caught up; 0 = not yet set.
        self.held_goal: Index = 0
        #: Periods in which it was not heard while something was held for it.
        self.silent_periods = 0
        self.inflights = inflights

    @property
    def is_paused(self) -> bool:
        """Whether no entries may be sent for now."""
        if self.log_read_low:
            return True
        if self.state is ProgressState.PROBE:
            return self.is_probe_sent
        if self.state is ProgressState.REPLICATE:
            return self.inflights.is_full
        return True

    def _enter(self, state: ProgressState) -> None:
        """Switch the state and forget everything that belonged to the old one."""
        self.state = state
        self.is_probe_sent = False
        self.must_send = False
        self.log_read_low = 0
        self.pending_snapshot = 0
        self.inflights.reset()

    def become_probe(self) -> None:
        """Find out anew where the logs agree, at first just above ``match_index``."""
        # After a snapshot that the peer may have installed, the point to try is the one behind it.
        after_snapshot = self.pending_snapshot + 1
        self._enter(ProgressState.PROBE)
        self.next_index = max(self.match_index + 1, after_snapshot)
        self.sent_commit = min(self.sent_commit, self.next_index - 1)

    def become_replicate(self) -> None:
        """Stream from just above ``match_index``."""
        self._enter(ProgressState.REPLICATE)
        self.next_index = self.match_index + 1
        self.sent_commit = min(self.sent_commit, self.next_index - 1)

    def become_snapshot(self, snapshot_index: Index) -> None:
        """Wait for the snapshot at ``snapshot_index`` to arrive."""
        self._enter(ProgressState.SNAPSHOT)
        self.pending_snapshot = snapshot_index
        self.next_index = snapshot_index + 1
        self.sent_commit = snapshot_index

    def maybe_update(self, index: Index) -> bool:
        """Note that the peer has everything up to ``index``; return whether that is news."""
        if index <= self.match_index:
            return False
        self.match_index = index
        self.next_index = max(self.next_index, index + 1)
        if self.held_index:
            self.held_index = max(self.held_index, index)
        return True

    def maybe_decrease_to(self, rejected_index: Index, probe_index: Index) -> bool:
        """Step back after the peer refused entries behind ``rejected_index``.

        Args:
            rejected_index: the ``prev_index`` of the refused message.
            probe_index: the highest index at which the logs may agree.

        Returns:
            False if the refusal is stale: answered out of order, or of another state.
        """
        if self.state is ProgressState.REPLICATE:
            # Everything up to match_index is known to agree, so this answers an older message.
            if rejected_index <= self.match_index:
                return False
            self.next_index = self.match_index + 1
            return True
        if self.next_index - 1 != rejected_index or self.state is ProgressState.SNAPSHOT:
            return False
        self.next_index = max(min(rejected_index, probe_index + 1), self.match_index + 1)
        self.sent_commit = min(self.sent_commit, self.next_index - 1)
        self.is_probe_sent = False
        return True

    def hold(self, snapshot: SnapshotMetadata) -> None:
        """Keep the log above ``snapshot``, which the peer is offered."""
        self.offered = snapshot
        self.held_index = max(self.held_index, snapshot.index)
        self.held_goal = 0
        self.silent_periods = 0

    def review_hold(self, committed: Index) -> None:
        """Once a period: let go if the peer has caught up, or was silent for too long.

        Caught up is who has by the end of a period what was committed when it began, as in the last of
        the rounds in which a new server catches up (thesis §4.2.1).
        """
        if not self.held_index:
            return
        self.silent_periods = 0 if self.recent_active else self.silent_periods + 1
        is_caught_up = 0 < self.held_goal <= self.match_index
        if is_caught_up or self.silent_periods >= SILENT_PERIODS_MAX:
            self.held_index = 0
        self.held_goal = committed if self.state is ProgressState.REPLICATE else 0

    def check(self) -> None:
        """Assert the invariants."""
        assert 0 <= self.match_index < self.next_index
        assert self.state is ProgressState.REPLICATE or len(self.inflights) == 0
        assert (self.state is ProgressState.SNAPSHOT) == (self.pending_snapshot > 0)
        assert self.state is not ProgressState.SNAPSHOT or self.log_read_low == 0
        self.inflights.check()

"""Responsible for judging whether this member could do a leader's work, apart from what consensus asks.

Consensus needs only a quorum of disks: a leader whose own disk, or own state machine, has stopped
still commits through the others. But its clients get no answers, its memory fills with what the disk
has not taken, and it cannot say for how long. So a member that is not fit to lead

* hands over, if it leads and another voter says that it is fit (`election.hand_over_if_unfit`),
* leaves an election to the others for its first timeouts, if it follows, and
* says so in every answer to a heartbeat, so that nobody hands over to it.

Nobody steps down for want of fitness: if no one is fit, the leader goes on as well as it can.

Worked example, with ``unstable_ticks_max`` = 500 and a tick of 20 ms: fdatasync takes 1 s. What is handed to
the wal waits for 2 s at most, 100 ticks: fit. Then it hangs. 500 ticks later the oldest write is too old,
so the leader hands over; it stays unfit until 3 x 500 ticks have passed without that.

What counts, beside what the actor says (`RawNode.set_fit`: apply and wal answer):

* the log's tail that is not durable here: bytes, writes, and the age of the oldest,
* entries committed and not applied, if they have been too many for an election timeout.

Must never have a say in what is committed, who may vote, or whom a vote is given to.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zetcd.raft.raft import Raft
    from zetcd.scalars import Ticks

#: A disk that stalled counts as fit again after so many times `unstable_ticks_max` without that: one
#: that stalls now and then would hand leadership to and fro.
_RECOVERY_FACTOR: Final = 3
#: Election timeouts without a leader that an unfit member leaves to the others.
_HELD_BACK_MAX: Final = 2


class Fitness:
    """What speaks for and against this member.

    Invariants:
        * ``writes`` ascends in both parts, and holds nothing that the wal has confirmed at the last tick.
    """

    __slots__ = (
        "held_back",
        "is_able",
        "lagging_ticks",
        "next_try",
        "now",
        "unfit_until",
        "writes",
    )

    def __init__(self) -> None:
        """Start fit."""
        #: Ticks since the start.
        self.now: Ticks = 0
        #: The other actors of the node answer.
        self.is_able = True
        #: (number of the write, tick at which it was handed out) of writes under way, at most one a tick.
        self.writes: deque[tuple[int, Ticks]] = deque()
        #: The disk has stalled, and is not trusted before this tick.
        self.unfit_until: Ticks = 0
        #: For so long too many entries have been waiting for apply.
        self.lagging_ticks: Ticks = 0
        #: Leader: hands over no earlier than this.
        self.next_try: Ticks = 0
        #: Elections left to the others since a leader was heard.
        self.held_back = 0

    def check(self) -> None:
        """Assert the invariants."""
        counts = [count for count, _ in self.writes]
        assert counts == sorted(set(counts))
        assert self.now >= 0
        assert self.lagging_ticks >= 0


def tick(r: Raft) -> None:
    """Judge anew."""
    fitness, disk = r.fitness, r.persistence
    fitness.now += 1
    disk.is_turn_due = True
    writes = fitness.writes
    if disk.handed_count > (writes[-1][0] if writes else disk.confirmed_count):
        writes.append((disk.handed_count, fitness.now))
    while writes and writes[0][0] <= disk.confirmed_count:
        writes.popleft()
    if is_storage_stalled(r):
        fitness.unfit_until = fitness.now + _RECOVERY_FACTOR * r.options.unstable_ticks_max
    lag, lag_max = r.log.committed - r.log.applied, r.options.apply_lag_entries_max
    if lag > lag_max:
        fitness.lagging_ticks += 1
    elif lag <= lag_max // 2:
        fitness.lagging_ticks = 0


def unstable_ticks(r: Raft) -> Ticks:
    """Return for how long the oldest write under way has been waiting for the own disk."""
    writes = r.fitness.writes
    return r.fitness.now - writes[0][1] if writes else 0


def is_storage_stalled(r: Raft) -> bool:
    """Whether the own disk is behind beyond its bounds: bytes, writes, or time."""
    options, disk = r.options, r.persistence
    return (
        r.log.unstable_bytes > options.unstable_bytes_max
        or disk.handed_count - disk.confirmed_count > options.unstable_writes_max
        or unstable_ticks(r) > options.unstable_ticks_max
    )


def is_fit(r: Raft) -> bool:
    """Whether this member could do a leader's work."""
    fitness = r.fitness
    return (
        fitness.is_able
        and fitness.now >= fitness.unfit_until
        and fitness.lagging_ticks < r.options.election_ticks
    )


def reason(r: Raft) -> str:
    """Return which figure of the core speaks against this member; empty = none."""
    if r.fitness.now < r.fitness.unfit_until:
        return "the log's disk is behind its bounds"
    if r.fitness.lagging_ticks >= r.options.election_ticks:
        return "apply is behind its bounds"
    return ""


def holds_back(r: Raft) -> bool:
    """Whether to leave an election that is due now to the others; asked once for each."""
    if is_fit(r) or r.is_alone or r.fitness.held_back >= _HELD_BACK_MAX:
        return False
    r.fitness.held_back += 1
    r.say("is not fit to lead, and leaves the election to the others")
    return True

"""Several raft cores on one thread, each with the simplest wal and apply, and a network.

Nothing happens by itself: a test says which message is delivered, which write reaches the disk and
who crashes, in any order. What was handed to the wal and not processed is lost in a crash.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import groupby

from zetcd.messages.raft import (
    ConfState,
    EntryType,
    HardState,
    LogEntry,
    PeerMessage,
    SnapshotMetadata,
)
from zetcd.messages.storage import (
    ApplyState,
    LogRead,
    LogReadResp,
    StorageAppend,
    StorageApply,
    TermRun,
    WalState,
)
from zetcd.raft.membership import decode_conf_change, next_conf_state
from zetcd.raft.options import RaftOptions, RaftStart, RandomSource
from zetcd.raft.raw_node import RawNode
from zetcd.raft.ready import Ready


class FixedTimeouts:
    """Draws the timeout that the test chose, so that it decides who campaigns first."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def randint(self, a: int, b: int, /) -> int:
        return min(a + self.offset, b)


class FakeWal:
    """A log on an imaginary disk, with a queue of writes before it."""

    def __init__(self, snapshot: SnapshotMetadata) -> None:
        self.hard_state = HardState()
        self.snapshot = snapshot
        self.entries: list[LogEntry] = []
        self.queue: deque[StorageAppend] = deque()
        self.reads: deque[LogRead] = deque()

    @property
    def last_index(self) -> int:
        return self.entries[-1].index if self.entries else self.snapshot.index

    def write_next(self) -> StorageAppend:
        """Make the oldest write durable and return it."""
        write = self.queue.popleft()
        if write.snapshot is not None:
            self.snapshot = write.snapshot
            self.entries = []
        if write.entries:
            first = write.entries[0].index
            assert first <= self.last_index + 1, "a gap in the log on disk"
            kept = [entry for entry in self.entries if entry.index < first]
            self.entries = [*kept, *write.entries]
        if write.hard_state is not None:
            assert write.hard_state.term >= self.hard_state.term
            self.hard_state = write.hard_state
        return write

    def read_next(self) -> LogReadResp:
        """Answer the oldest read."""
        read = self.reads.popleft()
        found = [entry for entry in self.entries if read.low <= entry.index < read.high]
        if found and found[0].index != read.low:
            found = []
        taken: list[LogEntry] = []
        size = 0
        for entry in found:
            size += len(entry.data) + 32
            if taken and size > read.bytes_max:
                break
            taken.append(entry)
        return LogReadResp(read.target, read.low, tuple(taken))

    def state(self, tail_count: int) -> WalState:
        """Return what recovery finds."""
        runs = [
            TermRun(next(iter(group)).index, term)
            for term, group in groupby(self.entries, key=lambda entry: entry.term)
        ]
        tail = tuple(self.entries[len(self.entries) - min(tail_count, len(self.entries)) :])
        return WalState(self.hard_state, self.snapshot, self.last_index, tuple(runs), tail)


class FakeApply:
    """A state machine that is the list of what it applied."""

    def __init__(self, state: ApplyState) -> None:
        self.index = state.applied_index
        self.term = state.applied_term
        self.conf_state = state.conf_state
        self.applied: list[LogEntry] = []
        self.queue: deque[StorageApply | SnapshotMetadata] = deque()

    def apply_next(self) -> int:
        """Apply the oldest batch and return the applied index."""
        work = self.queue.popleft()
        if isinstance(work, SnapshotMetadata):
            if work.index > self.index:
                self.index, self.term, self.conf_state = work.index, work.term, work.conf_state
            return self.index
        for entry in work.entries:
            assert entry.index == self.index + 1, "apply got a gap or a repetition"
            self.applied.append(entry)
            self.index, self.term = entry.index, entry.term
            if entry.type == EntryType.CONF_CHANGE:
                self.conf_state = next_conf_state(self.conf_state, decode_conf_change(entry.data))
        return self.index

    def state(self) -> ApplyState:
        """Return what a restarted raft is told."""
        return ApplyState(self.index, self.term, self.conf_state)


@dataclass
class FakeMember:
    """One node: core, disk and state machine."""

    options: RaftOptions
    wal: FakeWal
    apply: FakeApply
    rng: RandomSource
    node: RawNode = field(init=False)
    #: Entries of the newest part of the log that recovery hands over.
    tail_count: int = 1_000_000
    is_up: bool = True
    traces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Build the core from what the disk and the state machine hold."""
        start = RaftStart.of(self.wal.state(self.tail_count), self.apply.state())
        self.node = RawNode(self.options, start, self.rng, self.traces.append)
        self.node.check()
        self.is_up = True

    def crash(self) -> None:
        """Lose everything that is only in memory; apply, a process of its own, survives."""
        self.is_up = False
        self.wal.queue.clear()
        self.wal.reads.clear()
        self.apply.queue.clear()


class FakeCluster:
    """Members by id, and the messages between them in the order they were sent."""

    def __init__(self) -> None:
        self.members: dict[int, FakeMember] = {}
        self.network: list[PeerMessage] = []
        #: Pairs of ids that cannot talk, both ways.
        self.cut: set[tuple[int, int]] = set()

    def add(
        self,
        options: RaftOptions,
        conf_state: ConfState,
        *,
        entries: tuple[LogEntry, ...] = (),
        hard_state: HardState | None = None,
        start_index: int = 1,
        rng: RandomSource | None = None,
    ) -> FakeMember:
        """Add a member whose log begins behind a snapshot at ``start_index`` and term 1."""
        start_term = 1 if start_index else 0
        snapshot = SnapshotMetadata(start_index, start_term, conf_state)
        wal = FakeWal(snapshot)
        wal.hard_state = hard_state or HardState(start_term, 0, start_index)
        wal.entries = list(entries)
        apply = FakeApply(ApplyState(start_index, start_term, conf_state))
        member = FakeMember(options, wal, apply, rng or FixedTimeouts(0))
        self.members[options.node_id] = member
        return member

    def is_cut(self, sender: int, to: int) -> bool:
        return (min(sender, to), max(sender, to)) in self.cut

    def send(self, message: PeerMessage) -> bool:
        """Put a message on the wire unless it is cut; return whether it was put."""
        if message.to not in self.members or self.is_cut(message.sender, message.to):
            return False
        self.network.append(message)
        return True

    # --- one step of one part -------------------------------------------------------------------

    def ready(self, node_id: int) -> Ready | None:
        """Carry out one `Ready` as far as putting things into queues; None if there is none."""
        member = self.members[node_id]
        if not member.is_up or not member.node.has_ready():
            return None
        ready = member.node.ready()
        member.node.check()
        for message in ready.messages:
            self.send(message)
        if ready.append is not None:
            member.wal.queue.append(ready.append)
        if ready.snapshot is not None:
            member.apply.queue.append(ready.snapshot)
        if ready.apply is not None:
            member.apply.queue.append(ready.apply)
        member.wal.reads.extend(ready.log_reads)
        return ready

    def write(self, node_id: int) -> StorageAppend | None:
        """Let the disk take the oldest write, and release what is attached to it."""
        member = self.members[node_id]
        if not member.is_up or not member.wal.queue:
            return None
        write = member.wal.write_next()
        for response in write.responses:
            if response.to == node_id:
                member.node.step(response)
                member.node.check()
            else:
                self.send(response)
        return write

    def apply(self, node_id: int) -> int | None:
        """Let apply do the oldest piece of work; return the applied index."""
        member = self.members[node_id]
        if not member.is_up or not member.apply.queue:
            return None
        index = member.apply.apply_next()
        member.node.applied(index)
        member.node.check()
        return index

    def read(self, node_id: int) -> LogReadResp | None:
        """Let the wal answer the oldest read."""
        member = self.members[node_id]
        if not member.is_up or not member.wal.reads:
            return None
        response = member.wal.read_next()
        member.node.log_read(response)
        member.node.check()
        return response

    def deliver(self, message: PeerMessage) -> None:
        """Hand one message over; the caller has taken it off the wire."""
        member = self.members[message.to]
        if member.is_up:
            member.node.step(message)
            member.node.check()

    def take(self, to: int) -> list[PeerMessage]:
        """Take everything addressed to ``to`` off the wire."""
        taken = [message for message in self.network if message.to == to]
        self.network = [message for message in self.network if message.to != to]
        return taken

    def settle(self, node_ids: tuple[int, ...] = (), *, rounds_max: int = 1000) -> None:
        """Let everything happen, in order, until nothing is left to do."""
        ids = node_ids or tuple(sorted(self.members))
        for _ in range(rounds_max):
            is_busy = False
            for node_id in ids:
                is_busy |= self.ready(node_id) is not None
                is_busy |= self.write(node_id) is not None
                is_busy |= self.apply(node_id) is not None
                is_busy |= self.read(node_id) is not None
                for message in self.take(node_id):
                    self.deliver(message)
                    is_busy = True
            if not is_busy:
                return
        raise AssertionError("the cluster does not come to rest")

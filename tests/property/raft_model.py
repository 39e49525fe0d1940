"""What must be true of any cluster of raft cores, checked against everything that was ever seen."""

from __future__ import annotations

from tests.datadriven.raft_cluster import FakeCluster
from zetcd.messages.node import Role
from zetcd.messages.raft import ConfState, LogEntry
from zetcd.raft.quorum import has_majority
from zetcd.raft.ready import Ready


class RaftModel:
    """Remembers leaders, committed entries and reads; asserts the properties of Raft."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        #: Leader of each term.
        self.leaders: dict[int, int] = {}
        #: Every entry that any member called committed, by index.
        self.committed: dict[int, LogEntry] = {}
        self.committed_max = max(member.node.committed for member in cluster.members.values())
        #: The newest membership that any member has handed to apply.
        self.conf = next(iter(cluster.members.values())).apply.conf_state
        self.conf_index = 0
        #: Highest committed index when a read was asked for, by its context.
        self.reads: dict[int, int] = {}
        self.reads_answered = 0
        self.applied_seen: dict[int, int] = {}

    # --- what is seen ---------------------------------------------------------------------------

    def note_ready(self, node_id: int, ready: Ready) -> None:
        """Check the answers to reads in ``ready``."""
        for state in ready.read_states:
            floor = self.reads.pop(state.context)
            assert state.index >= floor, f"a read at {state.index} misses commit {floor}"
            self.reads_answered += 1
        for refused in ready.refused_reads:
            self.reads.pop(refused.context)

    def note_read(self, context: int) -> None:
        """Remember what a read asked for now has to see."""
        self.reads[context] = self.committed_max

    def forget_reads_of(self, node_id: int) -> None:
        """Forget the reads that died with a member; contexts tell whose they were."""
        for context in [context for context in self.reads if context % 100 == node_id]:
            del self.reads[context]

    # --- properties -----------------------------------------------------------------------------

    def check(self) -> None:
        """Assert all properties."""
        for node_id, member in self.cluster.members.items():
            if not member.is_up:
                continue
            self.check_election_safety(node_id)
            self.check_committed_immutable(node_id)
            self.check_state_machine_safety(node_id)
        for node_id, member in self.cluster.members.items():
            if member.is_up and member.node.role is Role.LEADER:
                self.check_leader_completeness(node_id)
        self.check_log_matching()
        self.current_conf()

    def entries(self, node_id: int) -> list[LogEntry]:
        """Return the log of a member that is up: in memory, and before that on its disk."""
        member = self.cluster.members[node_id]
        log = member.node._raft.log
        held = log.tail.slice(log.tail.first_index, log.tail.next_index)
        on_disk = [
            entry
            for entry in member.wal.entries
            if entry.index < log.tail.first_index and log.term_at(entry.index) == entry.term
        ]
        return [*on_disk, *held]

    def check_election_safety(self, node_id: int) -> None:
        """At most one leader can be elected in a given term (Raft Figure 3)."""
        node = self.cluster.members[node_id].node
        if node.role is Role.LEADER:
            assert self.leaders.setdefault(node.term, node_id) == node_id, "two leaders in one term"

    def check_committed_immutable(self, node_id: int) -> None:
        """What is committed stays what it is, and is on the disks of a majority."""
        node = self.cluster.members[node_id].node
        if node.committed <= self.committed_max and node.role is not Role.LEADER:
            seen = self.applied_seen.get(node_id, 0)
            if seen == node.committed:
                return
        self.applied_seen[node_id] = node.committed
        for entry in self.entries(node_id):
            if entry.index > node.committed:
                break
            known = self.committed.setdefault(entry.index, entry)
            assert known == entry, f"committed entry {entry.index} changed"
        if node.committed > self.committed_max:
            self.committed_max = node.committed
            self.check_durable_on_majority(node.committed)

    def check_durable_on_majority(self, index: int) -> None:
        """No acknowledgement before a majority of disks has it."""
        holders = {
            other_id
            for other_id, other in self.cluster.members.items()
            if other.wal.snapshot.index >= index
            or any(entry == self.committed[index] for entry in other.wal.entries)
        }
        # It was committed by the majority of the membership before or after a change in this turn.
        before, after = self.conf, self.current_conf()
        assert has_majority(before.voters, holders) or has_majority(after.voters, holders), (
            f"{index} committed on {sorted(holders)} only"
        )

    def current_conf(self) -> ConfState:
        """Return the membership after all committed changes but possibly the last."""
        leaders = [
            member.node
            for member in self.cluster.members.values()
            if member.is_up and member.node.role is Role.LEADER
        ]
        if not leaders:
            return self.conf
        self.conf = max(leaders, key=lambda node: node.term)._raft.conf
        return self.conf

    def check_state_machine_safety(self, node_id: int) -> None:
        """If a member has applied an entry, no other applies a different one at its index."""
        applied = self.cluster.members[node_id].apply.applied
        for entry in applied[-3:]:
            assert self.committed.get(entry.index, entry) == entry, "applied differs"

    def check_leader_completeness(self, node_id: int) -> None:
        """A leader has every entry that was committed before its term."""
        node = self.cluster.members[node_id].node
        log = node._raft.log
        for index, entry in self.committed.items():
            if entry.term < node.term and index > log.snapshot_index:
                assert log.term_at(index) == entry.term, f"leader lacks committed entry {index}"

    def check_log_matching(self) -> None:
        """If two logs have an entry with the same index and term, they agree up to there."""
        logs = [
            {entry.index: entry for entry in self.entries(node_id)}
            for node_id, member in self.cluster.members.items()
            if member.is_up
        ]
        for place, one in enumerate(logs):
            for other in logs[place + 1 :]:
                is_matching = False
                for index in sorted(one.keys() & other.keys(), reverse=True):
                    is_matching = is_matching or one[index].term == other[index].term
                    if is_matching:
                        assert one[index] == other[index], f"logs differ at {index}"

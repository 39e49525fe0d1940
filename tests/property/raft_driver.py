"""Does random things to a cluster of raft cores; every choice comes from the caller."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tests.datadriven.raft_cluster import FakeCluster
from tests.property.raft_model import RaftModel
from zetcd.messages.codec import encode
from zetcd.messages.raft import (
    ConfChange,
    ConfChangeType,
    ConfState,
    EntryType,
    InstallSnapshot,
    SnapshotMetadata,
)
from zetcd.messages.storage import StorageAppend
from zetcd.raft.options import RaftOptions
from zetcd.raft.progress import ProgressState

#: ``choose(low, high)`` returns a number in ``[low, high]``.
Choose = Callable[[int, int], int]


class ChosenTimeouts:
    """Draws what the caller chooses."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose

    def randint(self, a: int, b: int, /) -> int:
        return self.choose(a, b)


class RaftDriver:
    """A cluster, the model beside it, and the things that can happen to it."""

    def __init__(
        self,
        choose: Choose,
        *,
        extra: tuple[int, ...] = (),
        log_tail_bytes_max: int = 1 << 20,
        is_as_in_the_paper: bool = False,
    ) -> None:
        """Build three voters, and ``extra`` nodes that are not members yet.

        Without pre-vote and check-quorum, ``is_as_in_the_paper``, elections are many and messy.
        """
        self.choose = choose
        self.cluster = FakeCluster()
        voters = (1, 2, 3)
        for node_id in (*voters, *extra):
            options = RaftOptions(
                node_id=node_id,
                election_ticks=3,
                read_round_seed=node_id << 32,
                log_tail_bytes_max=log_tail_bytes_max,
                pre_vote=not is_as_in_the_paper,
                check_quorum=not is_as_in_the_paper,
            )
            self.cluster.add(options, ConfState(voters), rng=ChosenTimeouts(choose))
        self.ids = (*voters, *extra)
        self.model = RaftModel(self.cluster)
        self.counter = 0
        self.incarnation = 0

    def node_id(self) -> int:
        return self.ids[self.choose(0, len(self.ids) - 1)]

    def check(self) -> None:
        self.model.check()

    # --- things that happen ---------------------------------------------------------------------

    def tick(self, node_id: int, count: int = 1) -> None:
        member = self.cluster.members[node_id]
        for _ in range(count if member.is_up else 0):
            member.node.tick()
            member.node.check()

    def ready(self, node_id: int) -> None:
        ready = self.cluster.ready(node_id)
        if ready is not None:
            self.model.note_ready(node_id, ready)

    def write(self, node_id: int) -> StorageAppend | None:
        return self.cluster.write(node_id)

    def turn(self, node_id: int) -> None:
        """What a healthy node does: everything it has to, and what was sent to it."""
        for message in self.cluster.take(node_id):
            self.cluster.deliver(message)
        self.ready(node_id)
        self.write(node_id)
        self.cluster.apply(node_id)
        self.cluster.read(node_id)
        self.ready(node_id)

    def deliver(self, *, is_duplicate: bool = False) -> None:
        """Deliver any message: the oldest or not, once or twice."""
        network = self.cluster.network
        if network:
            place = self.choose(0, min(len(network) - 1, 20))
            message = network[place] if is_duplicate else network.pop(place)
            self.cluster.deliver(message)

    def drop(self) -> None:
        network = self.cluster.network
        if network:
            network.pop(self.choose(0, len(network) - 1))

    def propose(self, node_id: int) -> None:
        member = self.cluster.members[node_id]
        if member.is_up:
            self.counter += 1
            data = b"%d" % self.counter
            member.node.propose([(EntryType.NORMAL, data)] * self.choose(1, 3))
            member.node.check()

    def read(self, node_id: int) -> None:
        member = self.cluster.members[node_id]
        if member.is_up:
            self.counter += 1
            context = self.counter * 100 + node_id
            self.model.note_read(context)
            member.node.read_index(context)
            member.node.check()

    def transfer(self, node_id: int) -> None:
        member = self.cluster.members[node_id]
        if member.is_up:
            member.node.transfer_leader(self.node_id())
            member.node.check()

    def change(self, node_id: int) -> None:
        """Propose to add, promote or remove a member.

        Not to remove one of two: see "Caveats" in `zetcd.raft`.
        """
        member = self.cluster.members[node_id]
        if member.is_up and member.node.is_leader:
            kinds = [ConfChangeType.ADD_NODE, ConfChangeType.ADD_LEARNER]
            if len(member.node.status().voters) > 2:
                kinds += [ConfChangeType.REMOVE_NODE] * 2
            change = ConfChange(kinds[self.choose(0, len(kinds) - 1)], self.node_id())
            member.node.propose([(EntryType.CONF_CHANGE, encode(change))])
            member.node.check()

    def crash(self, node_id: int) -> None:
        """Lose what is in memory, some writes possibly having reached the disk unacknowledged."""
        member = self.cluster.members[node_id]
        if not member.is_up:
            return
        for _ in range(self.choose(0, len(member.wal.queue))):
            member.wal.write_next()
        member.crash()
        self.model.forget_reads_of(node_id)

    def restart(self, node_id: int) -> None:
        member = self.cluster.members[node_id]
        if not member.is_up:
            self.incarnation += 1
            seed = node_id << 32 | self.incarnation << 16
            member.options = dataclasses.replace(member.options, read_round_seed=seed)
            member.start()

    def restart_apply(self, node_id: int) -> None:
        """Apply dies alone; its state is in its database, its queue is lost."""
        member = self.cluster.members[node_id]
        if member.is_up:
            member.apply.queue.clear()
            member.node.resume_apply(member.apply.state())
            member.node.check()

    def partition(self, node_id: int) -> None:
        """Cut off one member, preferably a leader: it does not know, and may answer reads."""
        leaders = [i for i in self.ids if self.cluster.members[i].node.is_leader]
        if leaders and self.choose(0, 2):
            node_id = leaders[0]
        self.cluster.cut = {
            (min(node_id, other), max(node_id, other)) for other in self.ids if other != node_id
        }

    def heal(self) -> None:
        self.cluster.cut = set()

    def snapshot(self, node_id: int) -> None:
        """Make a snapshot of what is applied and compact the log behind it."""
        member = self.cluster.members[node_id]
        apply = member.apply
        if not member.is_up or apply.queue or apply.index > member.wal.last_index:
            return
        log = member.node._raft.log
        if apply.index > min(log.durable, log.committed) or apply.index <= log.snapshot_index:
            return
        meta = SnapshotMetadata(apply.index, apply.term, apply.conf_state)
        member.node.snapshot_available(meta)
        member.node.compact(apply.index)
        member.node.check()
        wal = member.wal
        wal.entries = [entry for entry in wal.entries if entry.index > apply.index]
        wal.snapshot = meta

    def report_snapshots(self) -> None:
        """Tell leaders of snapshots that were lost, as the one who carries them would."""
        under_way = {m.to for m in self.cluster.network if isinstance(m, InstallSnapshot)}
        for member in self.cluster.members.values():
            for peer in member.node.status().progress:
                if peer.state is ProgressState.SNAPSHOT and peer.node_id not in under_way:
                    member.node.report_snapshot(peer.node_id, is_ok=False)

    def converge(self) -> None:
        """Stop the faults: a leader must emerge and everybody must apply the same."""
        self.heal()
        for node_id in self.ids:
            self.restart(node_id)
        for _ in range(400):
            for node_id in self.ids:
                self.tick(node_id)
                for _ in range(4):
                    self.turn(node_id)
            self.report_snapshots()
            self.check()
            if self.is_converged():
                return
        raise AssertionError("no agreement after the faults stopped")

    def is_converged(self) -> bool:
        """Whether one member leads and all members of its membership have applied its log."""
        nodes = {node_id: self.cluster.members[node_id] for node_id in self.ids}
        leaders = [m for m in nodes.values() if m.node.is_leader]
        if len(leaders) != 1:
            return False
        leader = leaders[0]
        conf = leader.node._raft.conf
        last = leader.node._raft.log.last_index
        return all(nodes[i].apply.index == last for i in (*conf.voters, *conf.learners))


#: Things that happen, with how often.
ACTIONS: tuple[tuple[str, int], ...] = (
    ("turn", 40),
    ("tick", 16),
    ("ready", 10),
    ("write", 8),
    ("deliver", 30),
    ("duplicate", 3),
    ("drop", 3),
    ("propose", 8),
    ("read", 8),
    ("transfer", 2),
    ("crash", 2),
    ("restart", 5),
    ("restart_apply", 1),
    ("partition", 3),
    ("heal", 2),
)


def act(driver: RaftDriver, name: str) -> None:
    """Do one thing."""
    if name == "deliver":
        driver.deliver()
    elif name == "duplicate":
        driver.deliver(is_duplicate=True)
    elif name == "drop":
        driver.drop()
    elif name == "heal":
        driver.heal()
    else:
        getattr(driver, name)(driver.node_id())

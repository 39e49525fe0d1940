"""A leader beside which wal or apply stands still gives leadership away: real actors in one thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.actors.memory_cluster import MemoryCluster
from zetcd.actors.actor import APPLY, RAFT, WAL
from zetcd.messages.storage import LivenessAnswer, LivenessQuery
from zetcd.runtime.process import is_stopped


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MemoryCluster]:
    cluster = MemoryCluster(tmp_path, settings="[raft]\nunstable-seconds-max = 3.0\n")
    yield cluster
    cluster.close()


def test_a_leader_whose_apply_stands_still_hands_over(cluster: MemoryCluster) -> None:
    """Within two election timeouts; when it goes on, it is a follower's apply."""
    leader = cluster.start()
    cluster.advance(1.0)
    term = leader.info.term
    apply = leader.actors.pop(APPLY)
    cluster.advance(2.0)
    assert not leader.is_leader
    new = cluster.wait_for_leader(but=leader)
    assert new.info.term == term + 1
    assert dict(leader.raft.facts())["fit"] == "no"
    new.put(b"k", b"v")
    leader.actors[APPLY] = apply
    cluster.advance(0.5)
    facts = [dict(node.actors[APPLY].facts()) for node in cluster.nodes]
    assert len({(each["applied"], each["revision"]) for each in facts}) == 1
    assert dict(leader.raft.facts())["fit"] == "yes"


def test_a_leader_whose_disk_is_slow_stays_until_a_write_has_waited_too_long(
    cluster: MemoryCluster,
) -> None:
    """The process of wal runs (here it is this one), so it can only be the disk."""
    leader = cluster.start()
    cluster.advance(1.0)
    wal = leader.actors.pop(WAL)
    for number in range(5):
        leader.put(b"k%d" % number)
        cluster.advance(0.5)
        assert leader.is_leader
    assert dict(leader.raft.facts())["fit"] == "yes"
    cluster.advance(1.5)
    assert not leader.is_leader
    new = cluster.wait_for_leader(but=leader)
    new.put(b"after")
    leader.actors[WAL] = wal
    cluster.advance(0.5)
    # One that stalls now and then would move leadership to and fro.
    assert dict(leader.raft.facts())["fit"] == "no"


def test_a_leader_whose_wal_is_stopped_hands_over_after_an_election_timeout(
    cluster: MemoryCluster,
) -> None:
    """The kernel tells a stopped process from one that waits for a disk."""
    leader = cluster.start()
    cluster.advance(1.0)
    program = "input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while not is_stopped(process.pid):
            assert time.monotonic() < deadline
        try:
            wal = leader.actors.pop(WAL)
            # What wal would have said of its process.
            assert wal.mailbox.send(RAFT, LivenessAnswer(process.pid))
            cluster.advance(0.5)
            before = leader.is_leader
            cluster.advance(1.5)
            assert (before, leader.is_leader) == (True, False)
            cluster.wait_for_leader(but=leader)
            leader.actors[WAL] = wal
        finally:
            process.kill()


def test_nobody_hands_over_when_nobody_is_fit(cluster: MemoryCluster) -> None:
    """An election would cost, and gain nothing; what still works goes on."""
    leader = cluster.start()
    cluster.advance(1.0)
    term = leader.info.term
    applies = [node.actors.pop(APPLY) for node in cluster.nodes]
    cluster.advance(5.0)
    assert leader.is_leader
    assert leader.info.term == term
    for node, apply in zip(cluster.nodes, applies, strict=True):
        node.actors[APPLY] = apply
    cluster.advance(0.5)
    leader.put(b"k")


def test_a_silent_neighbour_is_asked_once(cluster: MemoryCluster) -> None:
    """A process that was stopped for an hour finds one question."""
    leader = cluster.start()
    cluster.advance(1.0)
    apply = leader.actors.pop(APPLY)
    cluster.advance(5.0)
    box = apply.mailbox
    asked = [each.message for each in box.receive(100_000) if type(each.message) is LivenessQuery]
    assert len(asked) == 1
    leader.actors[APPLY] = apply


def test_wal_and_apply_say_which_process_they_are(cluster: MemoryCluster) -> None:
    """All they are asked for while nothing happens; so that a stopped one can be told."""
    leader = cluster.start()
    cluster.advance(3.0)
    assert leader.raft._vitals.wal_pid == os.getpid()
    assert dict(leader.raft.facts())["fit"] == "yes"

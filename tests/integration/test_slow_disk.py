"""A disk that takes a second for every fdatasync stalls nothing but what truly needs it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, assert_same_history, client_of, wait_until
from tests.integration.load import Watcher, Writer
from zetcd.client import Client

pytestmark = pytest.mark.integration

#: Seconds of load; several fdatasyncs of the slow disk, and several election time-outs.
_OBSERVED_SECONDS = 5.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    slow = "[wal]\ntest-fdatasync-delay-ms = 1000\n"
    with Cluster(tmp_path, extra_of={0: slow}) as cluster:
        yield cluster


def test_a_leader_with_a_slow_disk_commits_through_its_followers(cluster: Cluster) -> None:
    """Promise 2: puts, reads, watches and renewals go on, and nobody else comes to lead.

    Were an acknowledgement to wait for the leader's own disk, each of the puts, which come one
    after the other, would take a second.
    """
    slow = cluster.nodes[0]
    cluster.move_leader(slow)
    leader, term = cluster.leader_and_term()
    assert leader is slow
    with (
        Client(slow.endpoint, timeout=10.0) as client,
        Writer([slow.endpoint]) as writer,
        Watcher([slow.endpoint]) as watcher,
    ):
        lease = client.lease_grant(60)
        until = time.monotonic() + _OBSERVED_SECONDS
        while time.monotonic() < until:
            writer.wait_progress(100)
            last = writer.acknowledged[-1]
            assert client.get(last.key).kvs[0].value == last.value
            assert client.keep_alive_once(lease.id).ttl == 60
            watcher.wait_revision(last.revision)
        writer.stop()
        assert all(each.revision for each in writer.records), "a put was refused or unknown"
        writer.assert_kept(client)
    assert cluster.leader_and_term() == (slow, term)
    wal, raft = slow.actor("wal-0").facts, slow.actor("raft-0").facts
    assert int(wal["fsync_us_p50"]) >= 1_000_000, "the disk was not slow"
    rate = len(writer.records) / _OBSERVED_SECONDS
    print(f"{rate:.0f} puts/s; late ticks, p99.9: {float(raft['tick_late_ms_p999'])} ms")
    assert_same_history(cluster)


def test_what_a_slow_leader_acknowledged_survives_its_death(cluster: Cluster) -> None:
    """What only the followers' disks had when the leader was killed is there all the same."""
    slow = cluster.nodes[0]
    cluster.move_leader(slow)
    with Writer([slow.endpoint], put_seconds_max=2.0) as writer:
        writer.wait_progress(200)
        slow.kill()
        writer.stop()
    slow.start_serving()
    with client_of(cluster) as client:
        writer.assert_kept(client)
    assert_same_history(cluster)


def test_a_disk_behind_its_bound_makes_its_leader_a_follower(tmp_path: Path) -> None:
    """In order: the log of the next leader is complete, nothing acknowledged is lost, one election.

    The member with the slow disk goes on as a follower, and leads again only if it is told to.
    """
    delay = tmp_path / "delay-ms"
    slow = f'[wal]\ntest-fdatasync-delay-file = "{delay}"\n[raft]\nunstable-seconds-max = 1.0\n'
    with Cluster(tmp_path, extra_of={0: slow}) as cluster:
        node = cluster.nodes[0]
        cluster.move_leader(node)
        term = cluster.leader_and_term()[1]
        with Writer([cluster.nodes[1].endpoint]) as writer:
            writer.wait_progress(20)
            delay.write_text("3000")
            wait_until(lambda: cluster.leader() is not node, "another one leads")
            writer.wait_progress(100, "the others do not wait for the slow disk")
            delay.write_text("0")
            writer.stop()
        leader, new_term = cluster.leader_and_term()
        assert leader is not node
        assert new_term == term + 1
        assert "behind its bounds" in node.log()
        with client_of(cluster) as client:
            writer.assert_kept(client)
        assert_same_history(cluster)
        cluster.move_leader(node)

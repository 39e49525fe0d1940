"""Nodes are killed, stopped and cut off under load: nothing acknowledged is lost, and writes resume."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import (
    Cluster,
    Node,
    assert_same_history,
    client_of,
    wait_until,
)
from tests.integration.load import Writer
from zetcd.client import Client, put
from zetcd.errors import NoLeader, Timeout, ZetcdError

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def test_each_node_is_killed_in_turn_under_load(cluster: Cluster) -> None:
    """Promise 1: kill -9 of any one node loses nothing acknowledged, and writes go on without it."""
    with Writer(cluster.endpoints) as writer:
        for node in cluster.nodes:
            writer.wait_progress()
            began = time.monotonic()
            node.kill()
            writer.wait_progress(1, f"writes resume without {node.name}")
            print(f"writes paused for {time.monotonic() - began:.2f} s without {node.name}")
            writer.wait_progress()
            node.start_serving()
        writer.wait_progress()
        writer.stop()
        with client_of(cluster) as client:
            writer.assert_kept(client)
    assert_same_history(cluster)


def test_the_leader_is_killed_again_and_again(cluster: Cluster) -> None:
    """Promise 1 at its worst moment: the node that acknowledges is the one that dies."""
    with Writer(cluster.endpoints) as writer:
        for _ in range(3):
            writer.wait_progress()
            leader, term = cluster.leader_and_term()
            began = time.monotonic()
            leader.kill()
            writer.wait_progress(1, f"writes resume without the leader {leader.name}")
            print(f"writes paused for {time.monotonic() - began:.2f} s without a leader")
            assert cluster.leader_and_term()[1] > term
            leader.start_serving()
        writer.stop()
        with client_of(cluster) as client:
            writer.assert_kept(client)
    assert_same_history(cluster)


def test_sigterm_of_the_leader_hands_leadership_over(cluster: Cluster) -> None:
    """Design section 6: a stopping leader hands over, so the next one leads in the very next term."""
    with Writer(cluster.endpoints) as writer:
        writer.wait_progress()
        leader, term = cluster.leader_and_term()
        assert leader.stop() == 0
        writer.wait_progress()
        new_leader, new_term = cluster.leader_and_term()
        writer.stop()
        assert new_leader is not leader
        assert new_term == term + 1
        with client_of(cluster) as client:
            writer.assert_kept(client)


def test_a_minority_refuses_and_serves_serializable_reads(tmp_path: Path) -> None:
    """Without a quorum nothing is written and no linearizable read is answered, with etcd's texts."""
    # The server's own limit is to be the one that a read meets, not the client's.
    extra = '[gateway]\nrequest-timeout = "1s"\n'
    with Cluster(tmp_path, extra=extra) as cluster:
        with client_of(cluster) as client:
            revision = client.put(b"before", b"kept").header.revision
        survivor, *others = cluster.nodes
        # The survivor must have the key before it is alone.
        wait_until(lambda: _serializable(survivor, b"before") == b"kept", "it has the key")
        for node in others:
            node.kill()
        with Client(survivor.endpoint, timeout=2.5) as client:
            wait_until(lambda: client.status().leader == 0, "the survivor sees that nobody leads")
            with pytest.raises(NoLeader, match="etcdserver: no leader"):
                client.put(b"refused", b"")
            # A read waits for a leader as long as the server allows.
            with pytest.raises(Timeout, match="etcdserver: request timed out"):
                client.get(b"before")
            response = client.get(b"before", serializable=True)
            assert response.kvs[0].value == b"kept"
            assert response.header.revision >= revision
        for node in others:
            node.start()
        cluster.wait_serving()
        with client_of(cluster) as client:
            assert client.get(b"refused").count == 0
            assert client.put(b"after", b"").header.revision > revision


def _serializable(node: Node, key: bytes) -> bytes:
    with Client(node.endpoint, timeout=5.0) as client:
        kvs = client.get(key, serializable=True).kvs
        return kvs[0].value if kvs else b""


def test_a_follower_that_was_away_catches_up_from_the_log(cluster: Cluster) -> None:
    """A follower that missed thousands of writes gets all of them, in order, from the leader's log."""
    away = cluster.followers()[0]
    away.kill()
    with client_of(cluster) as client:
        for batch in range(10):
            requests = [put(b"many/%02d/%03d" % (batch, each), b"x" * 256) for each in range(500)]
            failures = [e for e in client.call_many(requests) if isinstance(e, ZetcdError)]
            assert not failures
        revision = client.get(b"health").header.revision
    away.start_serving()
    with Client(away.endpoint, timeout=10.0) as client:
        response = client.get_prefix(b"many/", serializable=True, count_only=True)
        assert response.count == 5_000
        assert response.header.revision >= revision
    assert_same_history(cluster)


def test_all_nodes_killed_at_once_keep_what_was_acknowledged(cluster: Cluster) -> None:
    """An acknowledged write is on a majority of disks: it survives the death of every process."""
    with Writer(cluster.endpoints) as writer:
        writer.wait_progress(200)
        cluster.kill_all()
        for node in cluster.nodes:
            node.start()
        cluster.wait_serving()
        writer.wait_progress()
        writer.stop()
        with client_of(cluster) as client:
            writer.assert_kept(client)
    assert_same_history(cluster)

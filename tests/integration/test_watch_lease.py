"""Watches and leases across kills and changes of the leader, and under the weight of many."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, assert_same_history, client_of, wait_until
from tests.integration.load import Watcher, Writer
from zetcd.client import Client, put
from zetcd.errors import LeaseNotFound, ZetcdError
from zetcd.messages.kv import EventType
from zetcd.messages.lease import LeaseGrantRequest, LeaseGrantResponse

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("watch")) as cluster:
        yield cluster


def test_a_watch_survives_the_nodes_it_is_connected_to(tmp_path: Path) -> None:
    """Every event exactly once and in order, although each node that serves the watch is killed."""
    with (
        Cluster(tmp_path) as cluster,
        Writer(cluster.endpoints) as writer,
        Watcher(cluster.endpoints) as watcher,
    ):
        for _ in range(3):
            writer.wait_progress()
            watcher.wait_revision(writer.acknowledged[-1].revision)
            serving = next(each for each in cluster.nodes if each.endpoint == watcher.endpoint)
            serving.kill()
            writer.wait_progress()
            watcher.wait_revision(writer.acknowledged[-1].revision)
            serving.start_serving()
        writer.stop()
        with client_of(cluster) as client:
            writer.assert_kept(client)
            kvs = client.get_prefix(writer.prefix).kvs
        watcher.wait_revision(max(kv.mod_revision for kv in kvs))
        watcher.assert_saw(kvs)
        assert_same_history(cluster)


def test_a_watch_from_the_past_and_one_from_now_see_the_same(cluster: Cluster) -> None:
    """A watcher that catches up from history joins those that were there, without gap or repeat."""
    with (
        Watcher(cluster.endpoints, b"past/") as early,
        Writer(cluster.endpoints, b"past/") as writer,
    ):
        writer.wait_progress(300)
        start = writer.acknowledged[0].revision
        with Watcher(cluster.endpoints, b"past/", start) as late:
            writer.wait_progress(100)
            writer.stop()
            with client_of(cluster) as client:
                kvs = client.get_prefix(b"past/").kvs
            last = max(kv.mod_revision for kv in kvs)
            for watcher in (early, late):
                watcher.wait_revision(last)
                watcher.assert_saw(kvs)


def test_events_of_one_transaction_arrive_together(cluster: Cluster) -> None:
    """Watches are atomic: all events of a revision come in one response, also across members."""
    with (
        Client(cluster.endpoints[0], timeout=10.0) as writer,
        Client(cluster.endpoints[1], timeout=10.0) as reader,
        reader.watch_prefix(b"txn/") as watch,
    ):
        operations = [put(b"txn/%03d" % each, b"x" * 100) for each in range(100)]
        revision = writer.txn().then(*operations).commit().header.revision
        response = watch.next(timeout=10.0)
        assert response is not None
        assert len(response.events) == 100
        assert {event.kv.mod_revision for event in response.events} == {revision}


def test_a_stopped_watcher_costs_itself_only(cluster: Cluster) -> None:
    """A client that stops reading delays nobody; when it reads again, it has lost nothing."""
    prefix, count = b"stopped/", 2_000
    with (
        Client(cluster.endpoints[0], timeout=30.0) as stopped,
        stopped.watch_prefix(prefix, start_revision=1) as watch,
        Watcher(cluster.endpoints, prefix) as other,
        client_of(cluster, timeout=30.0) as client,
    ):
        for batch in range(10):
            requests = [put(prefix + b"%d/%d" % (batch, each), b"x" * 4096) for each in range(200)]
            assert not [e for e in client.call_many(requests) if isinstance(e, ZetcdError)]
        kvs = client.get_prefix(prefix).kvs
        last = max(kv.mod_revision for kv in kvs)
        other.wait_revision(last)
        other.assert_saw(kvs)
        seen: list[int] = []
        while not seen or seen[-1] < last:
            response = watch.next(timeout=30.0)
            assert response is not None, f"nothing more after {len(seen)} of {count} events"
            seen += [event.kv.mod_revision for event in response.events]
    assert seen == sorted(kv.mod_revision for kv in kvs)
    assert len(seen) == count


def test_a_lease_is_kept_alive_across_the_death_of_the_leader(tmp_path: Path) -> None:
    """Whoever renews in time keeps the lease, whoever leads: its key is there all along."""
    ttl = 5
    with Cluster(tmp_path) as cluster, client_of(cluster) as client:
        lease = client.lease_grant(ttl)
        created = client.put(b"held", b"", lease=lease.id).header.revision
        for renewals, response in enumerate(client.keep_alive(lease.id), 1):
            assert response.ttl == ttl
            assert client.get(b"held").kvs[0].create_revision == created
            if renewals == 2:
                cluster.leader().kill()
            # More than a whole TTL after the kill.
            if renewals == 6:
                break
        client.lease_revoke(lease.id)
        assert client.get(b"held").count == 0
        with pytest.raises(LeaseNotFound):
            client.keep_alive_once(lease.id)


@pytest.mark.parametrize("change", ["none", "move", "moves"])
def test_a_lease_expires_everywhere_and_never_early(cluster: Cluster, change: str) -> None:
    """Its keys go on all members, and not before its TTL has passed since the last renewal."""
    ttl, key = 2, b"expires/" + change.encode()
    with client_of(cluster) as client, client.watch(key) as watch:
        lease = client.lease_grant(ttl)
        client.put(key, b"", lease=lease.id)
        renewed_at = time.monotonic()
        assert client.keep_alive_once(lease.id).ttl == ttl
        for _ in range({"none": 0, "move": 1, "moves": 2}[change]):
            cluster.move_leader(cluster.followers()[0])
        events = watch.events()
        assert next(events).type is EventType.PUT
        assert next(events).type is EventType.DELETE
        assert time.monotonic() - renewed_at >= ttl
        assert client.time_to_live(lease.id).ttl == -1
    for endpoint in cluster.endpoints:
        with Client(endpoint, timeout=10.0) as client:
            wait_until(lambda: _is_gone(client, key), f"the key is gone at {endpoint}")


def _is_gone(client: Client, key: bytes) -> bool:
    return client.get(key, serializable=True).count == 0


def test_thousands_of_leases_expire_while_writes_go_on(cluster: Cluster) -> None:
    """2,000 leases that end at once are revoked bit by bit, and writes pass between them."""
    count = 2_000
    with client_of(cluster, timeout=30.0) as client, Writer(cluster.endpoints, b"amid/") as writer:
        grants = client.call_many([LeaseGrantRequest(2)] * count)
        ids = [each.id for each in grants if isinstance(each, LeaseGrantResponse)]
        assert len(ids) == count
        requests = [put(b"leased/%d" % number, b"", lease=each) for number, each in enumerate(ids)]
        client.call_many(requests)
        wait_until(lambda: len(client.leases().leases) < count, "leases begin to expire")
        before = len(writer.acknowledged)
        wait_until(lambda: not client.leases().leases, "all leases have expired")
        assert len(writer.acknowledged) > before
        assert client.get_prefix(b"leased/", count_only=True).count == 0
        writer.wait_progress()
        writer.stop()
        writer.assert_kept(client)
    assert_same_history(cluster)

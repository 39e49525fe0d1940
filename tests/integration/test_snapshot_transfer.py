"""A follower that needs what its leader's log no longer holds gets a snapshot, whatever happens on the way.

Checkpoints are frequent here, and the transfer is slow, so that there is time to disturb it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, Node, assert_same_history, wait_until
from tests.integration.load import Watcher, Writer
from tests.integration.test_restart_paths import (
    checkpoints,
    damage_checkpoint,
    events,
    fact,
    frequent,
    grow_until_released,
    put_many,
    write_until_checkpoints,
)
from zetcd.client import Client

pytestmark = pytest.mark.integration

SLOW = "chunk-bytes = 16384\nsend-bytes-per-second = 1048576\n"
#: A transfer takes seconds, for stores of some MB: it is not over before it has been disturbed.
SLOWEST = "chunk-bytes = 16384\nsend-bytes-per-second = 524288\n"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that serve."""
    with Cluster(tmp_path, extra=frequent() + SLOW) as cluster:
        yield cluster


def leave_behind(cluster: Cluster) -> tuple[Node, Node]:
    """Return the leader, and a follower that is down and lacks what the leader has compacted."""
    leader = cluster.leader()
    follower = next(node for node in cluster.nodes if node is not leader)
    with Client(leader.endpoint) as client:
        client.put(b"before", b"it went")
    follower.kill()
    for node in cluster.running:
        grow_until_released(node, leader.endpoint)
    return leader, follower


def wait_no_checkpoint_due(node: Node) -> None:
    """Return once the node has made the last checkpoint that what was written makes due.

    It looks once a second, with the size of the log as it was up to a second ago.
    """
    seen, since = checkpoints(node), time.monotonic()

    def is_quiet() -> bool:
        nonlocal seen, since
        newest = checkpoints(node)
        if newest != seen:
            seen, since = newest, time.monotonic()
        return time.monotonic() > since + 5.0

    wait_until(is_quiet, f"{node.name} makes no more checkpoints")


def wait_fetching(follower: Node, count: int = 1) -> dict[str, object]:
    """Return what the follower said when it began its transfer number ``count``."""
    wait_until(
        lambda: len(events(follower, "fetching a snapshot")) >= count,
        f"{follower.name} fetches a snapshot",
    )
    return events(follower, "fetching a snapshot")[count - 1]


def wait_fetched(follower: Node) -> None:
    wait_until(lambda: bool(events(follower, "snapshot fetched")), f"{follower.name} has it")


def test_a_follower_that_was_away_catches_up_under_load_without_an_election(
    cluster: Cluster,
) -> None:
    leader, follower = leave_behind(cluster)
    term = cluster.leader_and_term()[1]
    with Writer([leader.endpoint]) as writer:
        writer.wait_progress()
        follower.start()
        wait_fetched(follower)
        wait_until(follower.is_serving, "the follower serves")
        writer.wait_progress()
    assert cluster.leader_and_term() == (leader, term)
    assert_same_history(cluster)
    # What it was told of before it went is still there, and so is what was written meanwhile.
    with Client(follower.endpoint) as client:
        assert client.get(b"before", serializable=True).kvs[0].value == b"it went"
        writer.assert_kept(client)
    assert_one_install(follower)


def assert_one_install(follower: Node) -> None:
    """Each snapshot costs a restart of apply; nothing else restarts."""
    status = follower.status()
    assert status is not None
    assert len(events(follower, "snapshot fetched")) == 1
    assert {each.actor: each.restarts for each in status.actors if each.restarts} == {"apply-0": 1}


def test_checkpoints_made_during_a_transfer_do_not_make_another_one_necessary(
    tmp_path: Path,
) -> None:
    """The leader keeps the log behind what it sends, until the follower has caught up."""
    with Cluster(tmp_path, extra=frequent() + SLOWEST) as cluster:
        leader, follower = leave_behind(cluster)
        made = fact(leader, "snapshot-0", "checkpoints_made")
        follower.start()
        sent = int(str(wait_fetching(follower)["index"]))
        write_until_checkpoints(leader, made + 2)
        wait_fetched(follower)
        wait_until(follower.is_serving, "the follower serves")
        assert_same_history(cluster)
        assert_one_install(follower)

        def is_released() -> bool:
            put_many(leader.endpoint, 60)
            return fact(leader, "wal-0", "first_index") > sent

        wait_until(is_released, "the log goes once nobody needs it")


def test_a_follower_that_got_a_snapshot_restarts_from_it(cluster: Cluster) -> None:
    leader, follower = leave_behind(cluster)
    follower.start()
    wait_fetched(follower)
    wait_until(follower.is_serving, "the follower serves")
    follower.kill()
    put_many(leader.endpoint, 5)
    follower.start_serving()
    assert len(events(follower, "snapshot fetched")) == 1
    assert_same_history(cluster)


def test_a_watch_on_the_follower_neither_loses_nor_repeats_an_event(cluster: Cluster) -> None:
    leader = cluster.leader()
    follower = cluster.followers()[0]
    with (
        Writer([leader.endpoint]) as writer,
        Watcher([follower.endpoint], start_revision=1) as watcher,
    ):
        writer.wait_progress()
        watcher.wait_revision(writer.acknowledged[-1].revision)
        follower.kill()
        for node in cluster.running:
            grow_until_released(node, leader.endpoint)
        follower.start()
        # The watch is open again, on the old store, while the new one is on its way.
        wait_fetching(follower)
        writer.wait_progress()
        wait_fetched(follower)
        writer.wait_progress()
        writer.stop()
        watcher.wait_revision(writer.acknowledged[-1].revision)
    seen = [(event.kv.key, event.kv.mod_revision) for event in watcher.events]
    assert seen == [(record.key, record.revision) for record in writer.acknowledged]


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_a_transfer_that_is_cut_goes_on(tmp_path: Path, end: str) -> None:
    with Cluster(tmp_path, extra=frequent() + SLOWEST) as cluster:
        leader, follower = leave_behind(cluster)
        follower.start()
        wait_fetching(follower)
        wait_until(
            lambda: fact(follower, "snapshot-0", "snapshots_fetched_bytes") > 20_000, "some is here"
        )
        victim = leader if end == "sender" else follower
        pid = victim.kill_actor("snapshot-0")
        victim.wait_actor_back("snapshot-0", pid)
        wait_fetched(follower)
        wait_until(follower.is_serving, "the follower serves")
        assert_same_history(cluster)
        if end == "receiver":
            # It went on where it had stopped.
            assert int(str(wait_fetching(follower, 2)["held_bytes"])) > 0


def test_a_damaged_snapshot_is_not_installed(cluster: Cluster) -> None:
    leader, follower = leave_behind(cluster)
    wait_no_checkpoint_due(leader)
    for name in checkpoints(leader):
        damage_checkpoint(leader, name)
    follower.start()
    wait_until(lambda: bool(events(follower, "a snapshot arrived damaged")), "it is noticed")
    # The old state is still what it was, and is served to whoever asks for it.
    with Client(follower.endpoint) as client:
        assert client.get(b"before", serializable=True).kvs[0].value == b"it went"
    assert not events(follower, "snapshot fetched")
    # The next checkpoint is a good one.
    newest = checkpoints(leader)[-1]

    def is_newer() -> bool:
        # A checkpoint has to be paid for by half as much log.
        with Client(leader.endpoint) as client:
            for number in range(20):
                client.put(b"more/%d" % (number % 10), bytes(15_000))
        # Little at a time: all of it is fetched afterwards, at the pace of `SLOW`.
        return checkpoints(leader)[-1] > newest

    wait_until(is_newer, "the leader makes another checkpoint")
    wait_fetched(follower)
    assert_same_history(cluster)

"""Single actors are killed: the node mends itself, and its clients never get a wrong answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.cluster import (
    Cluster,
    Node,
    assert_same_history,
    client_of,
    has_ended,
    is_free,
    wait_until,
)
from tests.integration.load import Watcher, Writer
from zetcd.client import Client
from zetcd.errors import ExitCode

pytestmark = pytest.mark.integration

ACTORS = (
    "gateway-0",
    "etcd-gateway-0",
    "watch-0",
    "snapshot-0",
    "apply-0",
    "wal-0",
    "raft-0",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # More deaths than a member puts up with, because the tests come one upon the other.
    extra = "[supervisor]\nrestarts-max = 100\n"
    with Cluster(tmp_path_factory.mktemp("actors"), extra=extra) as cluster:
        yield cluster


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Cluster(tmp_path, size=1) as single:
        yield single.nodes[0]


@pytest.mark.parametrize("role", ["leader", "follower"])
@pytest.mark.parametrize("actor", ACTORS)
def test_an_actor_is_killed_under_load(cluster: Cluster, actor: str, role: str) -> None:
    """Design section 6: the node mends itself; pending puts end as unknown or refused, never wrong.

    The writer and the watcher use the very node that is hurt: what was acknowledged stays, and the
    watch goes on without loss or repeat.
    """
    victim = cluster.leader() if role == "leader" else cluster.followers()[0]
    supervisor = victim.process.pid if victim.process else 0
    prefix = f"{role}/{actor}/".encode()
    endpoints = cluster.endpoints_from(victim)
    with Writer(endpoints, prefix) as writer, Watcher(endpoints, prefix) as watcher:
        writer.wait_progress()
        old_pid = victim.kill_actor(actor)
        victim.wait_actor_back(actor, old_pid)
        writer.wait_progress()
        writer.stop()
        with client_of(cluster) as client:
            writer.assert_kept(client)
            kvs = client.get_prefix(prefix).kvs
        watcher.wait_revision(max(kv.mod_revision for kv in kvs))
        watcher.assert_saw(kvs)
    victim.assert_running()
    assert victim.process is not None
    assert victim.process.pid == supervisor
    assert_same_history(cluster)


def test_the_leader_loses_leadership_with_its_log(cluster: Cluster) -> None:
    """raft and wal restart together, and the next leader has a higher term."""
    leader, term = cluster.leader_and_term()
    before = leader.actors()
    leader.kill_actor("wal-0")
    leader.wait_actor_back("wal-0", before["wal-0"])
    leader.wait_actor_back("raft-0", before["raft-0"])
    after = leader.actors()
    assert cluster.leader_and_term()[1] > term
    unhurt = ("apply-0", "watch-0", "gateway-0", "supervisor-0")
    assert {each: after[each] for each in unhurt} == {each: before[each] for each in unhurt}


def test_five_deaths_in_a_row_stop_the_member(node: Node) -> None:
    """An actor that dies again and again stops its member, with a reason and its own exit code."""
    processes = node.processes()
    for _ in range(4):
        old_pid = node.kill_actor("watch-0")
        node.wait_actor_back("watch-0", old_pid)
    processes += node.processes()
    node.kill_actor("watch-0")
    assert node.wait_exit(processes) == ExitCode.GIVE_UP
    assert "watch-0 was ended by signal 9: death 5 of watch-0" in node.log()


def test_sigkill_of_the_supervisor_leaves_no_orphan(node: Node) -> None:
    """The kernel ends every actor with the supervisor: no process is left, and the ports are free."""
    assert node.process is not None
    processes = node.processes()
    assert len(processes) == len(ACTORS) + 2
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
    node.process = None
    wait_until(lambda: all(map(has_ended, processes)), "every process has ended")
    wait_until(lambda: is_free(node.native_port), "the port for clients is free")
    wait_until(lambda: is_free(node.peer_port), "the port for peers is free")
    node.start_serving()


def test_sigkill_of_the_spawner_ends_the_node(node: Node) -> None:
    """Without its spawner a supervisor cannot mend anything: the node ends whole, not in part."""
    processes = node.processes()
    spawner = [each for each in processes if each.name() == "zetcd:spawner"]
    assert len(spawner) == 1
    psutil.Process(spawner[0].pid).kill()
    assert node.wait_exit(processes) == ExitCode.FAILED
    assert "the spawner died" in node.log()


def test_a_lone_node_keeps_its_data_when_each_actor_dies(node: Node) -> None:
    """With one member there is nobody else to ask: its own log and store must be enough."""
    with Writer([node.endpoint]) as writer:
        for actor in ACTORS:
            writer.wait_progress()
            old_pid = node.kill_actor(actor)
            node.wait_actor_back(actor, old_pid)
        writer.wait_progress()
        writer.stop()
        with Client(node.endpoint, timeout=10.0) as client:
            writer.assert_kept(client)

"""Members come, move and go while clients write: real processes, sockets, files and kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import (
    PATIENCE_SECONDS,
    Cluster,
    Node,
    assert_same_history,
    free_ports,
    wait_until,
)
from tests.integration.etcd_api.stubs import EtcdClient
from tests.integration.load import Writer
from zetcd.client import Client
from zetcd.errors import (
    ExitCode,
    LearnerNotReady,
    MemberBadURLs,
    MemberNotFound,
    MemberNotLearner,
    NotSupportedForLearner,
    PeerURLExist,
    RequestTooManyRequests,
    TooManyLearners,
    Unhealthy,
    ZetcdError,
)
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.messages.cluster import Member

pytestmark = pytest.mark.integration

#: So that a follower that is far behind needs a snapshot.
_SMALL_LOG = """
snapshot-count = 60
snapshot-catchup-entries = 20
[snapshot]
log-bytes-min = 0
"""


def new_node(cluster: Cluster, name: str) -> Node:
    """Return a node that is not running and of which no cluster knows."""
    directory = cluster.nodes[0].directory.parent / name
    return Node(name, directory, free_ports(3))


def write_joining_config(
    node: Node, members: tuple[Member, ...], own: Node | None = None, extra: str = ""
) -> None:
    """Configure ``node`` to join the running cluster of ``members``."""
    initial_cluster = ",".join(
        f"{node.name if url == (own or node).peer_url else member.name}={url}"
        for member in members
        for url in member.peer_urls
    )
    node.write_config(initial_cluster, 'initial-cluster-state = "existing"\n' + extra)


def members_of(client: Client) -> dict[str, Member]:
    return {each.name: each for each in client.member_list().members}


def wait_started(client: Client, node: Node) -> Member:
    """Return a member once it has published its name."""
    wait_until(lambda: node.name in members_of(client), f"{node.name} has published its name")
    return members_of(client)[node.name]


def promote(client: Client, member: Member) -> None:
    """Promote a learner as soon as it has caught up."""

    def is_promoted() -> bool:
        try:
            client.member_promote(member.id)
        except (LearnerNotReady, RequestTooManyRequests):
            return False
        return True

    wait_until(is_promoted, "the learner catches up")


def join(cluster: Cluster, client: Client, node: Node, extra: str = "") -> Member:
    """Add ``node`` as a learner, start it and promote it."""
    added = client.member_add((node.peer_url,), is_learner=True)
    write_joining_config(node, added.members, extra=extra)
    cluster.nodes.append(node)
    node.start()
    member = wait_started(client, node)
    assert (member.id, member.is_learner) == (added.member.id, True)
    promote(client, member)
    wait_until(node.is_serving, f"{node.name} serves")
    return member


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, 1, _SMALL_LOG) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster that every test leaves with three healthy members."""
    with Cluster(tmp_path_factory.mktemp("membership"), 3) as cluster:
        wait_named(cluster)
        yield cluster


def wait_named(cluster: Cluster) -> None:
    with Client(cluster.endpoints, timeout=10.0) as client:
        for node in cluster.running:
            wait_started(client, node)


def test_a_cluster_grows_under_load_and_loses_its_founder(one: Cluster) -> None:
    """1, 2, 3 members, by snapshot and by log; then the leader that founded it is removed."""
    founder = one.nodes[0]
    second, third = new_node(one, "node1"), new_node(one, "node2")
    endpoints = [each.endpoint for each in (founder, second, third)]
    with Writer(endpoints) as writer, Client(endpoints, timeout=10.0) as client:
        # More than the log keeps: the first to join has to begin with a snapshot.
        writer.wait_progress(200)
        added = client.member_add((second.peer_url,), is_learner=True)
        write_joining_config(second, added.members, extra=_SMALL_LOG)
        one.nodes.append(second)
        second.start()
        learner = wait_started(client, second)
        with Client(second.endpoint, timeout=5.0) as local:
            assert local.get(b"load/00000000", serializable=True).count == 1
            with pytest.raises(NotSupportedForLearner):
                local.get(b"load/00000000")
        promote(client, learner)
        with pytest.raises(MemberNotLearner):
            client.member_promote(learner.id)
        join(one, client, third, _SMALL_LOG)
        writer.wait_progress()
        processes = founder.processes()
        # Asked at another member: whoever is removed may be gone before it has answered.
        with Client(second.endpoint, timeout=20.0) as other:
            left = other.member_remove(founder.config.member_id()).members
        assert sorted(each.name for each in left) == ["node1", "node2"]
        assert founder.wait_exit(processes) == ExitCode.REMOVED
        writer.wait_progress()
        writer.stop()
        writer.assert_kept(client)
        assert_same_history(one)
    assert "was removed from the cluster" in founder.log()
    code, said = founder.run_refused()
    assert code == ExitCode.REMOVED
    assert "its data directory" in said
    # Whoever has joined knows from its own log who it is.
    assert third.stop() == 0
    third.start_serving()


def test_what_etcd_refuses_is_refused(three: Cluster) -> None:
    """Etcd's errors, whichever member and protocol is asked."""
    taken = three.nodes[1].peer_url
    follower = three.followers()[0]
    with Client(follower.endpoint, timeout=10.0) as client:
        with pytest.raises(PeerURLExist):
            client.member_add((taken,))
        with pytest.raises(MemberBadURLs):
            client.member_add(("nonsense",))
        for change in (client.member_remove, client.member_promote):
            with pytest.raises(MemberNotFound):
                change(99)
        added = client.member_add(("tcp://127.0.0.1:9",), is_learner=True)
        with pytest.raises(TooManyLearners):
            client.member_add(("tcp://127.0.0.1:8",), is_learner=True)
        with pytest.raises(LearnerNotReady):
            client.member_promote(added.member.id)
        assert added.member.id not in [
            each.id for each in client.member_remove(added.member.id).members
        ]
    etcd = EtcdClient(f"127.0.0.1:{follower.client_port}")
    try:
        request = pb.MemberAddRequest(peerURLs=["tcp://127.0.0.1:7"], isLearner=True)
        answer = etcd.call("Cluster.MemberAdd", request, pb.MemberAddResponse)
        assert list(answer.member.peerURLs) == ["tcp://127.0.0.1:7"]
        assert answer.member.isLearner
        assert len(answer.members) == 4
        update = pb.MemberUpdateRequest(ID=answer.member.ID, peerURLs=["tcp://127.0.0.1:6"])
        updated = etcd.call("Cluster.MemberUpdate", update, pb.MemberUpdateResponse)
        (moved,) = [each for each in updated.members if each.ID == answer.member.ID]
        # A learner that has moved is still one.
        assert list(moved.peerURLs) == ["tcp://127.0.0.1:6"]
        assert moved.isLearner
        remove = pb.MemberRemoveRequest(ID=answer.member.ID)
        removed = etcd.call("Cluster.MemberRemove", remove, pb.MemberRemoveResponse)
        assert len(removed.members) == 3
    finally:
        etcd.close()


def refusal(client: Client, url: str) -> str:
    """Return why no member can be added that has the peer URL of another one."""
    try:
        client.member_add((url,))
    except ZetcdError as error:
        return error.text
    raise AssertionError("two members have one URL")


def test_a_dead_member_is_replaced(three: Cluster) -> None:
    """With one member down its quorum is protected; it is removed, and another takes its place."""
    dead = three.followers()[0]
    replacement = new_node(three, "node3")
    with Client(
        [each.endpoint for each in three.nodes if each is not dead], timeout=10.0
    ) as client:
        dead_id = members_of(client)[dead.name].id
        dead.kill()
        living = next(node for node in three.running if node is not three.leader())

        # The leader has to notice first; this would be refused anyway, for another reason.
        wait_until(lambda: refusal(client, living.peer_url) == Unhealthy.text, "the leader notices")
        with pytest.raises(Unhealthy):
            client.member_remove(members_of(client)[living.name].id)
        with pytest.raises(Unhealthy):
            client.member_add((replacement.peer_url,))
        client.member_remove(dead_id)
        three.nodes.remove(dead)
        join(three, client, replacement)
        client.put(b"k", b"v")
    # It was away when it was removed: the others tell it.
    dead.start()
    assert dead.wait_exit(dead.processes()) == ExitCode.REMOVED
    assert "was removed from cluster" in dead.log()
    assert_same_history(three)


def test_a_node_that_nobody_was_told_of_is_not_taken_in(three: Cluster) -> None:
    """It says which cluster it has asked and what to do, and leaves no process behind."""
    stranger = new_node(three, "stranger")
    with Client(three.endpoints, timeout=10.0) as client:
        members = client.member_list().members
    initial_cluster = ",".join(f"{each.name}={each.peer_urls[0]}" for each in members)
    extra = 'initial-cluster-state = "existing"\n'
    stranger.write_config(f"{initial_cluster},stranger={stranger.peer_url}", extra)
    code, said = stranger.run_refused()
    assert code == ExitCode.JOIN
    assert "error validating peerURLs {ClusterID:" in said
    assert "member count is unequal" in said
    assert "zetcdctl member add stranger" in said


def test_a_member_moves(three: Cluster) -> None:
    """``member update``, then a restart at the new address; who it is does not change."""
    moved = three.followers()[0]
    command = [sys.executable, "-m", "zetcd.ctl.main", "-w", "json", "member"]
    environment = {**os.environ, "ETCDCTL_ENDPOINTS": three.leader().endpoint}

    def ctl(*arguments: str) -> dict[str, list[dict[str, object]]]:
        done = subprocess.run(
            [*command, *arguments],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        found: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
        return found

    (before,) = [each for each in ctl("list")["members"] if each["name"] == moved.name]
    with Writer(three.endpoints_from(three.leader())) as writer:
        moved.peer_port = free_ports(1)[0]
        member_id = before["ID"]
        assert isinstance(member_id, int)
        ctl("update", f"{member_id:x}", f"--peer-urls={moved.peer_url}")
        assert moved.stop() == 0
        moved.write_config(f"{moved.name}={moved.peer_url}", 'initial-cluster-state = "existing"\n')
        moved.start_serving()
        writer.wait_progress()
    (after,) = [each for each in ctl("list")["members"] if each["name"] == moved.name]
    assert after == {**before, "peerURLs": [moved.peer_url]}
    assert_same_history(three)

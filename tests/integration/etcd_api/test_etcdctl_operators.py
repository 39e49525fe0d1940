"""etcdctl 3.6 as operators and scripts use it: members, leaders, elections, locks, mirrors."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import PATIENCE_SECONDS, Cluster, Node, free_ports, wait_until
from tests.integration.etcd_api.etcdctl import Etcdctl

pytestmark = [pytest.mark.integration, pytest.mark.clients, pytest.mark.timeout(2400)]


@pytest.fixture
def founder(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a cluster of one member, whose members a test may change."""
    with Cluster(tmp_path, 1) as cluster:
        yield cluster


def listed(etcdctl: Etcdctl) -> dict[str, list[str]]:
    """Return the fields of each member by its peer URL."""
    rows = [line.split(", ") for line in etcdctl.output("member", "list").splitlines()]
    return {row[3]: row for row in rows}


# etcdctl fills ids of members up with spaces here.
def added_id(printed: str, kind: str = "") -> str:
    found = re.match(
        rf"Member +([0-9a-f]+) added {kind}to cluster +[0-9a-f]+\n\nETCD_NAME=", printed
    )
    assert found is not None, printed
    return found[1]


def test_a_member_is_added_as_etcdctl_says_and_promoted(founder: Cluster, tmp_path: Path) -> None:
    etcdctl = Etcdctl(founder)
    node = Node("second", tmp_path / "second", free_ports(3))
    # etcdctl takes URLs of http and unix only; it is the same port.
    url = node.peer_url.replace("tcp://", "http://")
    printed = etcdctl.output("member", "add", "second", "--learner", "--peer-urls", url)
    learner = added_id(printed, "as learner ")
    assert listed(etcdctl)[url][1:3] == ["unstarted", ""]
    settings = dict(re.findall(r'(ETCD_\w+)="(.*)"', printed))
    assert settings["ETCD_INITIAL_CLUSTER_STATE"] == "existing"
    assert settings["ETCD_INITIAL_ADVERTISE_PEER_URLS"] == url
    node.write_config(
        settings["ETCD_INITIAL_CLUSTER"],
        f'initial-cluster-state = "existing"\ninitial-advertise-peer-urls = ["{url}"]\n',
    )
    founder.nodes.append(node)
    node.start()
    wait_until(lambda: listed(etcdctl)[url][1:3] == ["started", "second"], "the learner starts")
    assert listed(etcdctl)[url][5] == "true"
    done: list[subprocess.CompletedProcess[str]] = []

    def is_promoted() -> bool:
        done.append(etcdctl.run("member", "promote", learner))
        return done[-1].returncode == 0

    wait_until(is_promoted, "the learner is in sync and promoted")
    assert re.fullmatch(rf"Member +{learner} promoted in cluster +[0-9a-f]+\n", done[-1].stdout)
    assert all("in sync with leader" in each.stderr for each in done[:-1])
    assert listed(etcdctl)[url][5] == "false"
    again = etcdctl.run("member", "promote", learner)
    assert "etcdserver: can only promote a learner member" in again.stderr


def test_a_learner_that_never_started_is_moved_and_removed(founder: Cluster) -> None:
    etcdctl = Etcdctl(founder)
    first, second = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    learner = added_id(
        etcdctl.output("member", "add", "second", "--learner", "--peer-urls", first), "as learner "
    )
    wrong = etcdctl.run("member", "promote", learner)
    assert (wrong.returncode, "in sync with leader" in wrong.stderr) == (1, True)
    wrong = etcdctl.run("member", "add", "third", "--learner", "--peer-urls", second)
    assert (wrong.returncode, "too many learner members" in wrong.stderr) == (1, True)
    wrong = etcdctl.run("member", "add", "third", "--peer-urls", first)
    # Within the second of the first one it would have the same id.
    assert wrong.returncode == 1
    assert re.search("Peer URLs already exists|member ID already exist", wrong.stderr), wrong
    assert re.fullmatch(
        rf"Member +{learner} updated in cluster +[0-9a-f]+\n",
        etcdctl.output("member", "update", learner, "--peer-urls", second),
    )
    assert listed(etcdctl)[second][0] == learner
    assert re.fullmatch(
        rf"Member +{learner} removed from cluster +[0-9a-f]+\n",
        etcdctl.output("member", "remove", learner),
    )
    assert len(listed(etcdctl)) == 1


def test_the_leader_is_moved(etcd_cluster: Cluster, etcdctl: Etcdctl) -> None:
    leader = etcd_cluster.leader()
    target = etcd_cluster.followers()[0]
    ours, theirs = (f"{each.config.member_id():x}" for each in (leader, target))
    moved = etcdctl.run("move-leader", theirs)
    if moved.returncode == 0:
        assert moved.stdout == f"Leadership transferred from {ours} to {theirs}\n"
    else:
        # On a busy machine another election may come between.
        assert re.search("Error: .*(timed out|leader)", moved.stderr), moved.stderr
        etcd_cluster.move_leader(target)
    assert etcd_cluster.leader() in etcd_cluster.nodes


def test_an_election_is_won_seen_and_given_back(etcdctl: Etcdctl) -> None:
    with etcdctl.running("elect", "ctl-elect", "ann") as candidate:
        assert candidate.stdout is not None
        key = candidate.stdout.readline()
        assert re.fullmatch(r"ctl-elect/[0-9a-f]+\n", key)
        assert candidate.stdout.readline() == "ann\n"
        with etcdctl.running("elect", "--listen", "ctl-elect") as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == key
            assert listener.stdout.readline() == "ann\n"
        candidate.send_signal(signal.SIGTERM)
        candidate.wait(PATIENCE_SECONDS)
    assert etcdctl.output("get", "--prefix", "--keys-only", "ctl-elect/") == ""


def test_a_lock_is_held_until_its_holder_goes(etcdctl: Etcdctl) -> None:
    with etcdctl.running("lock", "ctl-held") as holder:
        assert holder.stdout is not None
        key = holder.stdout.readline().strip()
        assert re.fullmatch(r"ctl-held/[0-9a-f]+", key)
        with etcdctl.running("lock", "ctl-held", "echo", "inside") as waiter:
            assert waiter.stdout is not None
            wait_until(
                lambda: len(etcdctl.json("get", "--prefix", "ctl-held/")["kvs"]) == 2,
                "the second one waits",
            )
            assert waiter.poll() is None
            holder.send_signal(signal.SIGTERM)
            assert waiter.stdout.readline() == "inside\n"
            assert waiter.wait(PATIENCE_SECONDS) == 0


def test_what_a_command_under_a_lock_ends_with_is_etcdctls_exit_code(etcdctl: Etcdctl) -> None:
    assert etcdctl.run("lock", "ctl-exit", "--", "sh", "-c", "exit 7").returncode == 7
    shown = etcdctl.output(
        "lock", "ctl-exit", "--", "sh", "-c", "echo $ETCD_LOCK_KEY $ETCD_LOCK_REV"
    )
    assert re.fullmatch(r"ctl-exit/[0-9a-f]+ \d+\n", shown)


def test_a_mirror_has_what_was_there_and_what_comes(etcdctl: Etcdctl) -> None:
    etcdctl.output("put", "ctl-from/a", "1")
    target = etcdctl.endpoints.split(",")[0]
    with etcdctl.running(
        *("make-mirror", "--prefix", "ctl-from/", "--dest-prefix", "ctl-to/", target)
    ):
        wait_until(lambda: etcdctl.output("get", "ctl-to/a") != "", "what was there is mirrored")
        etcdctl.output("put", "ctl-from/b", "2")
        etcdctl.output("del", "ctl-from/a")
        wait_until(
            lambda: etcdctl.output("get", "--prefix", "ctl-to/") == "ctl-to/b\n2\n",
            "what comes is mirrored",
        )

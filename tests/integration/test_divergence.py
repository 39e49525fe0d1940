"""A member that comes to hold another history is found within a check interval, and named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, Node, client_of, wait_until
from tests.integration.tampering import change_value, discard_store
from zetcd.client import Client
from zetcd.errors import Corrupt
from zetcd.messages.cluster import AlarmMember, AlarmType

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, extra='corrupt-check-time = "1s"') as cluster:
        with client_of(cluster) as client:
            for number in range(50):
                client.put(b"key%d" % number, b"value%d" % number)
        yield cluster


def checks(node: Node, what: str) -> int:
    """Return how many comparisons a node has led that ended in a way."""
    return int(node.actor("snapshot-0").facts.get(f"checks_{what}", "0"))


def wait_passed(cluster: Cluster) -> None:
    """Return once whoever leads has seen another comparison of all members pass."""
    before = {node.name: checks(node, "passed") for node in cluster.nodes}
    wait_until(
        lambda: any(checks(node, "passed") > before[node.name] for node in cluster.nodes),
        "a comparison passes",
    )


def zetcdctl(node: Node, *arguments: str) -> str:
    command = [sys.executable, "-m", "zetcd.ctl.main", f"--endpoints={node.endpoint}", *arguments]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
    return done.stdout


def alarms(node: Node) -> tuple[AlarmMember, ...]:
    with Client(node.endpoint, timeout=10.0) as client:
        return client.alarm_list().alarms


def assert_refuses_writes(node: Node) -> None:
    """Assert that writes are refused with etcd's text, and reads are not."""
    with Client(node.endpoint, timeout=10.0) as client:
        with pytest.raises(Corrupt, match="etcdserver: corrupt cluster"):
            client.put(b"a", b"1")
        assert client.get(b"key1").kvs[0].value == b"value1"


def test_a_changed_value_raises_the_alarm_and_stops_writes(cluster: Cluster) -> None:
    wait_passed(cluster)
    victim = cluster.followers()[0]
    assert victim.stop() == 0
    change_value(victim, b"value7")
    victim.start()
    alarm = AlarmMember(victim.config.member_id(), AlarmType.CORRUPT)
    text = f"memberID:{alarm.member_id} alarm:CORRUPT "
    wait_until(lambda: alarm in alarms(cluster.leader()), "the alarm names the member")
    for node in cluster.nodes:
        assert alarms(node) == (alarm,)
        assert_refuses_writes(node)
        with Client(node.endpoint, timeout=10.0) as client:
            assert client.status().errors == (text,)
    assert zetcdctl(cluster.leader(), "alarm", "list") == text + "\n"
    # The store is a cache of the log: made anew, it is right again.
    assert victim.stop() == 0
    discard_store(victim)
    victim.start_serving()
    assert zetcdctl(cluster.leader(), "alarm", "disarm") == text + "\n"
    with client_of(cluster) as client:
        client.put(b"a", b"2")
    wait_passed(cluster)
    assert alarms(cluster.leader()) == ()


def test_a_comparison_without_a_member_is_not_passed(cluster: Cluster) -> None:
    away = cluster.followers()[0]
    away.kill()
    leader = cluster.leader()
    failed = checks(leader, "failed")
    wait_until(lambda: checks(leader, "failed") > failed, "a comparison fails", seconds=60)
    facts = leader.actor("snapshot-0").facts
    assert f"{away.config.member_id():016x}: it did not answer" in facts["checks_last"]
    assert alarms(leader) == ()
    away.start_serving()
    wait_passed(cluster)

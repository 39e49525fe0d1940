"""`zetcd check` on members that really ran: well after any stop, and one changed value is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.integration.cluster import Cluster, Node, client_of, wait_until
from tests.integration.load import Writer
from tests.integration.tampering import change_value, discard_store
from zetcd.client import Client, put
from zetcd.errors import ExitCode
from zetcd.offline_check import CheckReport, MemberPaths, Verdict, check_member

pytestmark = pytest.mark.integration


def write_everything(client: Client) -> None:
    """Make use of every kind of table, and of compaction."""
    lease = client.lease_grant(600).id
    for number in range(50):
        client.put(b"key%d" % (number % 10), b"value%d" % number)
    client.put(b"leased", b"x", lease=lease)
    client.delete(b"key3")
    client.txn().then(put(b"t1", b"1"), put(b"t2", b"2")).commit()
    client.compact(client.get(b"key1").header.revision - 20)
    client.lease_revoke(client.lease_grant(600).id)
    client.put(b"last", b"value")


def checked(node: Node) -> CheckReport:
    return check_member(MemberPaths.of_config(node.config))


def run_check(node: Node) -> tuple[int, str, str]:
    """Run the command as an operator would."""
    command = [sys.executable, "-m", "zetcd", "check", str(node.config_path)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=100)
    return done.returncode, done.stdout, done.stderr


def test_members_are_well_after_a_clean_stop_and_a_kill(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with client_of(cluster) as client:
            write_everything(client)
        code, _, refusal = run_check(cluster.nodes[0])
        assert code == ExitCode.DATA_DIR, refusal
        assert "in use by a running member" in refusal
        assert cluster.nodes[0].stop() == 0
        with Writer(cluster.endpoints) as writer:
            writer.wait_progress()
            cluster.kill_all()
        reports = [checked(node) for node in cluster.nodes]
    for report in reports:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
        assert report.verdict is Verdict.OK, report
        assert report.part("table rev").verdict is Verdict.OK
    assert len({report.cluster_id for report in reports}) == 1
    assert len({report.member_id for report in reports}) == 3


def test_a_changed_value_is_found_and_named(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=1) as cluster:
        (node,) = cluster.nodes
        with client_of(cluster) as client:
            write_everything(client)
        assert node.stop() == 0
        code, table, _ = run_check(node)
        assert code == ExitCode.OK, table
        change_value(node, b"value49")
        code, table, _ = run_check(node)
        assert code == ExitCode.CORRUPTION, table
        assert "store has put of 'key9'" in table
        discard_store(node)
        node.start_serving()
        with client_of(cluster) as client:
            assert client.get(b"key9").kvs[0].value == b"value49"
        wait_until(lambda: node.actor("apply-0").state == "ready", "apply is ready")
        assert node.stop() == 0
        assert run_check(node)[0] == ExitCode.OK


def test_a_store_ahead_of_its_log_is_well_as_far_as_the_log_goes(tmp_path: Path) -> None:
    """The followers committed what the slow disk of the killed leader had not yet taken."""
    slow = "[wal]\ntest-fdatasync-delay-ms = 1500\n"
    with Cluster(tmp_path, extra_of={0: slow}) as cluster:
        leader = cluster.nodes[0]
        cluster.move_leader(leader)
        with Writer([leader.endpoint], put_seconds_max=2.0) as writer:
            writer.wait_progress(300)
            leader.kill()
            writer.stop()
        report = checked(leader)
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    assert report.verdict is Verdict.OK, report
    assert "ahead of the log" in report.part("store").summary
    assert report.part("hash").verdict is Verdict.OK

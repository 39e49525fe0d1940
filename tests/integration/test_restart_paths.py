"""Every way in which a member may stop, and what it starts from again: nothing acknowledged is lost.

Checkpoints are frequent here: 50 entries apart, in a log of small segments.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, Node, wait_until
from tests.integration.load import Writer
from zetcd.client import Client
from zetcd.errors import ExitCode
from zetcd.messages.kv import KeyValue
from zetcd.messages.lease import LeaseTimeToLiveRequest, LeaseTimeToLiveResponse
from zetcd.messages.raft import EntryType, LogEntry
from zetcd.messages.storage import StorageAppend
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.log_storage import LogOptions, LogStorage, open_log
from zetcd.snapshot.checkpoint_format import CheckpointName

pytestmark = pytest.mark.integration

FREQUENT = """
snapshot-count = 50
snapshot-catchup-entries = 10
max-request-bytes = 16384
[gateway]
batch-bytes-max = 4096
[wal]
segment-bytes = 90112
{wal}
[snapshot]
log-bytes-min = 0
"""
#: Two of them fit into a page of the store: the log has to pay for copies of the store.
VALUE = bytes(1900)


def frequent(wal: str = "") -> str:
    """Return the settings that make checkpoints frequent, with more lines for ``[wal]``."""
    return FREQUENT.format(wal=wal)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A lone node that serves."""
    node = Cluster(tmp_path, size=1, extra=frequent()).nodes[0]
    node.start_serving()
    yield node
    if node.is_running:
        node.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that serve."""
    with Cluster(tmp_path, extra=frequent()) as cluster:
        yield cluster


# --- what the tests do and ask -----------------------------------------------------------------------


def put_many(endpoint: str, count: int, prefix: bytes = b"k/") -> None:
    with Client(endpoint) as client:
        for number in range(count):
            client.put(prefix + b"%03d" % (number % 100), VALUE + b"%d" % number)


def content(node: Node) -> tuple[int, list[KeyValue]]:
    """Return the revision and everything that the node's own store holds."""
    with Client(node.endpoint) as client:
        response = client.get_prefix(b"", serializable=True)
        return response.header.revision, list(response.kvs)


def settled_content(node: Node) -> tuple[int, list[KeyValue]]:
    """Return `content` after a linearizable read: everything acknowledged is in it."""
    with Client(node.endpoint) as client:
        client.get(b"k")
    return content(node)


def fact(node: Node, actor: str, name: str) -> int:
    return int(node.actor(actor).facts.get(name, "0"))


def wait_checkpoints(node: Node, count: int = 1) -> None:
    """Return once the process has made ``count`` checkpoints and the log has marked the newest."""

    def is_marked() -> bool:
        node.assert_running()
        made = fact(node, "snapshot-0", "checkpoints_made")
        newest = fact(node, "snapshot-0", "checkpoint_index")
        return made >= count and fact(node, "wal-0", "marked_index") == newest

    wait_until(is_marked, f"{node.name} has made {count} checkpoints")


def write_until_checkpoints(node: Node, count: int, endpoint: str = "") -> None:
    """Write until the process has made ``count`` checkpoints; each has to be paid for by log."""

    def is_made() -> bool:
        put_many(endpoint or node.endpoint, 60)
        return fact(node, "snapshot-0", "checkpoints_made") >= count

    wait_until(is_made, f"{node.name} makes {count} checkpoints")
    wait_checkpoints(node, count)


def grow_until_released(node: Node, endpoint: str = "") -> None:
    """Write until the log begins above its first entry, which only a checkpoint allows."""

    def is_released() -> bool:
        put_many(endpoint or node.endpoint, 150)
        return fact(node, "wal-0", "first_index") > 1

    wait_until(is_released, f"{node.name} releases a segment")
    wait_checkpoints(node)


def pretend_reboot(node: Node) -> None:
    """Make the store look as if another boot of the machine had written it, and damage it."""
    store = Path(node.config.store_dir())
    (store / "trust").write_text("00000000-0000-0000-0000-000000000000", encoding="ascii")
    tables = bytearray((store / "data.mdb").read_bytes())
    tables[8192:12288] = bytes(4096)
    (store / "data.mdb").write_bytes(tables)


def events(node: Node, name: str) -> list[dict[str, object]]:
    """Return the log lines of one event."""
    lines = (json.loads(line) for line in node.log().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == name]


def last_opened(node: Node) -> dict[str, object]:
    """Return what the node said of its store at its last start."""
    return events(node, "store opened")[-1]


def checkpoints(node: Node) -> tuple[CheckpointName, ...]:
    config = node.config
    return CheckpointFiles(OSFileSystem(), config.snapshot_dir(), config.cluster_id()).names()


def newest_checkpoint(node: Node) -> int:
    return max([0, *(name.index for name in checkpoints(node))])


def open_wal(node: Node) -> LogStorage:
    """Open the log of a stopped node as the node would."""
    config = node.config
    options = LogOptions(
        cluster_id=config.cluster_id(),
        member_id=config.member_id(),
        segment_bytes=config.wal.segment_bytes,
    )
    return open_log(OSFileSystem(), config.wal_dir, options)


def damage_checkpoint(node: Node, name: CheckpointName) -> None:
    path = Path(node.config.snapshot_dir()) / str(name)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


# --- stops after which the store is believed -----------------------------------------------------------


def test_after_a_clean_stop_the_store_is_used_as_it_is(node: Node) -> None:
    grow_until_released(node)
    before = settled_content(node)
    assert node.stop() == ExitCode.OK
    assert (Path(node.config.store_dir()) / "trust").read_text() == "clean"
    node.start_serving()
    assert last_opened(node)["is_trusted"] is True
    assert settled_content(node) == before


def test_after_the_death_of_all_processes_the_store_is_used_as_it_is(node: Node) -> None:
    """The kernel still has every page that was written."""
    grow_until_released(node)
    before = settled_content(node)
    node.kill()
    node.start_serving()
    assert last_opened(node)["is_trusted"] is True
    assert settled_content(node) == before


# --- stops after which it is not -----------------------------------------------------------------------


def test_after_an_os_crash_the_store_is_rebuilt_from_checkpoint_and_log(node: Node) -> None:
    """The log alone would not do: its beginning is gone."""
    grow_until_released(node)
    with Client(node.endpoint) as client:
        lease = client.lease_grant(3600)
        client.put(b"leased", b"x", lease=lease.id)
        client.compact(settled_content(node)[0] - 20)
    put_many(node.endpoint, 7)
    before = settled_content(node)
    node.kill()
    pretend_reboot(node)
    node.start_serving()
    opened = last_opened(node)
    assert opened["is_trusted"] is False
    assert opened["checkpoint"]
    assert settled_content(node) == before
    with Client(node.endpoint) as client:
        assert client.put(b"after", b"x").header.revision == before[0] + 1
        assert _attached_keys(client, lease.id) == (b"leased",)


def _attached_keys(client: Client, lease_id: int) -> tuple[bytes, ...]:
    request = LeaseTimeToLiveRequest(lease_id, keys=True)
    return client.call(request, LeaseTimeToLiveResponse, None).keys


def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(node: Node) -> None:
    """The log reaches back to it: that costs nothing but a longer replay."""
    grow_until_released(node)
    write_until_checkpoints(node, fact(node, "snapshot-0", "checkpoints_made") + 1)
    before = settled_content(node)
    node.kill()
    older, newest = checkpoints(node)
    damage_checkpoint(node, newest)
    pretend_reboot(node)
    node.start_serving()
    assert last_opened(node)["checkpoint"] == str(older)
    assert events(node, "a checkpoint is damaged")
    assert settled_content(node) == before
    put_many(node.endpoint, 5)


def test_if_the_only_checkpoint_is_damaged_the_whole_log_is_replayed(node: Node) -> None:
    """Nothing of it has gone: there was no other one to fall back to."""
    write_until_checkpoints(node, 1)
    before = settled_content(node)
    node.kill()
    (only,) = checkpoints(node)
    damage_checkpoint(node, only)
    pretend_reboot(node)
    node.start_serving()
    assert last_opened(node)["checkpoint"] == ""
    assert settled_content(node) == before


def test_without_log_and_checkpoint_the_member_refuses_and_says_how_to_rejoin(node: Node) -> None:
    """The store cannot be rebuilt: an empty one must not take its place."""
    grow_until_released(node)
    node.kill()
    for name in checkpoints(node):
        damage_checkpoint(node, name)
    pretend_reboot(node)
    for _ in range(2):
        code, said = node.run_refused()
        assert code == ExitCode.CORRUPTION, said
        assert "To re-join: remove member" in said


def test_a_follower_after_an_os_crash_catches_up_with_the_others(cluster: Cluster) -> None:
    follower = cluster.followers()[0]
    grow_until_released(follower, cluster.leader().endpoint)
    follower.kill()
    pretend_reboot(follower)
    put_many(cluster.leader().endpoint, 30)
    follower.start_serving()
    assert last_opened(follower)["checkpoint"]
    assert settled_content(follower) == settled_content(cluster.leader())


def test_a_follower_a_little_behind_catches_up_from_the_window_below_the_mark(
    tmp_path: Path,
) -> None:
    """The leader, restarted itself, still has the entries below its newest checkpoint in its log."""
    extra = frequent().replace("catchup-entries = 10", "catchup-entries = 5000")
    with Cluster(tmp_path, extra=extra) as cluster:
        away = cluster.followers()[0]
        put_many(cluster.leader().endpoint, 30)
        away.kill()
        others = cluster.running
        for node in others:
            write_until_checkpoints(node, 1, cluster.leader().endpoint)
        for node in others:
            node.kill()
        for node in others:
            node.start()
        cluster.wait_serving()
        away.start_serving()
        assert settled_content(away) == settled_content(cluster.leader())
        assert "sends snapshot" not in "".join(node.log() for node in cluster.nodes)


# --- apply ahead of the local log ----------------------------------------------------------------------


@pytest.mark.parametrize("is_reboot", [False, True])
def test_apply_ahead_of_the_local_log(tmp_path: Path, *, is_reboot: bool) -> None:
    """A follower applies what the others have on their disks; its own takes nearly half a minute for each batch.

    After the crash its log lacks what its store, or its checkpoint, holds. It gets it from the leader,
    logs it, and does not apply it twice.
    """
    delay = tmp_path / "delay"
    slow = frequent(f'test-fdatasync-delay-file = "{delay}"')
    slow = slow.replace("snapshot-count = 50", "snapshot-count = 300")
    # The others keep their logs whole, so that none of them has to send a snapshot.
    with Cluster(tmp_path, extra_of={0: slow}) as cluster:
        ahead, other = cluster.nodes[:2]
        _lead_elsewhere(cluster, ahead)
        put_many(other.endpoint, 280)
        # The log pays for a checkpoint by now; some more entries, and it is due.
        wait_until(
            lambda: fact(ahead, "snapshot-0", "log_bytes_since_mark") > 280 * len(VALUE),
            "the follower knows how long its log is",
        )
        delay.write_text("28000")
        put_many(other.endpoint, 40)

        def is_ahead() -> bool:
            return newest_checkpoint(ahead) > 300

        wait_until(is_ahead, "the slow follower has a checkpoint")
        ahead.kill()
        storage = open_wal(ahead)
        last_index = storage.last_index
        storage.close()
        assert last_index < newest_checkpoint(ahead), "its log is not behind"
        if is_reboot:
            pretend_reboot(ahead)
        put_many(other.endpoint, 10)
        ahead.write_config(ahead.config.initial_cluster, frequent())
        ahead.start_serving()
        assert bool(last_opened(ahead)["checkpoint"]) is is_reboot
        assert int(str(events(ahead, "store ready")[-1]["applied"])) > last_index
        assert settled_content(ahead) == settled_content(other)
        wait_until(
            lambda: fact(ahead, "wal-0", "last_index") >= newest_checkpoint(ahead),
            "the log has what was applied already",
        )


def _lead_elsewhere(cluster: Cluster, node: Node) -> None:
    """Return once another node than ``node`` leads."""
    if cluster.leader() is node:
        target = next(other for other in cluster.nodes if other is not node)
        with Client(node.endpoint) as client:
            client.move_leader(target.config.member_id())
    wait_until(lambda: cluster.leader() is not node, "another node leads")


# --- the end and the middle of the log -----------------------------------------------------------------


def test_a_torn_last_batch_is_cut_and_the_member_goes_on(node: Node) -> None:
    """A batch that was being written when the power failed was never acknowledged."""
    grow_until_released(node)
    before = settled_content(node)
    node.kill()
    storage = open_wal(node)
    index, term = storage.last_index + 1, storage.hard_state.term
    torn = LogEntry(EntryType.NORMAL, term, index, bytes(range(256)) * 40)
    storage.append([StorageAppend((torn,))])
    storage.close()
    segment = max(Path(node.config.wal_dir).glob("*.wal"))
    written = bytearray(segment.read_bytes())
    end = len(bytes(written).rstrip(b"\0"))
    written[end - 4096 : end] = bytes(4096)
    segment.write_bytes(written)
    pretend_reboot(node)
    node.start_serving()
    assert int(str(events(node, "log recovered")[-1]["torn_bytes_cut"])) > 0
    assert settled_content(node) == before


def test_damage_in_the_middle_of_the_log_is_refused(node: Node) -> None:
    """Every segment that is left holds what may have been acknowledged."""
    grow_until_released(node)
    put_many(node.endpoint, 40)
    node.kill()
    segment = min(Path(node.config.wal_dir).glob("*.wal"))
    damaged = bytearray(segment.read_bytes())
    damaged[4096] ^= 1
    segment.write_bytes(damaged)
    for _ in range(2):
        code, said = node.run_refused()
        assert code == ExitCode.CORRUPTION, said
        assert segment.name in said
        assert "To re-join: remove member" in said
    assert segment.read_bytes() == bytes(damaged), "the evidence was changed"


def test_a_member_that_lost_its_data_directory_refuses_to_serve(cluster: Cluster) -> None:
    """The leader still has its word for entries that it does not have any more."""
    lost = cluster.followers()[0]
    put_many(cluster.leader().endpoint, 20)
    lost.kill()
    lost.data_dir.rename(lost.directory / "lost")
    code, said = lost.run_refused()
    assert code == ExitCode.CORRUPTION, said
    assert "To re-join: remove member" in said
    put_many(cluster.leader().endpoint, 20)


# --- again and again --------------------------------------------------------------------------------------


def test_kills_at_any_moment_of_checkpoints_lose_nothing(node: Node) -> None:
    """Under a steady load the node dies at random moments, every other time with its machine."""
    rng = random.Random(20)
    with Writer([node.endpoint]) as writer:
        for round_number in range(8):
            writer.wait_progress(100)
            # Not a wait for anything: the moment of the kill is the point.
            time.sleep(rng.random() * 0.3)
            node.kill()
            if round_number % 2:
                pretend_reboot(node)
            node.start_serving()
        # The log goes while it is written, whatever the kills have left of checkpoints and marks.
        wait_until(lambda: fact(node, "wal-0", "first_index") > 1, "the log releases a segment")
        writer.stop()
    with Client(node.endpoint) as client:
        writer.assert_kept(client)
    assert checkpoints(node), "no checkpoint was ever finished"


def test_the_death_of_the_snapshot_actor_costs_nothing_but_its_checkpoint(node: Node) -> None:
    with Writer([node.endpoint]) as writer:
        for _ in range(3):
            writer.wait_progress(60)
            pid = node.kill_actor("snapshot-0")
            node.wait_actor_back("snapshot-0", pid)
        writer.wait_progress(60)
        writer.stop()
    write_until_checkpoints(node, 1)
    with Client(node.endpoint) as client:
        writer.assert_kept(client)
    names = {path.name for path in Path(node.config.snapshot_dir()).iterdir()}
    assert names == {str(name) for name in checkpoints(node)}

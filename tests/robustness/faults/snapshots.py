"""Responsible for rows 7 and 17: a follower that needs a snapshot, and a stream that is hurt on its way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.robustness.arena import ArenaNode, ArenaSetting
from tests.robustness.faults.fault import RECOVERY_SECONDS_MAX, Fault, Stage
from tests.robustness.load import PREFIX
from zetcd.client import Client
from zetcd.errors import ZetcdError

#: A log that is released soon; small segments hold small requests only.
_SMALL_SEGMENTS: Final = """
max-request-bytes = 16384
[gateway]
batch-bytes-max = 4096
[wal]
segment-bytes = 90112
"""
#: A stream of many chunks that takes a second or two.
_SLOW_STREAM: Final = "chunk-bytes = 16384\nsend-bytes-per-second = 1048576\n"
#: Streams that are hurt, one after the other; a receiver gives up after five, and is offered it again.
_HURT_STREAMS: Final = 3
#: Keys outside of the load's prefix, with values that make the snapshot long.
_BULK_KEYS: Final = 100
_BULK_BYTES: Final = 4000


class _NeedsSnapshot(Fault):
    """What both rows share: a follower whose next entry no other member has any more."""

    def setting(self, directory: Path) -> ArenaSetting:
        return ArenaSetting(extra=_SMALL_SEGMENTS, snapshot=_SLOW_STREAM, has_snapshot_proxies=True)

    def release_logs(self, stage: Stage, follower: ArenaNode) -> None:
        """Write until the logs of the others begin above what ``follower`` has."""
        others = [node for node in stage.arena.arena_nodes if node is not follower]
        base = _last_index(others[0])

        def is_released() -> bool:
            for node in others:
                with Client(node.endpoint) as client:
                    for number in range(_BULK_KEYS):
                        client.put(b"bulk/%d" % number, bytes(_BULK_BYTES))
            return all(_first_index(node) > base for node in others)

        stage.expect(stage.wait(is_released, 3 * RECOVERY_SECONDS_MAX), "no log was released")

    def wait_fetched(self, stage: Stage, follower: ArenaNode, count: int) -> None:
        """Wait until ``follower`` has fetched ``count`` snapshots in its life."""
        has_it = stage.wait(
            lambda: events(follower, "snapshot fetched") >= count, 2 * RECOVERY_SECONDS_MAX
        )
        stage.expect(has_it, f"{follower.name} has not fetched {count} snapshots")


class Blackhole(_NeedsSnapshot):
    """Nothing reaches a follower, or leaves it, until the log that it needs is gone."""

    row = 7
    name = "network: a follower hears nothing until it needs a snapshot"

    def inject(self, stage: Stage) -> None:
        network = stage.arena.network
        assert network is not None
        follower = stage.victim("follower")
        before = events(follower, "snapshot fetched")
        for link in network.around(follower.name):
            link.is_cut = True
        self.release_logs(stage, follower)
        stage.strikes = network.hurt
        network.heal()
        self.wait_fetched(stage, follower, before + 1)


class HurtStream(_NeedsSnapshot):
    """The stream of a snapshot is cut, or a bit of it flips; the digest tells, and it is sent again."""

    row = 17

    def __init__(self, what: str) -> None:
        """Prepare ``cut`` or ``altered``."""
        self.what = what
        self.name = f"snapshot stream: {what} at any byte"

    def inject(self, stage: Stage) -> None:
        proxies = stage.arena.snapshot_proxies.values()
        follower = stage.victim("follower")
        follower.kill()
        self.release_logs(stage, follower)
        for proxy in proxies:
            proxy.hurt_streams(_HURT_STREAMS, flips=self.what == "altered")
        follower.start()
        is_hurt = stage.wait(
            lambda: sum(proxy.hurt for proxy in proxies) >= _HURT_STREAMS, 2 * RECOVERY_SECONDS_MAX
        )
        stage.expect(is_hurt, f"less than {_HURT_STREAMS} streams were hurt")
        stage.expect(_serves_old_state(stage, follower), "the old state was not served meanwhile")
        stage.strikes = sum(proxy.hurt for proxy in proxies)
        self.wait_fetched(stage, follower, 1)
        stage.note(f"{stage.strikes} streams hurt")

    def heal(self, stage: Stage) -> None:
        for proxy in stage.arena.snapshot_proxies.values():
            proxy.heal()
        for node in stage.arena.arena_nodes:
            if not node.is_running:
                node.start()


def _serves_old_state(stage: Stage, node: ArenaNode) -> bool:
    """Say whether a member that waits for its snapshot answers from its own store."""

    def has_keys() -> bool:
        try:
            with Client(node.endpoint, timeout=2.0) as client:
                return bool(client.get_prefix(PREFIX, serializable=True).kvs)
        except ZetcdError:
            return False

    return stage.wait(has_keys)


def events(node: ArenaNode, name: str) -> int:
    """Return how many lines of the log are of one event."""
    lines = (json.loads(line) for line in node.log().splitlines() if line.startswith("{"))
    return sum(line["event"] == name for line in lines)


def _first_index(node: ArenaNode) -> int:
    return int(node.actor("wal-0").facts.get("first_index", "0"))


def _last_index(node: ArenaNode) -> int:
    return int(node.actor("wal-0").facts.get("last_index", "0"))

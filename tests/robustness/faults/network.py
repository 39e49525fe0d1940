"""Responsible for rows 6 and 8: cut, one-way, bridged and flapping networks; slow and lossy ones."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.robustness.arena import ArenaSetting
from tests.robustness.faults.fault import Fault, Stage
from tests.robustness.proxy import Link, Network
from zetcd.client import Client
from zetcd.errors import ZetcdError

#: Seconds that a cut lasts: several election time-outs.
_CUT_SECONDS: Final = 5.0
#: Flaps, and seconds between them.
_FLAPS: Final = 20
_FLAP_SECONDS: Final = 0.2
#: Seconds that a bad network lasts.
_BAD_SECONDS: Final = 6.0
#: Elections after a cut has healed; pre-vote keeps those who were away from disturbing.
_ELECTIONS_MAX: Final = 2


class _NetworkFault(Fault):
    """What network faults share: members behind proxies, whose links heal at once."""

    def setting(self, directory: Path) -> ArenaSetting:
        return ArenaSetting(is_proxied=True)

    def network(self, stage: Stage) -> Network:
        assert stage.arena.network is not None
        return stage.arena.network

    def heal(self, stage: Stage) -> None:
        network = self.network(stage)
        stage.strikes = network.hurt
        passed = sum(link.passed for link in network.links())
        stage.note(f"{network.hurt} messages hurt, {passed} passed")
        network.heal()


class Partition(_NetworkFault):
    """A network that falls into parts and comes together again."""

    row = 6

    def __init__(self, shape: str) -> None:
        """Prepare ``leader alone``, ``leader is not heard``, ``leader hears nothing`` or ``bridge``."""
        self.shape = shape
        self.name = f"partition: {shape}"
        self._term = 0

    def inject(self, stage: Stage) -> None:
        leader = stage.arena.arena_leader()
        followers = [node.name for node in stage.arena.arena_followers()]
        network = self.network(stage)
        _cut(self._links(network, leader.name, followers))
        began = time.monotonic()
        if self.shape == "leader alone":
            resumed = stage.wait_writes(1, "at the majority")
            stage.note(f"majority writes after {resumed:.2f} s")
            self._is_refused(stage, leader.endpoint)
        stage.hold(max(0.0, _CUT_SECONDS - (time.monotonic() - began)))
        self._term = stage.arena.highest_term()

    def heal(self, stage: Stage) -> None:
        super().heal(stage)
        stage.hold(2.0)
        elections = stage.arena.highest_term() - self._term
        stage.note(f"{elections} elections after the cut")
        stage.expect(elections <= _ELECTIONS_MAX, f"{elections} elections after the cut had healed")

    def _links(self, network: Network, leader: str, followers: list[str]) -> Iterable[Link]:
        if self.shape == "leader alone":
            return list(network.around(leader))
        if self.shape == "leader is not heard":
            return [network.link(leader, each) for each in followers]
        if self.shape == "leader hears nothing":
            return [network.link(each, leader) for each in followers]
        assert self.shape == "bridge", self.shape
        # A follower reaches both sides; the leader and the other follower do not reach each other.
        return network.both(leader, followers[1])

    def _is_refused(self, stage: Stage, endpoint: str) -> None:
        """A leader without a majority must not answer a linearizable read, be it ever so old."""
        stage.hold(1.0)
        is_refused = False
        with Client(endpoint, timeout=1.0) as client:
            try:
                client.get(b"health")
            except ZetcdError:
                is_refused = True
        stage.expect(is_refused, "a member without a majority answered a linearizable read")


class Flapping(_NetworkFault):
    """The leader's links are cut and mended again and again."""

    row = 6
    name = f"partition: leader flaps {_FLAPS} x {_FLAP_SECONDS * 1000:.0f} ms"

    def inject(self, stage: Stage) -> None:
        network = self.network(stage)
        leader = stage.arena.arena_leader().name
        for _ in range(_FLAPS):
            _cut(network.around(leader))
            stage.hold(_FLAP_SECONDS)
            for link in network.around(leader):
                link.is_cut = False
            stage.hold(_FLAP_SECONDS)


def _cut(links: Iterable[Link]) -> None:
    for link in links:
        link.is_cut = True


class BadNetwork(_NetworkFault):
    """Every link delays, loses, doubles or re-orders messages, or closes connections."""

    row = 8

    def __init__(
        self,
        what: str,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        close: float = 0.0,
        delay: float = 0.0,
        delay_spread: float = 0.0,
        bytes_per_second: float = 0.0,
    ) -> None:
        self.name = f"network: {what}"
        self._link = Link(
            drop=drop,
            duplicate=duplicate,
            reorder=reorder,
            close=close,
            delay=delay,
            delay_spread=delay_spread,
            bytes_per_second=bytes_per_second,
        )

    def inject(self, stage: Stage) -> None:
        for link in self.network(stage).links():
            link.drop, link.duplicate = self._link.drop, self._link.duplicate
            link.reorder, link.close = self._link.reorder, self._link.close
            link.delay, link.delay_spread = self._link.delay, self._link.delay_spread
            link.bytes_per_second = self._link.bytes_per_second
        before = len(stage.load.counters.write_times)
        stage.hold(_BAD_SECONDS)
        rate = (len(stage.load.counters.write_times) - before) / _BAD_SECONDS
        stage.note(f"{rate:.0f} writes/s meanwhile")

"""Responsible for a cluster that can be hurt: nodes behind proxies, on mounts, with other clocks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.integration.cluster import Cluster, Node, free_ports
from tests.robustness.checkers.hygiene import Footprint
from tests.robustness.proxy import Network, Place
from tests.robustness.snapshot_proxy import PROXY_HOST, SnapshotProxy
from zetcd.client import Client
from zetcd.errors import ZetcdError


@dataclass(slots=True)
class ArenaSetting:
    """What a fault needs of the cluster that it is to hurt."""

    size: int = 3
    #: Lines of every configuration; sections come last in them.
    extra: str = ""
    #: Lines before those, of single members by number.
    extra_of: Mapping[int, str] = field(default_factory=dict)
    #: Checkpoints every second or so, so that faults meet them, and restarts begin with them.
    has_many_checkpoints: bool = True
    #: Members talk to each other through proxies.
    is_proxied: bool = False
    #: Members fetch snapshots from each other through proxies.
    has_snapshot_proxies: bool = False
    #: Lines of the section ``[snapshot]``.
    snapshot: str = ""
    #: Directory of a member's data, by number, where it is not the usual one.
    data_dirs: Mapping[int, Path] = field(default_factory=dict)
    #: Environment of the nodes, beside that of this process.
    environment: Mapping[str, str] = field(default_factory=dict)


class ArenaNode(Node):
    """A node with its own environment, and perhaps behind a proxy."""

    def __init__(
        self, name: str, directory: Path, ports: Sequence[int], setting: ArenaSetting
    ) -> None:
        super().__init__(name, directory, ports[:3])
        self.proxy_port, self.snapshot_port = ports[3], ports[4]
        self._setting = setting
        self.data_dir_path = directory / "data"
        #: Started again with this value in front of the command, for example ``strace``.
        self.prefix: list[str] = []

    @property
    def data_dir(self) -> Path:
        return self.data_dir_path

    @property
    def advertised_url(self) -> str:
        if self._setting.has_snapshot_proxies:
            return f"tcp://{PROXY_HOST}:{self.proxy_port}"
        return f"tcp://127.0.0.1:{self.proxy_port}" if self._setting.is_proxied else self.peer_url

    def write_config(self, initial_cluster: str = "", extra: str = "") -> None:
        lines = f'initial-advertise-peer-urls = ["{self.advertised_url}"]\n'
        extra += f"\n[snapshot]\nport = {self.snapshot_port}\n{self._setting.snapshot}"
        if self._setting.has_many_checkpoints:
            lines += "snapshot-count = 200\nsnapshot-catchup-entries = 100\n"
            extra += "log-bytes-min = 0\n"
        super().write_config(initial_cluster, lines + extra)

    def start(self) -> None:
        assert self.process is None
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "zetcd", "supervise", str(self.config_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self._setting.environment},
            )

    @property
    def has_ended(self) -> bool:
        """Whether its supervisor has ended by itself, or was never started."""
        return self.process is None or self.process.poll() is not None

    def footprints(self) -> dict[str, Footprint]:
        """Return what each actor occupies now."""
        found: dict[str, Footprint] = {}
        for actor, pid in self.actors().items():
            try:
                process = psutil.Process(pid)
                found[actor] = Footprint(process.num_fds(), process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        return found


class Arena(Cluster):
    """Several nodes, and the network between them if the fault wants one."""

    def __init__(self, directory: Path, setting: ArenaSetting, seed: int) -> None:
        ports = free_ports(5 * setting.size)
        self.setting = setting
        self.network: Network | None = None
        self.snapshot_proxies: dict[str, SnapshotProxy] = {}
        self.arena_nodes = [
            ArenaNode(
                f"node{each}", directory / f"node{each}", ports[5 * each : 5 * each + 5], setting
            )
            for each in range(setting.size)
        ]
        self.nodes = list(self.arena_nodes)
        for number, path in setting.data_dirs.items():
            self.arena_nodes[number].data_dir_path = path
        initial_cluster = ",".join(
            f"{node.name}={node.advertised_url}" for node in self.arena_nodes
        )
        for number, node in enumerate(self.nodes):
            node.write_config(initial_cluster, setting.extra_of.get(number, "") + setting.extra)
        if setting.has_snapshot_proxies:
            self.snapshot_proxies = {
                node.name: SnapshotProxy(node.snapshot_port, random.Random(seed + number))
                for number, node in enumerate(self.arena_nodes)
            }
        if setting.is_proxied or setting.has_snapshot_proxies:
            places = [
                Place(
                    node.name,
                    node.config.member_id(),
                    urlsplit(node.advertised_url).hostname or "",
                    node.proxy_port,
                    node.peer_port,
                )
                for node in self.arena_nodes
            ]
            self.network = Network(places, seed)

    def _end(self) -> None:
        super()._end()
        if self.network is not None:
            self.network.close()
        for proxy in self.snapshot_proxies.values():
            proxy.close()

    @property
    def members(self) -> dict[str, str]:
        """The endpoint of each member, by name."""
        return {node.name: node.endpoint for node in self.nodes}

    def node(self, name: str) -> ArenaNode:
        return next(each for each in self.arena_nodes if each.name == name)

    def arena_leader(self) -> ArenaNode:
        """Return the leader that all running nodes agree on."""
        return self.node(self.leader().name)

    def arena_followers(self) -> list[ArenaNode]:
        leader = self.leader().name
        return [each for each in self.arena_nodes if each.is_running and each.name != leader]

    def highest_term(self) -> int:
        """Return the highest term that any running member knows of."""
        found = [answer[2] for node in self.running if (answer := node.leadership()) is not None]
        return max(found, default=0)

    def other_leader(self, than: Node, seconds: float) -> str:
        """Return who leads according to any other member than ``than``; "" if nobody in time."""
        deadline = time.monotonic() + seconds
        ids = {node.config.member_id(): node.name for node in self.nodes}
        while time.monotonic() < deadline:
            for node in self.running:
                answer = node.leadership() if node is not than else None
                if answer is not None and answer[1] and ids.get(answer[1]) != than.name:
                    return ids[answer[1]]
            time.sleep(0.05)
        return ""

    def hashes(self, revision: int) -> dict[str, int | None]:
        """Return each member's hash at ``revision``; None: it did not answer."""

        def hash_of(node: Node) -> int | None:
            try:
                with Client(node.endpoint, timeout=10.0) as client:
                    return client.hash_kv(revision).hash
            except ZetcdError:
                return None

        return {node.name: hash_of(node) for node in self.nodes}

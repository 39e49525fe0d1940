"""Members started by `zetcd etcd`, as somebody would start etcd's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.integration.cluster import PATIENCE_SECONDS, free_ports, has_ended, wait_until

ROOT = Path(__file__).parents[3]
READY = "ready to serve client requests"


class Member:
    """One process of `zetcd etcd` with its log, in a directory of its own."""

    def __init__(
        self,
        directory: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it without a terminal and with almost no environment."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._log_path = directory / "log"
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "zetcd", "etcd", *arguments],
                cwd=directory,
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def lines(self) -> list[dict[str, object]]:
        """Return the log; every line must be JSON of zap's shape."""
        lines = [json.loads(line) for line in self._log_path.read_text().splitlines()]
        assert all(list(line)[:4] == ["level", "ts", "caller", "msg"] for line in lines)
        return lines

    def messages(self) -> list[str]:
        return [str(line["msg"]) for line in self.lines()]

    def wait_for(self, message: str) -> None:
        """Return once the log has ``message``."""

        def is_there() -> bool:
            code = self.process.poll()
            assert code is None, f"ended with {code}:\n{self._log_path.read_text()[-4000:]}"
            return message in self.messages()

        wait_until(is_there, f"{message!r} in the log of {self.directory.name}")

    def processes(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def end(self, number: signal.Signals) -> int:
        """Send a signal to the one process that was started; return once nothing is left of it."""
        processes = self.processes()
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_SECONDS)
        wait_until(lambda: all(map(has_ended, processes)), "no process is left behind")
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()


def cluster_arguments(
    scheme: str = "http", peer_scheme: str = "http", extra: Sequence[str] = (), size: int = 3
) -> tuple[list[list[str]], list[str]]:
    """Return the flags of etcd's clustering guide for each member, and their client URLs."""
    ports = free_ports(2 * size)
    peers = [f"{peer_scheme}://127.0.0.1:{port}" for port in ports[:size]]
    clients = [f"{scheme}://127.0.0.1:{port}" for port in ports[size:]]
    founders = ",".join(f"infra{each}={url}" for each, url in enumerate(peers))
    arguments = [
        [
            *("--name", f"infra{each}"),
            *("--initial-advertise-peer-urls", peers[each]),
            *("--listen-peer-urls", peers[each]),
            *("--listen-client-urls", clients[each]),
            *("--advertise-client-urls", clients[each]),
            *("--initial-cluster-token", "etcd-cluster-1"),
            *("--initial-cluster", founders),
            *("--initial-cluster-state", "new"),
            *extra,
        ]
        for each in range(size)
    ]
    return arguments, clients

"""A local cluster for a benchmark: `zetcd local` in a directory of its own, with status per node."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from zetcd.node_status import NodeStatus
from zetcd.status import ask, local_configs

#: Seconds a cluster may take to become ready.
_START_SECONDS_MAX = 60.0


class LocalCluster:
    """Three nodes (or as many as asked for) on loopback; a context manager that leaves nothing behind."""

    def __init__(self, *, nodes: int, base_port: int, directory: Path | None = None) -> None:
        self.nodes = nodes
        self.base_port = base_port
        self._is_own = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="zetcd-bench-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.start_seconds = 0.0

    @property
    def endpoints(self) -> list[str]:
        """Return the native endpoint of each node."""
        return [f"tcp://127.0.0.1:{self.base_port + 10 * each + 2}" for each in range(self.nodes)]

    def change_configs(self, changed: Callable[[int, str], str]) -> None:
        """Let `zetcd local` write the configurations; ``changed`` makes of a node's number and text its new text."""
        with self:
            pass
        for node in range(self.nodes):
            file = self.directory / f"node{node}" / "config.toml"
            file.write_text(changed(node, file.read_text()))

    def __enter__(self) -> Self:
        started = time.monotonic()
        log = (self.directory / "log").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "zetcd", "local", "--nodes", str(self.nodes)),
                *("--dir", str(self.directory), "--base-port", str(self.base_port)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        try:
            self._wait_ready(started)
        except BaseException:
            self._end()
            raise
        self.start_seconds = time.monotonic() - started
        return self

    def _wait_ready(self, started: float) -> None:
        assert self._process is not None
        while True:
            nodes = self.status()
            if nodes and all(node.state == "ready" for node in nodes):
                return
            if self._process.poll() is not None or time.monotonic() - started > _START_SECONDS_MAX:
                tail = (self.directory / "log").read_text()[-3000:]
                raise RuntimeError(f"the cluster did not become ready:\n{tail}")
            time.sleep(0.05)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            process.kill()
            process.wait()
        if self._is_own and not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def status(self) -> list[NodeStatus]:
        """Return the status of each node; empty while not all answer."""
        try:
            replies = [ask(config) for config in local_configs(self.directory)]
        except FileNotFoundError:
            return []
        found = [reply.status for reply in replies if reply.status is not None]
        return found if len(found) == self.nodes else []

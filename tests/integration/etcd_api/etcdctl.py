"""etcdctl 3.6, run against a cluster of zetcd."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.cluster import PATIENCE_SECONDS, Cluster
from tests.integration.etcd_api.go_programs import program

#: Seconds within which a command must have ended, whatever it waits for.
_COMMAND_SECONDS_MAX = 120


class Etcdctl:
    """Runs commands against all members."""

    def __init__(self, cluster: Cluster) -> None:
        self.path = program("etcdctl")
        self.endpoints = ",".join(f"127.0.0.1:{node.client_port}" for node in cluster.nodes)

    def command(self, *arguments: str) -> list[str]:
        return [
            *(str(self.path), "--endpoints", self.endpoints),
            *("--command-timeout", "60s", "--dial-timeout", "30s", *arguments),
        ]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS_MAX,
        )

    def output(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.output("--write-out", "json", *arguments))

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Yield a command that goes on until it is told to stop; afterwards it is gone."""
        process = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE_SECONDS)

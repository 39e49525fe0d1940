"""Clients of other languages against three members: etcd3 of npm, etcd-client of crates.io, jetcd."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.integration.cluster import Cluster
from tests.integration.etcd_api.foreign_programs import java_client, npm_client, rust_client

pytestmark = [pytest.mark.integration, pytest.mark.clients]

#: Seconds that a client may take for all of its checks.
_SECONDS_MAX = 200


@pytest.mark.timeout(400)
def test_the_client_of_node_finds_nothing_wrong(etcd_cluster: Cluster) -> None:
    check(npm_client, etcd_cluster, checks=7)


@pytest.mark.built
@pytest.mark.timeout(1800)
def test_the_client_of_rust_finds_nothing_wrong(etcd_cluster: Cluster) -> None:
    check(rust_client, etcd_cluster, checks=8)


@pytest.mark.built
@pytest.mark.timeout(1800)
def test_the_client_of_java_finds_nothing_wrong(etcd_cluster: Cluster) -> None:
    check(java_client, etcd_cluster, checks=7)


def check(command_of: Callable[[], list[str]], cluster: Cluster, checks: int) -> None:
    """Run a client; it prints a line for each kind of call, and ends with an error at the first mistake."""
    endpoints = ",".join(f"127.0.0.1:{node.client_port}" for node in cluster.nodes)
    done = subprocess.run(
        [*command_of(), endpoints],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert len(lines) == checks

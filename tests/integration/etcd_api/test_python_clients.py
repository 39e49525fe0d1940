"""etcd's Python clients against three members: etcd3 and aetcd by gRPC, etcd3gw by JSON."""

from __future__ import annotations

import subprocess

import pytest

from tests.integration.cluster import Cluster
from tests.integration.etcd_api.python_programs import python_of

pytestmark = [pytest.mark.integration, pytest.mark.clients, pytest.mark.timeout(900)]

CHECKS = 6


@pytest.mark.parametrize("client", ["etcd3", "aetcd", "etcd3gw"])
def test_the_client_finds_nothing_wrong(client: str, etcd_cluster: Cluster) -> None:
    python, program = python_of(client)
    target = f"127.0.0.1:{etcd_cluster.followers()[0].client_port}"
    done = subprocess.run(
        [python, program, target], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("ok ")] == (
        done.stdout.splitlines()
    )
    assert len(done.stdout.splitlines()) == CHECKS

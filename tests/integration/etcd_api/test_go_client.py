"""etcd's own Go client with its recipes, and what kube-apiserver does with it, against three members."""

from __future__ import annotations

import subprocess

import pytest

from tests.integration.cluster import Cluster
from tests.integration.etcd_api.go_programs import program

pytestmark = [pytest.mark.integration, pytest.mark.clients, pytest.mark.timeout(2400)]

CHECKS = 19


def test_the_go_client_finds_nothing_wrong(etcd_cluster: Cluster) -> None:
    goclient = program("goclient")
    endpoints = ",".join(f"127.0.0.1:{node.client_port}" for node in etcd_cluster.nodes)
    done = subprocess.run(
        [goclient, endpoints], capture_output=True, text=True, check=False, timeout=600
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert len(lines) == CHECKS

"""The two stores of a run, each with one member: a real etcd and zetcd."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc

from bench.peers.build import build_program
from tests.differential.peer import Peer
from tests.integration.cluster import Cluster, free_ports, wait_until
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

NAME = "node0"


@contextlib.contextmanager
def started_etcd(directory: Path) -> Iterator[str]:
    """Yield the target of an etcd that serves."""
    program = build_program("etcd")
    client, peer = free_ports(2)
    client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(program, "--name", NAME, "--data-dir", directory / "data"),
                *("--listen-client-urls", client_url, "--advertise-client-urls", client_url),
                *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
                *("--initial-cluster", f"{NAME}={peer_url}"),
                # Answers are compared, not durability.
                *("--unsafe-no-fsync", "--log-level", "warn"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        target = f"127.0.0.1:{client}"
        _wait_serving(target)
        yield target
    finally:
        process.kill()
        process.wait()


def _wait_serving(target: str) -> None:
    wait_until(lambda: _serves(target), f"the store at {target} serves")


def _serves(target: str) -> bool:
    peer = Peer("etcd", target)
    try:
        peer.client.call("KV.Range", pb.RangeRequest(key=b"k"), pb.RangeResponse, timeout=2)
    except grpc.RpcError:
        return False
    finally:
        peer.close()
    return True


@contextlib.contextmanager
def both(directory: Path) -> Iterator[tuple[Peer, Peer]]:
    """Yield clients of zetcd and of etcd, both new and empty."""
    with (
        started_etcd(directory / "etcd") as target,
        Cluster(directory / "zetcd", size=1) as cluster,
    ):
        own = f"127.0.0.1:{cluster.nodes[0].client_port}"
        _wait_serving(own)
        peers = (
            Peer("zetcd", own),
            Peer("etcd", target),
        )
        try:
            yield peers
        finally:
            for peer in peers:
                peer.close()

"""The command line of kubeadm's static pod starts a member, and a second control plane node joins it."""

from __future__ import annotations

import contextlib
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import grpc
import pytest
import yaml

from tests.certificates import Authority
from tests.integration.cluster import free_ports, wait_until
from tests.integration.etcd_api.stubs import EtcdClient
from tests.integration.launcher.members import READY, Member
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MANIFEST = Path(__file__).parents[2] / "testdata" / "launcher" / "kubeadm-etcd.yaml"
#: Addresses of the nodes, all of them this machine.
FIRST, SECOND = "127.0.0.2", "127.0.0.3"


class ControlPlaneNode:
    """What kubeadm puts on a node: certificates, and the static pod."""

    def __init__(self, directory: Path, authority: Authority, name: str, address: str) -> None:
        self.directory = directory
        self.authority = authority
        self.name = name
        self.address = address
        self.client_port, self.peer_port, self.metrics_port = free_ports(3)
        self.pki = directory / "pki"
        self.pki.mkdir(parents=True)
        shutil.copy(authority.file, self.pki / "ca.crt")
        for role in ("server", "peer", "healthcheck-client"):
            issued = authority.issue(
                f"{name}-{role}", hosts=(name, "localhost"), addresses=(address, "127.0.0.1")
            )
            shutil.copy(issued.certificate, self.pki / f"{role}.crt")
            shutil.copy(issued.key, self.pki / f"{role}.key")

    @property
    def peer_url(self) -> str:
        return f"https://{self.address}:{self.peer_port}"

    def arguments(self, *more: str) -> list[str]:
        """Return the manifest's command line for this node; what is in ``more`` counts."""
        manifest = yaml.safe_load(MANIFEST.read_text())
        command = manifest["spec"]["containers"][0]["command"]
        assert command[0] == "etcd"
        text = "\n".join(command[1:])
        for old, new in (
            ("192.168.0.10", self.address),
            (":2379", f":{self.client_port}"),
            (":2380", f":{self.peer_port}"),
            (":2381", f":{self.metrics_port}"),
            ("control-plane-1", self.name),
            ("/etc/kubernetes/pki/etcd", str(self.pki)),
            ("/var/lib/etcd", str(self.directory / "data")),
        ):
            assert old in text
            text = text.replace(old, new)
        return [*text.split("\n"), *more]

    def probe(self, path: str) -> int:
        """Ask as the kubelet does; return the status."""
        url = f"http://127.0.0.1:{self.metrics_port}{path}"
        try:
            with urllib.request.urlopen(url) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            return 0

    @contextlib.contextmanager
    def client(self) -> Iterator[EtcdClient]:
        """Yield a client as ``etcdctl`` in the pod is one, with the certificate for health checks."""
        names = ("ca.crt", "healthcheck-client.key", "healthcheck-client.crt")
        credentials = grpc.ssl_channel_credentials(
            *((self.pki / name).read_bytes() for name in names)
        )
        client = EtcdClient(f"127.0.0.1:{self.client_port}", credentials)
        yield client
        client.close()


def is_healthy(node: ControlPlaneNode) -> bool:
    """Do what ``etcdctl endpoint health`` does."""
    with node.client() as client:
        try:
            client.call("KV.Range", pb.RangeRequest(key=b"health"), pb.RangeResponse, timeout=5)
        except grpc.RpcError:
            return False
    return True


def test_the_static_pod_starts_and_a_second_control_plane_node_joins(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    first = ControlPlaneNode(tmp_path / "1", authority, "control-plane-1", FIRST)
    second = ControlPlaneNode(tmp_path / "2", authority, "control-plane-2", SECOND)
    with Member(first.directory / "member", first.arguments()) as member:
        member.wait_for(READY)
        assert is_healthy(first)
        for path in ("/livez", "/readyz", "/health?exclude=NOSPACE&serializable=true"):
            assert first.probe(path) == 200
        with first.client() as client:
            client.call("KV.Put", pb.PutRequest(key=b"/registry/a"), pb.PutResponse)
            added = client.call(
                "Cluster.MemberAdd",
                pb.MemberAddRequest(peerURLs=[second.peer_url], isLearner=True),
                pb.MemberAddResponse,
            )
        founders = f"{first.name}={first.peer_url},{second.name}={second.peer_url}"
        joining = second.arguments(
            f"--initial-cluster={founders}", "--initial-cluster-state=existing"
        )
        with Member(second.directory / "member", joining) as joiner:
            joiner.wait_for(READY)
            promote(first, added.member.ID)
            wait_until(lambda: is_healthy(second), "the second node is healthy")
            with second.client() as client:
                kept = client.call(
                    "KV.Range", pb.RangeRequest(key=b"/registry/a"), pb.RangeResponse
                )
            assert kept.count == 1
            assert second.probe("/readyz") == 200


def promote(node: ControlPlaneNode, member: int) -> None:
    """Promote a learner as soon as it has caught up, as kubeadm does."""

    def is_promoted() -> bool:
        with node.client() as client:
            try:
                client.call(
                    "Cluster.MemberPromote",
                    pb.MemberPromoteRequest(ID=member),
                    pb.MemberPromoteResponse,
                    timeout=5,
                )
            except grpc.RpcError as error:
                # It was, and the answer was lost; or it is not in sync yet, which says more.
                return (
                    cast(grpc.Call, error).details()
                    == "etcdserver: can only promote a learner member"
                )
        return True

    wait_until(is_promoted, "the learner is promoted")

"""Three members with the flags of etcd's clustering guide."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.integration.cluster import PATIENCE_SECONDS, wait_until
from tests.integration.etcd_api.stubs import EtcdClient
from tests.integration.launcher.members import READY, Member, cluster_arguments
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@contextlib.contextmanager
def client_of(url: str) -> Iterator[EtcdClient]:
    client = EtcdClient(url.partition("://")[2])
    yield client
    client.close()


def status(url: str) -> pb.StatusResponse | None:
    with client_of(url) as client, contextlib.suppress(grpc.RpcError):
        return client.call("Maintenance.Status", pb.StatusRequest(), pb.StatusResponse, timeout=5)
    return None


def test_a_cluster_as_in_the_clustering_guide(tmp_path: Path) -> None:
    arguments, urls = cluster_arguments()
    with contextlib.ExitStack() as stack:
        members = [
            stack.enter_context(Member(tmp_path / f"infra{each}", arguments[each]))
            for each in range(3)
        ]
        for member in members:
            member.wait_for(READY)
        with client_of(urls[0]) as client:
            client.call("KV.Put", pb.PutRequest(key=b"a", value=b"1"), pb.PutResponse)
            found = client.call("Cluster.MemberList", pb.MemberListRequest(), pb.MemberListResponse)
        assert {name for each in found.members for name in [each.name]} == {
            "infra0",
            "infra1",
            "infra2",
        }
        before = status(urls[0])
        assert before is not None
        ids = [known.header.member_id for url in urls if (known := status(url)) is not None]
        leader = ids.index(before.leader)
        others = [each for each in range(3) if each != leader]

        # The signal itself ends the process, as etcd's; everything below it is gone.
        assert members[leader].end(signal.SIGTERM) == -signal.SIGTERM
        assert members[leader].messages()[-1] == "closed etcd server"
        # Leadership was handed over, not lost: the very next term.
        for each in others:
            wait_until(
                lambda each=each: (  # type: ignore[misc]
                    (now := status(urls[each])) is not None
                    and now.leader not in (0, before.leader)
                    and now.raftTerm == before.raftTerm + 1
                ),
                "a new leader in the next term",
            )
        assert members[others[0]].end(signal.SIGKILL) == -signal.SIGKILL


def test_variables_and_a_file(tmp_path: Path) -> None:
    arguments, (url,) = cluster_arguments(size=1)
    flags = dict(zip(arguments[0][::2], arguments[0][1::2], strict=True))
    environment = {
        "ETCD_" + name[2:].upper().replace("-", "_"): value for name, value in flags.items()
    }
    with Member(tmp_path / "variables", [], environment) as member:
        member.wait_for("published local member to cluster through raft")
        assert (tmp_path / "variables" / "infra0.etcd").stat().st_mode & 0o777 == 0o700
        # Actors get the environment as it was given.
        actors = member.processes()[1:]
        assert actors
        assert all(each.environ()["ETCD_NAME"] == "infra0" for each in actors)
        member.end(signal.SIGINT)

    file = tmp_path / "etcd.yml"
    file.write_text("".join(f"{name[2:]}: {value}\n" for name, value in flags.items()))
    with Member(tmp_path / "file", ["--config-file", str(file), "--name", "ignored"]) as member:
        member.wait_for(READY)
        with client_of(url) as client:
            client.call("KV.Put", pb.PutRequest(key=b"a"), pb.PutResponse)


def test_a_socket_of_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "client.sock"
    arguments = ["--listen-peer-urls", cluster_arguments(size=1)[0][0][5]]
    for flag in ("--listen-client-urls", "--advertise-client-urls"):
        arguments += [flag, f"unix://{path}"]
    with Member(tmp_path / "member", arguments) as member:
        member.wait_for(READY)
        client = EtcdClient(f"unix:{path}")
        answer = client.call("KV.Put", pb.PutRequest(key=b"a"), pb.PutResponse)
        assert answer.header.revision == 2
        client.close()


def test_a_member_that_joins(tmp_path: Path) -> None:
    (founder, joiner), urls = cluster_arguments(size=2)
    peers = [
        arguments[arguments.index("--listen-peer-urls") + 1] for arguments in (founder, joiner)
    ]
    founder[founder.index("--initial-cluster") + 1] = f"infra0={peers[0]}"
    with Member(tmp_path / "infra0", founder) as first:
        first.wait_for(READY)
        with client_of(urls[0]) as client:
            added = client.call(
                "Cluster.MemberAdd", pb.MemberAddRequest(peerURLs=[peers[1]]), pb.MemberAddResponse
            )
        joiner[joiner.index("--initial-cluster-state") + 1] = "existing"
        with Member(tmp_path / "infra1", joiner) as second:
            second.wait_for(READY)
            known = status(urls[1])
            assert known is not None
            assert known.header.member_id == added.member.ID
            with client_of(urls[0]) as client:
                removal = pb.MemberRemoveRequest(ID=added.member.ID)
                client.call("Cluster.MemberRemove", removal, pb.MemberRemoveResponse)
            assert second.process.wait(PATIENCE_SECONDS) == 0
            assert "the member has been permanently removed from the cluster" in second.messages()

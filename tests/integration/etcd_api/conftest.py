"""One cluster for all tests of the etcd API that hurt nobody, and clients of each member."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cluster import Cluster
from tests.integration.etcd_api.etcdctl import Etcdctl
from tests.integration.etcd_api.stubs import EtcdClient


@pytest.fixture(scope="session")
def etcd_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield three members, shared: tests use keys of their own."""
    extra = 'metrics = "extensive"\nenable-pprof = true\n'
    with Cluster(tmp_path_factory.mktemp("etcd-api"), extra=extra) as cluster:
        yield cluster


@pytest.fixture
def client(etcd_cluster: Cluster) -> Iterator[EtcdClient]:
    """Yield a client of a follower, whose every write travels to the leader."""
    found = EtcdClient(f"127.0.0.1:{etcd_cluster.followers()[0].client_port}")
    yield found
    found.close()


@pytest.fixture
def leader_client(etcd_cluster: Cluster) -> Iterator[EtcdClient]:
    """Yield a client of the leader."""
    found = EtcdClient(f"127.0.0.1:{etcd_cluster.leader().client_port}")
    yield found
    found.close()


@pytest.fixture
def etcdctl(etcd_cluster: Cluster) -> Etcdctl:
    """Return etcdctl for all members."""
    return Etcdctl(etcd_cluster)

"""The two systems as clusters of three members on this machine, started alike and with the same settings."""

from __future__ import annotations

from bench.systems.cluster import Cluster, ClusterFailed, ClusterLate
from bench.systems.etcd import etcd_cluster
from bench.systems.member import Tracing
from bench.systems.zetcd import zetcd_cluster

__all__ = ["Cluster", "ClusterFailed", "ClusterLate", "Tracing", "etcd_cluster", "zetcd_cluster"]

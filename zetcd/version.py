"""Responsible for what zetcd says of versions of etcd: of its API, of a cluster, of its files."""

from __future__ import annotations

from typing import Final

#: The release of etcd whose API is served: clients decide by it what they may use, members who may join.
API_VERSION: Final = "3.6.14"
#: Its major and minor: a cluster's version in ``Downgrade`` and metrics, etcdctl's "API version".
API_MINOR: Final = API_VERSION.rpartition(".")[0]
#: A cluster's version where etcd writes it with a patch: in ``/version`` and in the files of its store.
CLUSTER_VERSION: Final = f"{API_MINOR}.0"
#: The buckets of etcd's store as snapshots have them; a newer API may come without newer buckets.
STORAGE_VERSION: Final = "3.6.0"


def minor_of(version: str) -> tuple[int, int] | None:
    """Return the first two numbers of ``major.minor.patch``; None: it is no version."""
    parts = version.split(".")
    if len(parts) != 3 or not all(each.isascii() and each.isdigit() for each in parts):
        return None
    return int(parts[0]), int(parts[1])

"""Responsible for computing member and cluster ids exactly as etcd does; pure.

The ids of a statically configured cluster follow from its peer URLs and its token alone, so every
member computes the same ones without asking anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from zetcd.scalars import NodeID


def member_id_of(
    peer_urls: Iterable[str], cluster_token: str, added_at: int | None = None
) -> NodeID:
    """Return the id of a member.

    Args:
        peer_urls: its advertised peer URLs; their order does not matter.
        cluster_token: ``initial-cluster-token``.
        added_at: Unix seconds at which it was added to a running cluster; None for a first member.
    """
    text = "".join(sorted(peer_urls)) + cluster_token
    if added_at is not None:
        text += str(added_at)
    return _first_8_bytes(text.encode())


def cluster_id_of(member_ids: Iterable[NodeID]) -> int:
    """Return the id of the cluster that these members founded."""
    return _first_8_bytes(b"".join(each.to_bytes(8, "big") for each in sorted(member_ids)))


def _first_8_bytes(content: bytes) -> int:
    # SHA-1 is what etcd uses; it names members here and protects nothing.
    return int.from_bytes(hashlib.sha1(content, usedforsecurity=False).digest()[:8], "big")

"""Responsible for finding out who a node is that a running cluster was told of, from what its members say.

As in etcd: the cluster must have been told of the node first (`member add`), and what the node's
configuration says of the members must be what they say themselves. Then the node is the member that has its
peer URLs.

Of several answers the one counts that knows most of the log: a member may be behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zetcd.errors import CannotJoin
from zetcd.messages.cluster import Member
from zetcd.messages.node import MembersAnswer
from zetcd.scalars import NodeID


class Found(NamedTuple):
    """Who a node is."""

    cluster_id: int
    member_id: NodeID


def identify(
    answers: Sequence[MembersAnswer], name: str, initial_cluster: Mapping[str, tuple[str, ...]]
) -> Found:
    """Return who the member called ``name`` of ``initial_cluster`` is.

    Args:
        answers: At least one.
        name: Of this node; one of ``initial_cluster``.
        initial_cluster: Peer URLs by name, as configured.

    Raises:
        CannotJoin: the answers are of several clusters, or not what is configured.
    """
    clusters = sorted({each.cluster_id for each in answers})
    if len(clusters) > 1:
        raise CannotJoin(
            "initial-cluster names members of several clusters: "
            + ", ".join(f"{each:x}" for each in clusters)
        )
    answer = max(answers, key=lambda each: each.applied_index)
    where = f"cluster {answer.cluster_id:x}"
    own_urls = frozenset(initial_cluster[name])
    own = [each for each in answer.members if frozenset(each.peer_urls) == own_urls]
    if not own:
        shown = ",".join(sorted(own_urls))
        raise CannotJoin(
            f"{where} has no member with the peer URLs {shown}; its members are "
            f"{_shown(answer.members)}. Add this one first: zetcdctl member add {name} "
            f"--peer-urls={shown}"
        )
    configured = {frozenset(urls) for urls in initial_cluster.values()}
    actual = {frozenset(each.peer_urls) for each in answer.members}
    if configured != actual or len(initial_cluster) != len(answer.members):
        raise CannotJoin(
            f"initial-cluster does not name the members of {where}, which are "
            f"{_shown(answer.members)}"
        )
    return Found(answer.cluster_id, own[0].id)


def _shown(members: Sequence[Member]) -> str:
    return ",".join(_shown_member(each) for each in members)


def _shown_member(member: Member) -> str:
    name = member.name or f"{member.id:x}"
    return ",".join(f"{name}={url}" for url in member.peer_urls)

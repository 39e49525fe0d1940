"""Responsible for finding out who a node is that a running cluster was told of, from what its members say.

As in etcd: the cluster must have been told of the node first (`member add`), and what the node's
configuration says of the members must be what they say themselves. Then the node is the member that has its
peer URLs. It may be of the cluster's version, which is the lowest one of its members, or one minor newer.
Errors begin with etcd's words and end with what to do.

Of several answers the one counts that knows most of the log: a member may be behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zetcd.errors import CannotJoin
from zetcd.messages.cluster import Member
from zetcd.messages.node import MembersAnswer
from zetcd.scalars import NodeID
from zetcd.version import API_VERSION, minor_of


class Found(NamedTuple):
    """Who a node is."""

    cluster_id: int
    member_id: NodeID


def identify(
    answers: Sequence[MembersAnswer],
    name: str,
    initial_cluster: Mapping[str, tuple[str, ...]],
    version: str = API_VERSION,
) -> Found:
    """Return who the member called ``name`` of ``initial_cluster`` is.

    Args:
        answers: At least one.
        name: Of this node; one of ``initial_cluster``.
        initial_cluster: Peer URLs by name, as configured.
        version: Of the etcd API that this node serves.

    Raises:
        CannotJoin: the answers are of several clusters, not what is configured, or of a cluster of
            another version.
    """
    clusters = sorted({each.cluster_id for each in answers})
    if len(clusters) > 1:
        raise CannotJoin(
            "cluster ID mismatch: initial-cluster names members of several clusters: "
            + ", ".join(f"{each:x}" for each in clusters)
        )
    answer = max(answers, key=lambda each: each.applied_index)
    own_urls = frozenset(initial_cluster[name])
    reason = _difference(answer.members, tuple(map(frozenset, initial_cluster.values())))
    own = [each for each in answer.members if frozenset(each.peer_urls) == own_urls]
    if not own:
        urls = ",".join(sorted(own_urls))
        hint = f"Add this one first: zetcdctl member add {name} --peer-urls={urls}"
    else:
        hint = "initial-cluster must name exactly these members"
    if reason or not own:
        raise CannotJoin(f"error validating peerURLs {_shown(answer)}: {reason}. {hint}")
    _check_version(answers, version)
    return Found(answer.cluster_id, own[0].id)


def _difference(members: Sequence[Member], configured: Sequence[frozenset[str]]) -> str:
    """Return in etcd's words how a cluster is not what is configured; empty: it is."""
    if len(members) != len(configured):
        return "member count is unequal"
    for each in members:
        if frozenset(each.peer_urls) not in configured:
            urls = " ".join(each.peer_urls)
            return f"PeerURLs: no match found for existing member ({each.id:x}, [{urls}])"
    return ""


def _check_version(answers: Sequence[MembersAnswer], version: str) -> None:
    """Check that a node of ``version`` may be a member.

    Raises:
        CannotJoin: the cluster is newer, or older by more than one minor.
    """
    own = minor_of(version)
    assert own is not None
    said = sorted({each.version for each in answers if each.version})
    known = [minor for minor in map(minor_of, said) if minor is not None]
    fits = len(known) == len(said) and (own[0], own[1] - 1) <= min(known, default=own) <= own
    if not fits:
        raise CannotJoin(
            "incompatible with current running cluster: its members serve "
            f"{', '.join(said)}, this node {version}; it may be of the lowest of these "
            "versions or one minor newer"
        )


def _shown(answer: MembersAnswer) -> str:
    """Return a cluster as etcd shows it."""
    members = " ".join(map(_shown_member, answer.members))
    return f"{{ClusterID:{answer.cluster_id:x} Members:[{members}]}}"


def _shown_member(member: Member) -> str:
    return (
        f"&{{ID:{member.id:x} RaftAttributes:{{PeerURLs:[{' '.join(member.peer_urls)}] "
        f"IsLearner:{str(member.is_learner).lower()}}} Attributes:{{Name:{member.name} "
        f"ClientURLs:[{' '.join(member.client_urls)}]}}}}"
    )

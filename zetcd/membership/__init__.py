"""Who may become, stay and stop being a member: the rules of etcd's Cluster service; pure.

How it works
    A change of one member goes through the log (`zetcd.raft.membership`). Whether it may is decided
    once, by the leader, before it is proposed: some reasons depend on what only the leader sees, such as
    which members answer, and every member must come to the same result. `reconfiguration` holds
    those reasons, with etcd's errors.

        gateway ──ChangeMember──► raft of the leader ── check ──► the log ──► every apply
           ▲                              │ refused                               │
           └──── ChangeMemberRefused ◄────┘          MemberChanged, at the origin ┘

    The leader decides only while no earlier change is on its way, by a member table that holds all of
    them. So what it has found is still true when the entry is applied, and apply needs no error.

    `peer_table` says where the other members are reached, and whom not to listen to any more.
    `joining` says who a node is that a running cluster was told of.

Worked example
    >>> from zetcd.messages.cluster import Member
    >>> from zetcd.messages.raft import ConfChange, ConfChangeType
    >>> three = tuple(Member(each, f"node{each}") for each in (1, 2, 3))
    >>> standing = Standing(members=three, removed=(), leader=1, connected=frozenset({2}), matches={}, last_index=9)
    >>> rules = Rules(is_strict=True, learners_max=1)
    >>> check(ConfChange(ConfChangeType.REMOVE_NODE, 3), standing, rules)  # 3 is down
    >>> check(ConfChange(ConfChangeType.REMOVE_NODE, 2), standing, rules)
    Traceback (most recent call last):
        ...
    zetcd.errors.Unhealthy: etcdserver: unhealthy cluster (1 of 2 would be connected, 2 must be)

Not implemented
    Joint consensus, and turning a voter into a learner: etcd's API has neither.
"""

from zetcd.membership.joining import Found, identify
from zetcd.membership.peer_table import PeerTable
from zetcd.membership.reconfiguration import Rules, Standing, check

__all__ = ["Found", "PeerTable", "Rules", "Standing", "check", "identify"]

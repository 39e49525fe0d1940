"""Responsible for who is a member: changes of one member at a time, through the log (thesis §4).

A change takes effect on a member when its entry is *committed and handed to apply*, in log order,
rather than when it is appended as in the thesis. What keeps this safe:

* Two memberships that differ by one voter have no disjoint majorities (thesis §4.1, Figure 4.3).
* A leader proposes a change only after the one before it was committed and handed out, and after an
  entry of its own term was committed. So members differ by at most one change *from what is being
  committed*.
* Whoever has the entry of a newer change in its log knows, even after a restart, that the older
  one is committed: the message that brought the entry said so, and `persistence` writes the commit
  index together with it. And nobody campaigns before it has applied what it knows to be committed.

Apply executes the same entries and stores the membership; `next_conf_state` is the rule for both.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from zetcd.messages.codec import DECODE_ERRORS, decoder_of, encode
from zetcd.messages.raft import ConfChange, ConfChangeType, ConfState, EntryType, LogEntry
from zetcd.raft import read_only, replication
from zetcd.raft.ready import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zetcd.messages.cluster import Member
    from zetcd.raft.raft import Raft
    from zetcd.scalars import NodeID

#: ``decode_conf_change(bytes) -> ConfChange``.
decode_conf_change = decoder_of(ConfChange).decode


def bootstrap_entries(members: Sequence[Member]) -> tuple[LogEntry, ...]:
    """Return the entries that the log of a new cluster begins with, the same on every member.

    They are committed from the start: write them with ``HardState(term=1, vote=0, commit=count)``.

    Args:
        members: the initial members, in any order.
    """
    entries = []
    for index, member in enumerate(sorted(members, key=lambda member: member.id), 1):
        kind = ConfChangeType.ADD_LEARNER if member.is_learner else ConfChangeType.ADD_NODE
        change = ConfChange(kind, member.id, encode(member))
        entries.append(LogEntry(EntryType.CONF_CHANGE, 1, index, encode(change)))
    return tuple(entries)


def next_conf_state(conf: ConfState, change: ConfChange) -> ConfState:
    """Return the membership after ``change``.

    Total, so that every member comes to the same result whatever was proposed: what makes no sense
    (removing the last voter, turning a voter into a learner) changes nothing.
    """
    node = change.node_id
    voters = list(conf.voters)
    learners = list(conf.learners)
    if node == 0 or change.type == ConfChangeType.UPDATE_NODE:
        return conf
    if change.type == ConfChangeType.REMOVE_NODE:
        if voters == [node]:
            return conf
        return ConfState(_without(voters, node), _without(learners, node))
    if node in voters:
        return conf
    if change.type == ConfChangeType.ADD_NODE:
        insort(voters, node)
        return ConfState(tuple(voters), _without(learners, node))
    if node not in learners:
        insort(learners, node)
    return ConfState(conf.voters, tuple(learners))


def _without(nodes: list[NodeID], node: NodeID) -> tuple[NodeID, ...]:
    """Return ``nodes`` without ``node``."""
    return tuple(other for other in nodes if other != node)


def refusal(r: Raft, changes: Sequence[bytes]) -> Refusal | None:
    """Return why the leader cannot take these configuration changes, None if it can."""
    if len(changes) > 1 or r.pending_conf_index > r.log.applying:
        return Refusal.CONF_CHANGE_PENDING
    try:
        change = decode_conf_change(changes[0])
    except DECODE_ERRORS:
        return Refusal.CONF_CHANGE_INVALID
    if change.node_id == 0:
        return Refusal.CONF_CHANGE_INVALID
    is_last_voter = r.conf.voters == (change.node_id,)
    if is_last_voter and change.type == ConfChangeType.REMOVE_NODE:
        return Refusal.CONF_CHANGE_INVALID
    return None


def has_unapplied_change(r: Raft) -> bool:
    """Return whether a committed change was not handed out yet, or might not have been."""
    log = r.log
    low = log.applying + 1
    if low > log.committed:
        return False
    if low < log.tail.first_index:
        # Not in memory: assume the worst. Handing out goes on, so this does not last.
        return True
    entries = log.tail.slice(low, log.committed + 1)
    return any(entry.type == EntryType.CONF_CHANGE for entry in entries)


def apply_change(r: Raft, entry: LogEntry) -> None:
    """Let a committed change take effect, unless it is part of the membership already."""
    if entry.index <= r.conf_index:
        return
    # Those who leave learn that they did, and the others that it is committed, from this message
    # at the latest: afterwards the leader may be gone, or no longer talk to them. So it may not wait
    # for company, as other news of commits may.
    for progress in r.progress.values():
        progress.is_news_due = True
    replication.send_appends(r)
    r.conf_index = entry.index
    change = decode_conf_change(entry.data)
    switch_to(r, next_conf_state(r.conf, change))


def switch_to(r: Raft, conf: ConfState) -> None:
    """Make ``conf`` the membership."""
    if conf == r.conf:
        return
    r.conf = conf
    r.say(f"members are {_names(conf.voters)}, learners {_names(conf.learners)}")
    if not r.is_leader:
        return
    if not r.is_voter:
        # A leader that was removed has done its duty once the change is committed (thesis §4.2.2).
        r.become_follower(r.term, 0)
        return
    _follow_conf(r)


def _names(nodes: Sequence[NodeID]) -> str:
    """Return ids for a trace."""
    return "(" + " ".join(f"{node:x}" for node in nodes) + ")"


def _follow_conf(r: Raft) -> None:
    """Adapt the leader's bookkeeping to the new membership."""
    conf = r.conf
    old = r.progress
    r.progress = {}
    for peer in sorted((*conf.voters, *conf.learners)):
        if peer == r.node_id:
            continue
        is_learner = peer in conf.learners
        progress = old.get(peer)
        if progress is None:
            progress = r.new_progress(is_learner=is_learner)
            # It has had no chance yet to be heard: the next check of the quorum must not miss it.
            progress.recent_active = True
        progress.is_learner = is_learner
        r.progress[peer] = progress
    if r.transferee not in conf.voters:
        r.transferee = 0
    # The quorum may have become smaller, or the member that held it up may be gone.
    replication.maybe_commit(r)
    read_only.maybe_finish_round(r)

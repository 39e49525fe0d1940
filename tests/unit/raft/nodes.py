"""Builds single cores for unit tests, and short names for what they consume and return."""

from __future__ import annotations

from tests.datadriven.raft_cluster import FixedTimeouts
from zetcd.messages.node import Role
from zetcd.messages.raft import (
    Append,
    AppendResp,
    ConfState,
    EntryType,
    HardState,
    LogEntry,
    PeerMessage,
    SnapshotMetadata,
    VoteResp,
)
from zetcd.messages.storage import TermRun
from zetcd.raft.options import RaftOptions, RaftStart
from zetcd.raft.raw_node import RawNode
from zetcd.raft.ready import Ready

NORMAL = EntryType.NORMAL


def entry(index: int, term: int, data: bytes = b"") -> LogEntry:
    return LogEntry(NORMAL, term, index, data)


def entries(*terms: int, first: int = 1) -> tuple[LogEntry, ...]:
    """Return entries with these terms, from ``first`` on."""
    return tuple(entry(index, term) for index, term in enumerate(terms, first))


def start_of(
    *terms: int,
    term: int = 0,
    vote: int = 0,
    commit: int = 0,
    applied: int = 0,
    voters: tuple[int, ...] = (1, 2, 3),
    learners: tuple[int, ...] = (),
    snapshot: tuple[int, int] = (0, 0),
    tail: int | None = None,
) -> RaftStart:
    """Return what recovery finds: a log with these terms behind ``snapshot`` (index, term)."""
    index, snapshot_term = snapshot
    log = entries(*terms, first=index + 1)
    runs: list[TermRun] = []
    for one in log:
        if not runs or runs[-1].term != one.term:
            runs.append(TermRun(one.index, one.term))
    conf = ConfState(voters, learners)
    applied = max(applied, index)
    applied_term = snapshot_term
    if applied > index:
        applied_term = terms[applied - index - 1]
    return RaftStart(
        hard_state=HardState(term or (log[-1].term if log else snapshot_term), vote, commit),
        snapshot=SnapshotMetadata(index, snapshot_term, conf),
        last_index=index + len(log),
        term_runs=tuple(runs),
        tail=log if tail is None else log[len(log) - tail :],
        applied_index=applied,
        applied_term=applied_term,
        conf_state=conf,
    )


def node_of(start: RaftStart | None = None, *, node_id: int = 1, **options: int) -> RawNode:
    """Return a follower without pre-vote (unless asked for) that times out after ten ticks."""
    options = {"pre_vote": False, **options}
    return RawNode(
        RaftOptions(node_id=node_id, **options),  # type: ignore[arg-type]
        start or start_of(),
        FixedTimeouts(0),
    )


def persist(node: RawNode) -> list[PeerMessage]:
    """Run the node with an instant disk and apply; return what it sends."""
    sent: list[PeerMessage] = []
    while node.has_ready():
        ready = node.ready()
        sent += absorb(node, ready)
    node.check()
    return sent


def absorb(node: RawNode, ready: Ready) -> list[PeerMessage]:
    """Carry out one `Ready` at once; return what leaves the node."""
    sent = list(ready.messages)
    for response in ready.append.responses if ready.append else ():
        if response.to == node.node_id:
            node.step(response)
        else:
            sent.append(response)
    if ready.snapshot is not None:
        node.applied(ready.snapshot.index)
    if ready.apply is not None:
        node.applied(ready.apply.entries[-1].index)
    return sent


def leader_of(start: RaftStart | None = None, *, node_id: int = 1, **options: int) -> RawNode:
    """Return the leader of the next term, elected by everybody, with nothing left to say."""
    node = node_of(start, node_id=node_id, **options)
    node.campaign()
    persist(node)
    for voter in node.status().voters:
        if voter != node_id:
            node.step(VoteResp(voter, node_id, node.term))
    persist(node)
    assert node.is_leader
    return node


def follower_of(start: RaftStart | None = None, *, leader: int = 2, **options: int) -> RawNode:
    """Return a follower of ``leader`` in term 5, with nothing left to say."""
    node = node_of(start, **options)
    last = node.status().last_index
    term = node._raft.log.last_term
    node.step(Append(leader, 1, 5, last, term, 0))
    persist(node)
    return node


def acknowledge(node: RawNode, index: int, *peers: int) -> None:
    """Let ``peers`` say that they have everything up to ``index``."""
    for peer in peers:
        node.step(AppendResp(peer, node.node_id, node.term, index))


def role_of(node: RawNode) -> Role:
    """Return the role; a call, because a type checker takes a property for constant."""
    return node.role


def of_type(messages: list[PeerMessage] | tuple[PeerMessage, ...], kind: type) -> list[PeerMessage]:
    return [message for message in messages if isinstance(message, kind)]

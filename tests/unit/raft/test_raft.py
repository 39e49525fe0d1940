from collections.abc import Callable
from typing import get_args

import pytest

from tests.unit.raft.nodes import follower_of, leader_of, node_of, persist, start_of
from zetcd.messages.node import Role
from zetcd.messages.raft import (
    Append,
    AppendResp,
    ConfState,
    ForwardProposal,
    ForwardReadIndex,
    ForwardTransfer,
    Heartbeat,
    HeartbeatResp,
    InstallSnapshot,
    PeerMessage,
    PreVote,
    PreVoteResp,
    ReadIndexResp,
    SnapshotFailed,
    SnapshotMetadata,
    StorageAppendResp,
    TimeoutNow,
    Vote,
    VoteResp,
)
from zetcd.raft.options import RaftStart
from zetcd.raft.raft import HANDLERS
from zetcd.raft.raw_node import RawNode


def test_every_message_has_a_handler() -> None:
    """Dispatch is total over the union."""
    assert set(HANDLERS) == set(get_args(PeerMessage))


def every_message(term: int, sender: int = 2) -> list[PeerMessage]:
    snapshot = SnapshotMetadata(3, 1, ConfState((1, 2, 3)))
    return [
        PreVote(sender, 1, term, 0, 0),
        PreVoteResp(sender, 1, term),
        PreVoteResp(sender, 1, term, rejected=True),
        Vote(sender, 1, term, 0, 0),
        Vote(sender, 1, term, 9, 9, is_transfer=True),
        VoteResp(sender, 1, term),
        VoteResp(sender, 1, term, rejected=True),
        Append(sender, 1, term, 7, 7, 7),
        AppendResp(sender, 1, term, 7),
        AppendResp(sender, 1, term, 7, rejected=True, hint_index=3, hint_term=1),
        Heartbeat(sender, 1, term, 99, 5),
        HeartbeatResp(sender, 1, term, 5),
        InstallSnapshot(sender, 1, term, snapshot),
        TimeoutNow(sender, 1, term),
        ForwardProposal(sender, 1, term, ()),
        ForwardReadIndex(sender, 1, term, 1),
        ReadIndexResp(sender, 1, term, 1, 9),
        ForwardTransfer(sender, 1, term, 3),
        SnapshotFailed(sender, 1, term, 4),
        StorageAppendResp(sender, 1, term, 9, 9),
    ]


@pytest.mark.parametrize("build", [node_of, follower_of, leader_of])
@pytest.mark.parametrize("sender", [2, 77])
@pytest.mark.parametrize("delta", [-1, 0, 1])
def test_step_is_total(build: Callable[[RaftStart], RawNode], sender: int, delta: int) -> None:
    """Any message of any term, from members and strangers, leaves a consistent core."""
    for place in range(len(every_message(1))):
        node = build(start_of(term=3))
        message = every_message(node.term + delta, sender)[place]
        from_leader = isinstance(message, (Append, Heartbeat, InstallSnapshot))
        if node.is_leader and delta == 0 and from_leader:
            with pytest.raises(AssertionError, match="also leads"):
                node.step(message)
            continue
        node.step(message)
        node.check()
        persist(node)


def test_messages_for_others_are_ignored() -> None:
    """A misrouted message changes nothing."""
    node = node_of()
    node.step(Vote(2, 3, 9, 0, 0))
    assert node.term == 0


def test_newer_term_makes_a_follower() -> None:
    """Whatever the message, except those that only ask about a future term."""
    node = leader_of()
    term = node.term
    node.step(PreVoteResp(2, 1, term + 5))
    assert node.role is Role.LEADER
    node.step(HeartbeatResp(2, 1, term + 1))
    assert (node.role, node.term, node.leader) == (Role.FOLLOWER, term + 1, 0)


def test_terms_and_timeouts_are_drawn_anew() -> None:
    """Each change of role or term draws from ``[election_ticks, 2 * election_ticks)``."""
    drawn: list[tuple[int, int]] = []

    class Recording:
        def randint(self, a: int, b: int) -> int:
            drawn.append((a, b))
            return b

    node = RawNode(node_of()._raft.options, start_of(), Recording())
    node.step(Heartbeat(2, 1, 3, 0))
    assert drawn == [(10, 19)] * 2


def test_trace_reports_rare_events_only() -> None:
    """One line for each change, none for each message."""
    lines: list[str] = []
    node = node_of()
    node._raft.trace = lines.append
    for _ in range(3):
        node.step(Heartbeat(2, 1, 3, 0))
    assert lines == ["1 at term 3: became follower", "1 at term 3: leader is 2"]

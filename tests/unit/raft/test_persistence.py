from tests.unit.raft.nodes import (
    NORMAL,
    acknowledge,
    entries,
    follower_of,
    leader_of,
    node_of,
    of_type,
    persist,
)
from zetcd.messages.raft import (
    Append,
    AppendResp,
    HardState,
    Heartbeat,
    HeartbeatResp,
    PreVote,
    PreVoteResp,
    StorageAppendResp,
    Vote,
    VoteResp,
)


def test_vote_leaves_with_the_write() -> None:
    """Granted or refused, while the term is new."""
    node = node_of()
    node.step(Vote(2, 1, 4, 0, 0))
    node.step(Vote(3, 1, 4, 0, 0))
    ready = node.ready()
    assert ready.messages == ()
    assert ready.append is not None
    assert ready.append.hard_state == HardState(4, 2, 0)
    assert of_type(ready.append.responses, VoteResp) == [
        VoteResp(1, 2, 4),
        VoteResp(1, 3, 4, rejected=True),
    ]


def test_refusal_leaves_at_once_when_the_term_is_durable() -> None:
    """It promises nothing else."""
    node = node_of()
    node.step(Vote(2, 1, 4, 0, 0))
    persist(node)
    node.step(Vote(3, 1, 4, 0, 0))
    ready = node.ready()
    assert ready.messages == (VoteResp(1, 3, 4, rejected=True),)
    assert ready.append is None


def test_term_counts_as_durable_only_when_confirmed() -> None:
    """A second write under way does not make the first one durable."""
    node = node_of()
    node.step(Heartbeat(2, 1, 4, 0))
    first = node.ready().append
    assert first is not None
    node.step(Append(2, 1, 4, 5, 4, 0))
    refused = node.ready()
    assert refused.messages == ()
    assert refused.append is not None
    assert len(of_type(refused.append.responses, AppendResp)) == 1
    for response in first.responses:
        node.step(response)
    node.step(Append(2, 1, 4, 5, 4, 0))
    assert len(of_type(node.ready().messages, AppendResp)) == 1


def test_heartbeat_answers_do_not_wait() -> None:
    """Not even in a new term: the vote that would contradict it is durable first."""
    node = node_of()
    node.step(Heartbeat(2, 1, 4, 0))
    assert node.ready().messages == (HeartbeatResp(1, 2, 4, 0),)


def test_granted_pre_vote_does_not_wait() -> None:
    """It promises nothing and reveals nothing."""
    node = node_of()
    node.step(PreVote(2, 1, 4, 0, 0))
    assert node.ready().messages == (PreVoteResp(1, 2, 4),)


def test_accepted_append_waits_for_its_entries() -> None:
    """A repetition as well, until they are durable."""
    node = follower_of()
    message = Append(2, 1, 5, 0, 0, 0, entries(5))
    node.step(message)
    first = node.ready()
    assert first.messages == ()
    node.step(message)
    second = node.ready()
    assert second.messages == ()
    assert second.append is not None
    assert second.append.entries == ()
    assert second.append.responses == (AppendResp(1, 2, 5, 1),)
    assert first.append is not None
    for response in first.append.responses:
        if isinstance(response, StorageAppendResp):
            node.step(response)
    node.step(message)
    assert node.ready().messages == (AppendResp(1, 2, 5, 1),)


def test_commit_is_written_beside_entries_only() -> None:
    """It is no reason for a write of its own."""
    node = leader_of()
    acknowledge(node, 1, 2)
    ready = node.ready()
    assert node.committed == 1
    assert ready.append is None
    node.propose([(NORMAL, b"x")])
    append = node.ready().append
    assert append is not None
    assert append.hard_state == HardState(1, 1, 1)


def test_leader_counts_itself_when_its_disk_has_answered() -> None:
    """Two of three: one follower and itself."""
    node = leader_of()
    acknowledge(node, 1, 2)
    persist(node)
    node.propose([(NORMAL, b"x")])
    append = node.ready().append
    acknowledge(node, 2, 2)
    assert node.committed == 1
    assert append is not None
    for response in append.responses:
        node.step(response)
    assert node.committed == 2


def test_answer_of_an_older_term_moves_nothing() -> None:
    """The ABA race, see the scenario of that name."""
    node = follower_of()
    node.step(Append(2, 1, 5, 0, 0, 0, entries(5)))
    old = node.ready().append
    node.step(Heartbeat(3, 1, 6, 0))
    new = node.ready().append
    assert old is not None
    assert new is not None
    for response in of_type(old.responses, StorageAppendResp):
        node.step(response)
    assert node.status().durable_index == 0
    for response in of_type(new.responses, StorageAppendResp):
        node.step(response)
    assert node.status().durable_index == 1


def test_answers_nobody_asked_for_are_ignored() -> None:
    """A peer cannot make a write of this node durable."""
    node = follower_of()
    node.step(Append(2, 1, 5, 0, 0, 0, entries(5)))
    node.step(StorageAppendResp(2, 1, 5, 1, 5))
    node.step(StorageAppendResp(1, 1, 5, 1, 5))
    assert node.status().durable_index == 0
    node.check()


def test_a_leader_hands_over_one_write_a_tick_when_many_are_under_way() -> None:
    """Nothing waits for its disk alone. What a follower owes its leader is never held back."""
    node = leader_of(paced_messages_min=4)
    held = []
    for _ in range(10):
        node.propose([(NORMAL, b"x")])
        append = node.ready().append
        if append is not None:
            held.append(append)
    assert [len(append.entries) for append in held] == [1, 1, 1, 1]
    node.tick()
    append = node.ready().append
    assert append is not None
    assert len(append.entries) == 6
    for each in (*held, append):
        for response in each.responses:
            node.step(response)
    assert node.status().durable_index == node.status().last_index
    node.check()

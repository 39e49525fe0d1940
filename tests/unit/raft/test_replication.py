from tests.unit.raft.nodes import (
    NORMAL,
    acknowledge,
    entries,
    follower_of,
    leader_of,
    of_type,
    persist,
    start_of,
)
from zetcd.messages.raft import (
    Append,
    AppendResp,
    ConfState,
    ForwardProposal,
    Heartbeat,
    HeartbeatResp,
    InstallSnapshot,
    PeerMessage,
    SnapshotMetadata,
)
from zetcd.messages.storage import LogReadResp
from zetcd.raft.progress import ProgressState
from zetcd.raft.raw_node import RawNode


def streaming(*terms: int, **options: int) -> RawNode:
    """Return a leader in whose eyes both followers have the whole log."""
    node = leader_of(start_of(*terms), **options)
    acknowledge(node, node.status().last_index, 2, 3)
    persist(node)
    return node


def state_of(node: RawNode, peer: int) -> ProgressState:
    return node._raft.progress[peer].state


def test_new_leader_probes_with_its_first_entry() -> None:
    """One message for each peer, then it waits."""
    node = leader_of(start_of(1, 1))
    assert state_of(node, 2) is ProgressState.PROBE
    node.propose([(NORMAL, b"x")])
    assert of_type(persist(node), Append) == []


def test_streaming_does_not_wait_for_answers() -> None:
    """Each turn's entries leave at once, behind those before."""
    node = streaming()
    node.propose([(NORMAL, b"a")])
    first = of_type(persist(node), Append)
    node.propose([(NORMAL, b"b")])
    second = of_type(persist(node), Append)
    assert [message.to for message in first] == [2, 3]
    assert isinstance(second[0], Append)
    assert second[0].prev_index == 2
    assert len(second[0].entries) == 1


def test_a_turns_proposals_travel_together() -> None:
    """Two proposals, one message."""
    node = streaming()
    node.propose([(NORMAL, b"a")])
    node.propose([(NORMAL, b"b")])
    messages = of_type(persist(node), Append)
    assert len(messages) == 2
    assert all(isinstance(m, Append) and len(m.entries) == 2 for m in messages)


def test_commit_needs_a_majority_and_the_own_term() -> None:
    """An entry of an older term commits only with one of the leader's own."""
    node = leader_of(start_of(1, 1))
    acknowledge(node, 2, 2, 3)
    assert node.committed == 0
    acknowledge(node, 3, 2)
    assert node.committed == 3


def test_answers_beyond_the_log_are_ignored() -> None:
    """Nobody can have what does not exist."""
    node = leader_of()
    acknowledge(node, 99, 2, 3)
    assert node.committed == 0
    node.check()


def test_refusal_in_stream_goes_back_to_what_matches() -> None:
    """And probes from there."""
    node = streaming()
    node.propose([(NORMAL, b"a")])
    node.propose([(NORMAL, b"b")])
    persist(node)
    node.step(AppendResp(2, 1, node.term, 3, rejected=True, hint_index=1, hint_term=1))
    assert state_of(node, 2) is ProgressState.PROBE
    (message,) = of_type(persist(node), Append)
    assert isinstance(message, Append)
    assert (message.prev_index, len(message.entries)) == (1, 2)


def test_heartbeat_answer_sends_through_a_full_window() -> None:
    """An empty message finds out whether everything in the window was lost."""
    node = streaming(inflight_messages_max=1)
    for data in (b"a", b"b"):
        node.propose([(NORMAL, data)])
        persist(node)
    node.step(HeartbeatResp(2, 1, node.term))
    (message,) = of_type(persist(node), Append)
    assert isinstance(message, Append)
    assert (message.to, message.entries) == (2, ())


def test_unreachable_peer_is_probed() -> None:
    """A stream into the void stops."""
    node = streaming()
    node.report_unreachable(2)
    node.report_unreachable(99)
    assert state_of(node, 2) is ProgressState.PROBE
    assert state_of(node, 3) is ProgressState.REPLICATE


def compacted() -> RawNode:
    """Return a leader whose log begins behind index 3, and that has probed peer 2 at index 1."""
    node = leader_of(start_of(1, 1, 1, 1))
    acknowledge(node, 5, 3)
    persist(node)
    node.snapshot_available(SnapshotMetadata(4, 1, ConfState((1, 2, 3))))
    node.compact(3)
    refusal = AppendResp(2, 1, node.term, 4, rejected=True, hint_index=1, hint_term=1)
    node.step(refusal)
    return node


def test_snapshot_takes_the_place_of_compacted_entries() -> None:
    """The newest one, once; then nothing until it has arrived."""
    node = compacted()
    (message,) = of_type(persist(node), InstallSnapshot)
    assert isinstance(message, InstallSnapshot)
    assert message.snapshot.index == 4
    assert state_of(node, 2) is ProgressState.SNAPSHOT
    node.propose([(NORMAL, b"x")])
    assert all(m.to == 3 for m in persist(node))


def test_snapshot_reports() -> None:
    """Either way the peer is probed after its next sign of life."""
    for is_ok, next_index in ((True, 5), (False, 1)):
        node = compacted()
        persist(node)
        node.report_snapshot(2, is_ok=is_ok)
        node.report_snapshot(99, is_ok=is_ok)
        progress = node._raft.progress[2]
        assert (progress.state, progress.next_index) == (ProgressState.PROBE, next_index)
        assert persist(node) == []


def test_snapshot_answered_while_the_report_is_missing() -> None:
    """The answer is report enough."""
    node = compacted()
    persist(node)
    acknowledge(node, 4, 2)
    assert state_of(node, 2) is ProgressState.REPLICATE
    (message,) = of_type(persist(node), Append)
    assert isinstance(message, Append)
    assert message.prev_index == 4


def test_compaction_stops_at_the_snapshot() -> None:
    """What no snapshot covers stays."""
    node = compacted()
    node.compact(5)
    assert node.status().first_index == 5
    bare = leader_of(start_of(1, 1))
    acknowledge(bare, 3, 2)
    persist(bare)
    bare.compact(2)
    assert bare.status().first_index == 1


def far_behind() -> RawNode:
    """Return a leader without old entries in memory, and with a follower that needs index 1 on."""
    node = streaming(1, 1, 1, log_tail_bytes_max=0)
    progress = node._raft.progress[2]
    progress.match_index = 0
    progress.become_replicate()
    return node


def test_old_entries_are_read_from_disk() -> None:
    """One read at a time; the stream goes on behind it."""
    node = far_behind()
    ready = node.ready()
    (read,) = ready.log_reads
    assert (read.target, read.low) == (2, 1)
    assert not node.has_ready()
    node.log_read(LogReadResp(2, 1, entries(1, 1)))
    ready = node.ready()
    (message,) = of_type(ready.messages, Append)
    assert isinstance(message, Append)
    assert (message.prev_index, len(message.entries)) == (0, 2)
    assert [read.low for read in ready.log_reads] == [3]


def test_stale_reads_are_discarded() -> None:
    """Wrong place, wrong peer, other terms, nothing: never sent."""
    node = far_behind()
    node.ready()
    node.log_read(LogReadResp(2, 2, entries(1, first=2)))
    node.log_read(LogReadResp(9, 1, entries(1)))
    assert not node.has_ready()
    node.log_read(LogReadResp(2, 1, entries(7)))
    assert state_of(node, 2) is ProgressState.PROBE
    node = far_behind()
    node.ready()
    node.log_read(LogReadResp(2, 1, ()))
    assert state_of(node, 2) is ProgressState.PROBE


# --- deferred news of commits -----------------------------------------------------------------------


def appends(messages: list[PeerMessage]) -> list[Append]:
    """Return the appends among ``messages``."""
    return [message for message in messages if isinstance(message, Append)]


def news_after_commit(node: RawNode) -> list[int]:
    """Commit one more entry; return who is told of it at once."""
    node.propose([(NORMAL, b"a")])
    persist(node)
    index = node.status().last_index
    sent: list[Append] = []
    for peer in (2, 3):
        node.step(AppendResp(peer, 1, node.term, index))
        sent += appends(persist(node))
    assert node.committed == index
    return sorted(message.to for message in sent if message.commit == index)


def test_news_of_a_commit_leave_at_once_unless_deferred() -> None:
    """As etcd does it."""
    assert news_after_commit(streaming()) == [2, 3]
    assert news_after_commit(streaming(defers_news=True)) == []


def test_deferred_news_travel_with_the_next_entries() -> None:
    """No message of their own, neither then nor at the tick."""
    node = streaming(defers_news=True)
    news_after_commit(node)
    committed = node.committed
    node.propose([(NORMAL, b"b")])
    assert [m.commit for m in appends(persist(node))] == [committed, committed]
    node.tick()
    assert appends(persist(node)) == []


def test_deferred_news_leave_with_the_next_tick_once() -> None:
    """Nobody waits longer than a tick."""
    node = streaming(defers_news=True, heartbeat_ticks=5, election_ticks=50)
    news_after_commit(node)
    node.tick()
    told = appends(persist(node))
    assert [(m.to, m.commit, m.is_news) for m in told] == [
        (2, node.committed, True),
        (3, node.committed, True),
    ]
    node.tick()
    assert appends(persist(node)) == []
    assert news_after_commit(node) == []


def test_a_peer_whose_clients_watch_hears_news_at_once() -> None:
    """It says so in its answers to heartbeats, and when that is over."""
    node = streaming(defers_news=True)
    node.step(HeartbeatResp(3, 1, node.term, is_awaited=True))
    persist(node)
    assert news_after_commit(node) == [3]
    node.step(HeartbeatResp(3, 1, node.term))
    persist(node)
    assert news_after_commit(node) == []


def test_a_peer_hears_at_once_of_what_it_has_forwarded() -> None:
    """Its client waits for the answer, which comes from its own apply."""
    node = streaming(defers_news=True)
    node.step(ForwardProposal(2, 1, node.term, ((NORMAL, b"theirs"),)))
    persist(node)
    index = node.status().last_index
    node.step(AppendResp(3, 1, node.term, index))
    told = appends(persist(node))
    node.step(AppendResp(2, 1, node.term, index))
    told += appends(persist(node))
    assert [(m.to, m.commit) for m in told] == [(2, index)]
    assert news_after_commit(node) == []


def test_a_follower_says_in_its_heartbeats_whether_its_clients_watch() -> None:
    """Until told otherwise they do not."""
    node = follower_of()
    for is_awaited in (False, True, False):
        node.set_awaited(is_awaited=is_awaited)
        node.step(Heartbeat(2, 1, 5, 0))
        assert persist(node) == [HeartbeatResp(1, 2, 5, 0, is_awaited)]


def test_a_peer_that_leaves_much_unanswered_is_sent_one_message_a_tick() -> None:
    """Larger ones, so that the window holds seconds of a slow disk; others are sent everything at once."""
    node = streaming(paced_messages_min=7)
    sent: list[int] = []
    for _ in range(12):
        node.propose([(NORMAL, b"x")])
        messages = [each for each in of_type(persist(node), Append) if each.to == 3]
        sent += [len(each.entries) for each in messages if isinstance(each, Append)]
        acknowledge(node, node.status().last_index, 2)
    assert sent == [1] * 7
    node.tick()
    messages = [each for each in of_type(persist(node), Append) if each.to == 3]
    assert [len(each.entries) for each in messages if isinstance(each, Append)] == [5]


def test_a_peer_that_has_entries_in_memory_only_is_sent_what_follows() -> None:
    """It counts for nothing else: what commits is durable."""
    node = leader_of(start_of(1, 1))
    node.propose([(NORMAL, b"x")])
    persist(node)
    assert node.status().last_index == 4
    node.step(HeartbeatResp(3, 1, node.term, agreed_index=3))
    (message,) = of_type(persist(node), Append)
    assert isinstance(message, Append)
    assert (message.to, message.prev_index, len(message.entries)) == (3, 3, 1)
    peer = node.status().progress[1]
    assert (peer.node_id, peer.state, peer.match_index) == (3, ProgressState.REPLICATE, 0)
    assert node.committed == 0


def test_a_peer_that_lost_what_it_had_in_memory_is_probed_again() -> None:
    """Its refusal tells."""
    node = leader_of(start_of(1, 1))
    node.step(HeartbeatResp(3, 1, node.term, agreed_index=3))
    persist(node)
    node.step(AppendResp(3, 1, node.term, 3, rejected=True, hint_index=2, hint_term=1))
    assert state_of(node, 3) is ProgressState.PROBE
    (message,) = of_type(persist(node), Append)
    assert isinstance(message, Append)
    assert message.prev_index <= 2

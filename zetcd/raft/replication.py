"""Responsible for the leader's side of replication: entries, commit index and snapshots.

Inputs only change the state of a peer's `Progress`; the messages are made once a turn by
`send_appends`, so that everything that arrived in the turn travels together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.messages.raft import Append, InstallSnapshot, TimeoutNow
from zetcd.messages.storage import LogRead
from zetcd.raft import quorum, read_only
from zetcd.raft.log_tail import entries_bytes, limit_bytes
from zetcd.raft.progress import ProgressState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zetcd.messages.raft import (
        AppendResp,
        HeartbeatResp,
        LogEntry,
        SnapshotFailed,
        SnapshotMetadata,
    )
    from zetcd.messages.storage import LogReadResp
    from zetcd.raft.progress import Progress
    from zetcd.raft.raft import Raft
    from zetcd.scalars import Index, NodeID, Term


# --- sending ------------------------------------------------------------------------------------


def has_appends_to_send(r: Raft) -> bool:
    """Return whether `send_appends` would do anything."""
    return any(_wants_append(r, progress) for progress in r.progress.values())


def send_appends(r: Raft) -> None:
    """Send every peer what it lacks, as far as its flow control allows."""
    for peer, progress in r.progress.items():
        while _wants_append(r, progress):
            _send_append(r, peer, progress)


def _wants_append(r: Raft, progress: Progress) -> bool:
    """Return whether something is to be sent to a peer now."""
    if progress.log_read_low:
        return False
    state = progress.state
    if state is ProgressState.REPLICATE:
        if progress.must_send:
            return True
        log = r.log
        window = progress.inflights
        if progress.next_index <= log.last_index and not window.is_full:
            # A peer whose disk takes seconds is sent fewer and larger messages, one for each tick.
            return progress.is_turn_due or len(window) < r.options.paced_messages_min
        # News of a commit, unless it concerns only what was not sent yet and so will tell itself.
        sent = progress.sent_commit
        return (
            log.committed > sent
            and sent < progress.next_index - 1
            and (not r.options.defers_news or _is_news_urgent(progress))
        )
    return state is ProgressState.PROBE and not progress.is_probe_sent


def _is_news_urgent(progress: Progress) -> bool:
    """Return whether the news of a commit may not wait for company."""
    is_awaited = progress.is_awaited or progress.sent_commit < progress.awaited_index
    return is_awaited or progress.is_news_due


def tick(r: Raft) -> None:
    """Let deferred news of commits leave, and the message of this tick to a peer that is slow."""
    committed = r.log.committed
    for progress in r.progress.values():
        progress.is_turn_due = True
        progress.is_news_due = committed > progress.sent_commit


def _send_append(r: Raft, peer: NodeID, progress: Progress) -> None:
    """Send one `Append`, or start what has to come before it: a `LogRead`, a snapshot."""
    log = r.log
    prev_index = progress.next_index - 1
    prev_term = log.term_at(prev_index)
    if prev_term is None:
        _send_snapshot(r, peer, progress)
        return
    entries: Sequence[LogEntry] = ()
    if progress.next_index <= log.last_index and not progress.inflights.is_full:
        low = progress.next_index
        if low >= log.tail.first_index:
            entries = limit_bytes(
                log.tail.slice(low, log.last_index + 1), r.options.append_bytes_max
            )
        elif progress.state is ProgressState.REPLICATE and not progress.must_send:
            high = log.tail.first_index
            progress.log_read_low = low
            r.log_reads.append(LogRead(peer, low, high, r.options.append_bytes_max))
            return
        # Else a probe without entries: reading the disk can wait until the logs are known to agree.
    _emit_append(r, peer, progress, prev_term, entries)


def _emit_append(
    r: Raft, peer: NodeID, progress: Progress, prev_term: Term, entries: Sequence[LogEntry]
) -> None:
    """Send ``entries``, which begin at ``progress.next_index``, and account for them."""
    prev_index = progress.next_index - 1
    commit = r.log.committed
    is_replicating = progress.state is ProgressState.REPLICATE
    is_news = is_replicating and not entries and not progress.must_send
    r.messages.append(
        Append(r.node_id, peer, r.term, prev_index, prev_term, commit, tuple(entries), is_news)
    )
    progress.must_send = False
    progress.is_news_due = False
    progress.sent_commit = max(progress.sent_commit, commit)
    if progress.state is ProgressState.PROBE:
        progress.is_probe_sent = True
    elif entries:
        last_index = entries[-1].index
        progress.inflights.add(last_index, entries_bytes(entries))
        progress.is_turn_due = False
        progress.next_index = last_index + 1


def _send_snapshot(r: Raft, peer: NodeID, progress: Progress) -> None:
    """Offer the newest snapshot to a peer that needs compacted entries (Raft §7)."""
    snapshot = r.snapshot
    # Not to a peer that is silent: it could not take it, and would be deaf to entries meanwhile.
    if snapshot is None or snapshot.index < r.log.snapshot_index or not progress.recent_active:
        if progress.state is ProgressState.REPLICATE:
            progress.become_probe()
        progress.is_probe_sent = True
        return
    _offer(r, peer, progress, snapshot)


def _offer(r: Raft, peer: NodeID, progress: Progress, snapshot: SnapshotMetadata) -> None:
    progress.become_snapshot(snapshot.index)
    progress.hold(snapshot)
    r.messages.append(InstallSnapshot(r.node_id, peer, r.term, snapshot))
    r.say(f"sends snapshot at index {snapshot.index} to {peer:x}")


def offer_snapshots_again(r: Raft) -> None:
    """Offer a snapshot again to every peer that still waits for one and is there.

    It may have lost the offer, or the bytes, in a crash. The same one, as long as the log goes on from
    there: the peer may be about to have it, and would have to begin anew.
    """
    for peer, progress in r.progress.items():
        if progress.state is not ProgressState.SNAPSHOT or not progress.recent_active:
            continue
        offered = progress.offered
        if offered is not None and offered.index >= r.log.snapshot_index:
            _offer(r, peer, progress, offered)
        else:
            _send_snapshot(r, peer, progress)


def handle_snapshot_failed(r: Raft, m: SnapshotFailed) -> None:
    """Offer a newer snapshot, if there is one: that one is gone, or damaged on the own disk."""
    progress = r.progress.get(m.sender)
    if progress is None:
        return
    progress.recent_active = True
    # Else the next offer is soon enough: there is only this one.
    is_newer = r.snapshot is not None and r.snapshot.index > m.index
    if progress.pending_snapshot == m.index and is_newer:
        _send_snapshot(r, m.sender, progress)


# --- answers ------------------------------------------------------------------------------------


def handle_append_resp(r: Raft, m: AppendResp) -> None:
    """Learn how far a peer's log agrees with ours, durably."""
    progress = r.progress.get(m.sender)
    if progress is None or m.index > r.log.last_index:
        return
    progress.recent_active = True
    if m.rejected:
        _step_back(r, m, progress)
        return
    if not progress.maybe_update(m.index) and not (
        # In PROBE even an old answer shows that the peer hears us and where the logs agree.
        progress.state is ProgressState.PROBE and m.index == progress.match_index
    ):
        return
    if progress.state is ProgressState.REPLICATE:
        progress.inflights.free_le(m.index)
    elif progress.state is ProgressState.PROBE or m.index + 1 >= r.log.first_index:
        # Out of SNAPSHOT as soon as the log can take over, whichever way the peer got so far.
        progress.become_replicate()
    maybe_commit(r)
    if m.sender == r.transferee:
        send_timeout_now_if_ready(r)


def _step_back(r: Raft, m: AppendResp, progress: Progress) -> None:
    """Find an earlier place where the peer's log may agree, skipping whole terms (Raft §5.3).

    The peer has sent the last of its entries whose term is not above ours at the refused place. If
    our entry there has a newer term, everything of ours down to that term cannot agree either::

        index          1 2 3 4 5 6 7 8 9
        leader, terms  1 3 3 3 5 5 5 5 5     refused: 9; hint: index 6, term 2
        peer, terms    1 1 1 1 2 2           next probe: index 1, the last of ours with term <= 2
    """
    probe_index: Index = m.hint_index
    if m.hint_term > 0:
        probe_index, _ = r.log.find_conflict_by_term(m.hint_index, m.hint_term)
    if progress.maybe_decrease_to(m.index, probe_index) and (
        progress.state is ProgressState.REPLICATE
    ):
        progress.become_probe()


def handle_heartbeat_resp(r: Raft, m: HeartbeatResp) -> None:
    """Learn that a peer is there, and that it took us for the leader when it answered."""
    progress = r.progress.get(m.sender)
    if progress is None:
        return
    progress.recent_active = True
    progress.is_awaited = m.is_awaited
    progress.is_fit = m.is_fit
    progress.is_probe_sent = False
    if progress.state is ProgressState.PROBE and progress.next_index <= m.agreed_index:
        # Its disk takes its time with the answer; if it loses this in a crash, it will refuse.
        progress.become_replicate()
        progress.next_index = min(m.agreed_index, r.log.last_index) + 1
    # Entries, or their answers, may have been lost, even all that fill the window.
    if progress.state is ProgressState.REPLICATE and progress.match_index < r.log.last_index:
        progress.must_send = True
    if m.read_context:
        read_only.note_acknowledged(r, m.sender, m.read_context)


def maybe_commit(r: Raft) -> bool:
    """Commit what a majority has on disk, this member included once its own disk has it.

    Only an entry of the own term commits by counting; older ones commit with it (Raft §5.4.2).
    """
    log = r.log
    indexes = [
        r.progress[voter].match_index if voter != r.node_id else log.durable
        for voter in r.conf.voters
    ]
    index = quorum.committed_index(indexes)
    if index <= log.committed or log.term_at(index) != r.term:
        return False
    return log.commit_to(index)


def handle_log_read(r: Raft, response: LogReadResp) -> None:
    """Send a peer the old entries that the wal has read for it."""
    progress = r.progress.get(response.target)
    if progress is None or progress.log_read_low != response.low:
        return
    progress.log_read_low = 0
    if progress.state is not ProgressState.REPLICATE or progress.next_index != response.low:
        return
    prev_term = r.log.term_at(response.low - 1)
    entries = response.entries
    if not entries or prev_term is None or not r.log.agrees_with(entries):
        # Compacted, or overwritten, before it was read: start again from what is known.
        progress.become_probe()
        return
    _emit_append(r, response.target, progress, prev_term, entries)


# --- reports of the actor -----------------------------------------------------------------------


def report_unreachable(r: Raft, peer: NodeID) -> None:
    """Stop streaming to ``peer``: what was sent last is probably lost."""
    progress = r.progress.get(peer)
    if progress is not None and progress.state is ProgressState.REPLICATE:
        progress.become_probe()


def report_snapshot(r: Raft, peer: NodeID, *, is_ok: bool) -> None:
    """Leave SNAPSHOT: the transfer has ended, and the next answer tells where the peer is."""
    progress = r.progress.get(peer)
    if progress is None or progress.state is not ProgressState.SNAPSHOT:
        return
    if not is_ok:
        progress.pending_snapshot = 0
    progress.become_probe()
    # One heartbeat later: the peer may still be loading what it has received.
    progress.is_probe_sent = True
    r.say(f"snapshot for {peer:x} " + ("arrived" if is_ok else "failed"))


def note_snapshot(r: Raft, snapshot: SnapshotMetadata) -> None:
    """Remember the newest snapshot that can be sent."""
    if r.snapshot is None or snapshot.index > r.snapshot.index:
        assert snapshot.index <= r.log.applying, "a snapshot holds what was applied"
        r.snapshot = snapshot


def compact_log(r: Raft, index: Index) -> Index:
    """Forget the log up to ``index``, as far as a snapshot can take its place; return how far."""
    covered = r.snapshot.index if r.snapshot is not None else 0
    return r.log.compact(min(index, covered))


# --- handing over -------------------------------------------------------------------------------


def send_timeout_now_if_ready(r: Raft) -> None:
    """Tell the transferee to campaign once its log is complete (thesis §3.10)."""
    progress = r.progress[r.transferee]
    if progress.match_index == r.log.last_index:
        r.messages.append(TimeoutNow(r.node_id, r.transferee, r.term))
        r.say(f"sends TimeoutNow to {r.transferee:x}")

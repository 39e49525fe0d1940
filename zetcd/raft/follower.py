"""Responsible for what a follower does at its leader's word: append, commit, install a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.messages.node import Role
from zetcd.messages.raft import AppendResp, HeartbeatResp, SnapshotFailed
from zetcd.raft import fitness, membership, persistence

if TYPE_CHECKING:
    from zetcd.messages.raft import Append, Heartbeat, InstallSnapshot, SnapshotMetadata
    from zetcd.raft.raft import Raft
    from zetcd.scalars import Index


def _acknowledge_leader(r: Raft, m: Append | Heartbeat | InstallSnapshot) -> None:
    """Follow the sender, which leads this term: a candidate has lost (Raft §5.2)."""
    # Two leaders in one term would mean that consensus is broken, for example because a member's
    # data directory was copied: going on could only spread the damage.
    assert r.role is not Role.LEADER, f"{m.sender:x} also leads term {m.term}"
    r.become_follower(m.term, m.sender)
    r.election_elapsed = 0


def handle_append(r: Raft, m: Append) -> None:
    """Make the log agree with the leader's, or say where it may (Raft §5.3)."""
    _acknowledge_leader(r, m)
    log = r.log
    if m.prev_index < log.committed:
        # An old message; everything up to the commit index agrees for certain.
        _accept(r, m, log.committed)
        return
    last_new = log.try_merge(m.prev_index, m.prev_term, m.entries)
    if last_new is None:
        # The last of our entries that could agree, so that the leader skips the whole term.
        hint_index, hint_term = log.find_conflict_by_term(m.prev_index, m.prev_term)
        refusal = AppendResp(
            r.node_id, m.sender, r.term, m.prev_index, rejected=True,
            hint_index=hint_index, hint_term=hint_term,
        )  # fmt: skip
        persistence.send_answer(r, refusal)
        return
    # Not beyond last_new: what follows it in our log need not be the leader's.
    log.commit_to(min(m.commit, last_new))
    log.agreed = max(log.agreed, last_new)
    _accept(r, m, last_new)


def _accept(r: Raft, m: Append, index: Index) -> None:
    """Answer that the logs agree up to ``index``, once that is durable; mere news wants no answer."""
    if not m.is_news:
        persistence.send_accepted(r, AppendResp(r.node_id, m.sender, r.term, index))


def handle_heartbeat(r: Raft, m: Heartbeat) -> None:
    """Note that the leader is there, and answer without waiting for the disk."""
    _acknowledge_leader(r, m)
    if m.commit > r.log.last_index:
        # The leader counts on entries that this disk acknowledged and has lost.
        r.lost_index = m.commit
        r.say(f"lacks entries up to {m.commit} that it had acknowledged: the log was lost")
    else:
        r.log.commit_to(m.commit)
        r.read_only.has_heard_leader = True
    # What the disk does not have yet is answered later. Till then a leader that has just come to
    # office would take us for one that it does not know, and send no further.
    agreed_index = r.log.agreed if r.log.agreed > r.log.durable else 0
    is_fit = fitness.is_fit(r)
    r.messages.append(
        HeartbeatResp(
            r.node_id, m.sender, r.term, m.read_context, r.is_awaited, is_fit, agreed_index
        )
    )


def handle_install_snapshot(r: Raft, m: InstallSnapshot) -> None:
    """Begin the log anew with a snapshot, unless the log has it already (Raft §7).

    The bytes of the snapshot must be at hand, durably, when this is called.
    """
    _acknowledge_leader(r, m)
    log = r.log
    if needs_snapshot(r, m.snapshot):
        _restore(r, m)
    elif m.snapshot.index > log.committed:
        # The entries are here, so only the news that they are committed is new.
        log.commit_to(m.snapshot.index)
    persistence.send_accepted(r, AppendResp(r.node_id, m.sender, r.term, log.committed))


def refuse_snapshot(r: Raft, offer: InstallSnapshot) -> None:
    """Tell the leader that its snapshot could not be had, or is damaged; it may have a newer one."""
    if r.leader == offer.sender:
        r.messages.append(SnapshotFailed(r.node_id, r.leader, r.term, offer.snapshot.index))


def needs_snapshot(r: Raft, snapshot: SnapshotMetadata) -> bool:
    """Whether the log cannot do without ``snapshot``."""
    log = r.log
    return snapshot.index > log.committed and log.term_at(snapshot.index) != snapshot.term


def _restore(r: Raft, m: InstallSnapshot) -> None:
    """Replace log, membership and (through apply) the state machine by the snapshot."""
    snapshot = m.snapshot
    r.log.restore(snapshot)
    r.persistence.snapshot = snapshot
    r.persistence.snapshot_index = snapshot.index
    r.snapshot = snapshot
    if r.log.applied < snapshot.index:
        r.applying.snapshot_to_load = snapshot
        r.applying.forget_read()
    if r.conf_index < snapshot.index:
        r.conf_index = snapshot.index
        membership.switch_to(r, snapshot.conf_state)
    r.say(f"restored snapshot at index {snapshot.index}")

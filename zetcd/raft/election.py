"""Responsible for how leaders come and go: campaigns, votes, check-quorum, leadership transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.messages.node import Role
from zetcd.messages.raft import (
    EntryType,
    ForwardTransfer,
    PreVote,
    PreVoteResp,
    Vote,
    VoteResp,
)
from zetcd.raft import fitness, log_hold, membership, persistence, proposal, quorum, replication
from zetcd.raft.quorum import VoteResult

if TYPE_CHECKING:
    from zetcd.messages.raft import TimeoutNow
    from zetcd.raft.raft import Raft
    from zetcd.scalars import Index, NodeID, Term


# --- campaigning --------------------------------------------------------------------------------


def may_campaign(r: Raft) -> bool:
    """Return whether this member may try to become leader."""
    return (
        r.role is not Role.LEADER
        and r.is_voter
        # A log that begins with a snapshot which is not on disk yet is not there.
        and r.persistence.snapshot_index == 0
        # The quorum to win is not known as long as the log holds a newer membership.
        and not membership.has_unapplied_change(r)
    )


def awaits_own_vote(r: Raft) -> bool:
    """Return whether this candidate's vote for itself is still on its way to the disk.

    Nobody was asked yet. To begin anew would queue another write, for a term whose vote would be
    void again by the time it is durable: a disk slower than the timeout would never elect anybody.
    """
    return r.role is Role.CANDIDATE and r.node_id not in r.votes


def _own_vote_is_durable(r: Raft) -> None:
    """Give the voters as long as the own disk has taken, and a timeout beyond it, to answer.

    Their disks may be as slow. Were the timeout to run out before a vote can be durable anywhere, each
    election would be overtaken by the next one. Nor does a member campaign that has given a vote which
    is not durable yet (`persistence.Persistence.is_state_durable`): it would take it back by doing so.
    """
    r.election_elapsed = -r.election_elapsed


def _leave_to_better_log(r: Raft) -> None:
    """Wait a timeout longer before the next campaign: another member has the better log.

    It may need the vote that this one would give to itself by campaigning first. Without pre-vote, two
    whose memberships differ, so that one does not even ask the other, went on like that until their
    timeouts fell well. And without an entry that is committed this log cannot win at all (Raft §5.4.1).
    As in openraft (`smaller_log_timeout`); for etcd's raft it was proposed (etcd-io/raft#169). With
    pre-vote (thesis §9.6) only who could win raises the term, so that a refused pre-vote changes nothing.

    The other may be lost, or not be heard by enough voters. A rank among candidates must not keep the rest
    from trying (why Raft §5.2 has none), so this ends with the next campaign, or with the term.
    """
    if r.leader == 0:
        r.deference = r.options.election_ticks


def campaign_by_timeout(r: Raft) -> None:
    """Start an election because no leader was heard (Raft §5.2)."""
    if not may_campaign(r):
        return
    if r.options.pre_vote:
        _ask_for_pre_votes(r)
    else:
        _ask_for_votes(r, is_transfer=False)


def _ask_for_pre_votes(r: Raft) -> None:
    """Find out whether an election could be won, without disturbing anybody (thesis §9.6)."""
    r.become_pre_candidate()
    for voter in r.conf.voters:
        if voter != r.node_id:
            r.messages.append(
                PreVote(r.node_id, voter, r.term + 1, r.log.last_index, r.log.last_term)
            )
    # The own answer changes nothing on disk, so it counts at once.
    _count_pre_vote(r, r.node_id, is_granted=True)


def _ask_for_votes(r: Raft, *, is_transfer: bool) -> None:
    """Enter the next term as candidate and ask for votes (Raft §5.2)."""
    r.become_candidate()
    # Term and own vote first have to be durable: the own vote counts, and the requests leave, only
    # then. See `persistence`, rules 1 and 2.
    persistence.send_when_durable(r, VoteResp(r.node_id, r.node_id, r.term))
    for voter in r.conf.voters:
        if voter != r.node_id:
            request = Vote(r.node_id, voter, r.term, r.log.last_index, r.log.last_term, is_transfer)
            persistence.send_when_durable(r, request)


# --- voting -------------------------------------------------------------------------------------


def is_protected_by_lease(r: Raft, m: Vote | PreVote) -> bool:
    """Return whether to ignore a candidate because a leader was heard lately (thesis §4.2.3).

    Keeps a member that was removed, or cut off for a while, from deposing a leader that works. The
    candidate of a leadership transfer has that leader's consent.
    """
    return (
        r.options.check_quorum
        and r.leader != 0
        and r.election_elapsed < r.options.election_ticks
        and not (isinstance(m, Vote) and m.is_transfer)
    )


def handle_vote(r: Raft, m: Vote) -> None:
    """Give or refuse the one vote of this term (Raft §5.2, §5.4.1)."""
    # A learner votes as well if asked: it may have been promoted and not know it yet.
    is_free = r.vote == m.sender or (r.vote == 0 and r.leader == 0)
    if is_free and r.log.is_up_to_date(m.last_index, m.last_term):
        r.vote = m.sender
        r.election_elapsed = 0
        persistence.send_when_durable(r, VoteResp(r.node_id, m.sender, r.term))
    else:
        persistence.send_answer(r, refuse_vote(r, m))


def refuse_vote(r: Raft, m: Vote) -> VoteResp:
    """Return the answer that refuses ``m``, whose sender comes first next time if its log is better."""
    if (m.last_term, m.last_index) > (r.log.last_term, r.log.last_index):
        _leave_to_better_log(r)
    return VoteResp(r.node_id, m.sender, r.term, True, *_committed(r))


def handle_pre_vote(r: Raft, m: PreVote) -> None:
    """Say whether a vote would be given at the asked term; promises nothing (thesis §9.6)."""
    is_free = m.term > r.term or r.vote == m.sender or (r.vote == 0 and r.leader == 0)
    if is_free and r.log.is_up_to_date(m.last_index, m.last_term):
        r.messages.append(PreVoteResp(r.node_id, m.sender, m.term))
    else:
        persistence.send_answer(r, refuse_pre_vote(r, m))


def refuse_pre_vote(r: Raft, m: PreVote) -> PreVoteResp:
    """Return the answer that refuses ``m``."""
    return PreVoteResp(r.node_id, m.sender, r.term, True, *_committed(r))


def _committed(r: Raft) -> tuple[Index, Term]:
    """Return the newest entry known to be committed, as a refusal names it."""
    index = r.log.committed
    return index, r.log.term_at(index) or 0


def _learn_commit(r: Raft, m: PreVoteResp | VoteResp) -> None:
    """Take from a refusal what is committed, if the log has that very entry (log matching, Raft §5.3).

    Of two voters one may have been removed, and know it; it is not to lead any more. If its log is the
    longer one, the other cannot win before it has heard that the removal is committed, and there is no
    leader to tell it. As raft-rs does; etcd's raft is stuck there.
    """
    log = r.log
    if r.role is Role.LEADER or m.commit <= log.committed:
        return
    if log.term_at(m.commit) != m.commit_term:
        # Who asks for pre-votes raises no term, and is in nobody's way.
        if isinstance(m, VoteResp):
            _leave_to_better_log(r)
        return
    log.commit_to(m.commit)
    if r.role is not Role.FOLLOWER and membership.has_unapplied_change(r):
        # The quorum that was asked is not the one to win any more.
        r.become_follower(r.term, 0)


def handle_pre_vote_resp(r: Raft, m: PreVoteResp) -> None:
    """Count an answer to `PreVote`."""
    _learn_commit(r, m)
    if r.role is not Role.PRE_CANDIDATE:
        return
    # An answer to an earlier question says nothing about this one.
    if m.rejected or m.term == r.term + 1:
        _count_pre_vote(r, m.sender, is_granted=not m.rejected)


def _count_pre_vote(r: Raft, voter: NodeID, *, is_granted: bool) -> None:
    """Count one answer and campaign, or give up, if it decides."""
    r.votes.setdefault(voter, is_granted)
    result = quorum.vote_result(r.conf.voters, r.votes)
    if result is VoteResult.WON:
        _ask_for_votes(r, is_transfer=False)
    elif result is VoteResult.LOST:
        r.become_follower(r.term, 0)


def handle_vote_resp(r: Raft, m: VoteResp) -> None:
    """Count an answer to `Vote`; a majority makes a leader (Raft §5.2)."""
    _learn_commit(r, m)
    if r.role is not Role.CANDIDATE:
        return
    if m.sender == r.node_id:
        _own_vote_is_durable(r)
    r.votes.setdefault(m.sender, not m.rejected)
    result = quorum.vote_result(r.conf.voters, r.votes)
    if result is VoteResult.WON:
        _lead(r)
    elif result is VoteResult.LOST:
        r.become_follower(r.term, 0)


def _lead(r: Raft) -> None:
    """Take office: an empty entry of the new term commits all before it (Raft §5.4.2, §8)."""
    r.become_leader()
    # By then every peer has said whether it is fit.
    r.fitness.next_try = r.fitness.now + r.options.election_ticks
    proposal.append_entries(r, ((EntryType.NORMAL, b""),))
    # Not before that entry is committed may the membership change (thesis §4.1, and its
    # correction), and an unapplied change may lie anywhere before it.
    r.pending_conf_index = r.log.last_index


# --- staying and leaving ------------------------------------------------------------------------


def tick_leader_period(r: Raft) -> None:
    """Once every election timeout: check the quorum, repeat what was not answered, end transfers."""
    replication.offer_snapshots_again(r)
    log_hold.review(r)
    if r.options.check_quorum and not _hears_quorum(r):
        # Clients are better served by "no leader" than by a leader that cannot commit (thesis
        # §6.2).
        r.say("hears no quorum")
        r.become_follower(r.term, 0)
        return
    if r.transferee:
        r.say(f"gave up the transfer to {r.transferee:x}")
        r.transferee = 0


def _hears_quorum(r: Raft) -> bool:
    """Return whether a majority was heard since the last call."""
    active = {r.node_id}
    for peer, progress in r.progress.items():
        if progress.recent_active:
            active.add(peer)
        progress.recent_active = False
    return quorum.has_majority(r.conf.voters, active)


def request_transfer(r: Raft, target: NodeID) -> None:
    """Hand leadership to ``target``, or pass the request on to the leader."""
    if r.is_leader:
        _start_transfer(r, target)
    elif r.leader:
        r.messages.append(ForwardTransfer(r.node_id, r.leader, r.term, target))


def handle_forward_transfer(r: Raft, m: ForwardTransfer) -> None:
    """Take a transfer request that another member passes on."""
    if r.is_leader:
        _start_transfer(r, m.transferee)


def _start_transfer(r: Raft, target: NodeID) -> None:
    """Stop taking proposals, bring ``target`` up to date and make it campaign (thesis §3.10)."""
    target = target or _best_successor(r)
    progress = r.progress.get(target)
    if progress is None or progress.is_learner or target == r.transferee:
        return
    r.say(f"hands over to {target:x}")
    r.transferee = target
    # The transfer has one election timeout from now.
    r.election_elapsed = 0
    replication.send_timeout_now_if_ready(r)


def _best_successor(r: Raft) -> NodeID:
    """Return the voter that is there, if possible fit, and has most of the log; 0 if there is none."""
    candidates = [
        (progress.is_fit, progress.match_index, -peer)
        for peer, progress in r.progress.items()
        if progress.recent_active and not progress.is_learner
    ]
    return -max(candidates)[2] if candidates else 0


def hand_over_if_unfit(r: Raft) -> None:
    """Hand over if this leader is not fit to lead, and another voter is; see `fitness`.

    Not within the first election timeout in office, and not again within two: while a transfer is
    under way proposals are refused.
    """
    if r.transferee or r.fitness.now < r.fitness.next_try or fitness.is_fit(r):
        return
    target = _best_successor(r)
    if target and r.progress[target].is_fit:
        r.fitness.next_try = r.fitness.now + 2 * r.options.election_ticks
        r.say("is not fit to lead")
        _start_transfer(r, target)


def handle_timeout_now(r: Raft, m: TimeoutNow) -> None:
    """Campaign at once, on behalf of the leader (thesis §3.10)."""
    if r.role is Role.FOLLOWER and m.sender != r.node_id and may_campaign(r):
        _ask_for_votes(r, is_transfer=True)

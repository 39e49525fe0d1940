"""Planted bugs: elections, replication, commit, membership."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Edit, Mutant, NamedTests, Seeds

_ELECTION: Final = "zetcd/raft/election.py"
_FOLLOWER: Final = "zetcd/raft/follower.py"
_LOG: Final = "zetcd/raft/log.py"
_MEMBERSHIP: Final = "zetcd/raft/membership.py"
_PERSISTENCE: Final = "zetcd/raft/persistence.py"
_QUORUM: Final = "zetcd/raft/quorum.py"
_REPLICATION: Final = "zetcd/raft/replication.py"

CONSENSUS: Final = (
    Mutant(
        "commit without quorum",
        "the furthest member alone decides what is committed",
        (
            Edit(
                _QUORUM,
                "return match_indexes[len(match_indexes) - majority(len(match_indexes))]",
                "return match_indexes[-1]",
            ),
        ),
    ),
    Mutant(
        "elected without majority",
        "one vote less than a majority makes a leader",
        (Edit(_QUORUM, "if granted >= needed:", "if granted >= max(1, needed - 1):"),),
    ),
    Mutant(
        "two votes in a term",
        "a vote is given without looking whether it was given already",
        (
            Edit(
                _ELECTION,
                "is_free = r.vote == m.sender or (r.vote == 0 and r.leader == 0)\n"
                "    if is_free and r.log.is_up_to_date(m.last_index, m.last_term):\n"
                "        r.vote = m.sender",
                "is_free = True\n"
                "    if is_free and r.log.is_up_to_date(m.last_index, m.last_term):\n"
                "        r.vote = m.sender",
            ),
        ),
    ),
    Mutant(
        "vote for a worse log",
        "the length of the log is compared and its last term is not",
        (
            Edit(
                _LOG,
                "        if last_term != self.last_term:\n"
                "            return last_term > self.last_term\n",
                "",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_raft.py",),
            "one of several hundred clusters",
        ),
    ),
    Mutant(
        "silent leader protected",
        "a member that may not campaign refuses to vote although it has not heard the leader",
        (
            Edit(
                "zetcd/raft/raft.py",
                "        if r.role is Role.FOLLOWER:\n",
                "        if r.role is Role.PRE_CANDIDATE:\n",
            ),
        ),
        NamedTests(
            ("tests/unit/raft/test_election.py",),
            "stalls a cluster only if the one vote that is missing is a new member's",
        ),
    ),
    Mutant(
        "better log not waited for",
        "a member that has refused a better log, or lacks what is committed, campaigns as soon as ever",
        (Edit(_ELECTION, "r.deference = r.options.election_ticks", "r.deference = 0"),),
        NamedTests(
            ("tests/datadriven/test_raft.py",),
            "delays elections by luck only: few seeds show it",
        ),
    ),
    Mutant(
        "vote not durable",
        "a vote leaves before it is on the disk",
        (
            Edit(
                _ELECTION,
                "        r.election_elapsed = 0\n"
                "        persistence.send_when_durable(r, VoteResp(r.node_id, m.sender, r.term))",
                "        r.election_elapsed = 0\n"
                "        r.messages.append(VoteResp(r.node_id, m.sender, r.term))",
            ),
        ),
    ),
    Mutant(
        "vote not written",
        "a vote in the current term changes nothing that is written",
        (
            Edit(
                _PERSISTENCE,
                "return handed.term != r.term or handed.vote != r.vote",
                "return handed.term != r.term",
            ),
        ),
    ),
    Mutant(
        "old term committed by counting",
        "an entry of an earlier term is committed because a majority holds it (Raft, figure 8)",
        (
            Edit(
                _REPLICATION,
                "if index <= log.committed or log.term_at(index) != r.term:",
                "if index <= log.committed:",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_raft.py", "tests/unit/raft/test_paper.py"),
            "takes three elections in an order that a few hundred seeds do not come to",
        ),
    ),
    Mutant(
        "leader counts itself too early",
        "a leader's own entries count for the quorum before its own disk has them",
        (
            Edit(
                _REPLICATION,
                "r.progress[voter].match_index if voter != r.node_id else log.durable",
                "r.progress[voter].match_index if voter != r.node_id else log.last_index",
            ),
        ),
    ),
    Mutant(
        "follower acknowledges too early",
        "an append is accepted before it is on the disk",
        (
            Edit(
                _PERSISTENCE,
                "    if answer.index <= r.log.durable and r.persistence.is_state_durable(r):\n",
                "    if answer:\n",
            ),
        ),
    ),
    Mutant(
        "committed suffix truncated",
        "an old append that arrives late takes away what newer ones have added",
        (
            Edit(_LOG, "if self.term_at(entry.index) != entry.term:", "if entry.index:"),
            Edit(
                _LOG,
                '        assert index > self.committed, f"entry {index} is committed and cannot be '
                'replaced"\n',
                "",
            ),
            Edit(_FOLLOWER, "if m.prev_index < log.committed:", "if m.prev_index < 0:"),
        ),
    ),
    Mutant(
        "log conflict ignored",
        "entries that differ from the leader's stay",
        (
            Edit(
                _LOG,
                "if self.term_at(entry.index) != entry.term:",
                "if self.term_at(entry.index) is None:",
            ),
        ),
    ),
    Mutant(
        "previous entry not compared",
        "entries are appended behind whatever is there",
        (
            Edit(
                _LOG,
                "if self.term_at(prev_index) != prev_term:",
                "if self.term_at(prev_index) is None:",
            ),
        ),
        Seeds(count=300),
    ),
    Mutant(
        "commit beyond what agrees",
        "a follower commits its own suffix because the leader's commit index reaches that far",
        (
            Edit(
                _FOLLOWER,
                "log.commit_to(min(m.commit, last_new))",
                "log.commit_to(min(m.commit, log.last_index))",
            ),
        ),
    ),
    Mutant(
        "heartbeat overtakes entries",
        "a heartbeat carries the commit index whether the peer has the entries or not",
        (
            Edit(
                "zetcd/raft/heartbeat.py",
                "commit = min(progress.match_index, r.log.committed)",
                "commit = r.log.committed",
            ),
            Edit(
                _FOLLOWER,
                "    else:\n        r.log.commit_to(m.commit)\n",
                "    r.log.commit_to(min(m.commit, r.log.last_index))\n"
                "    if m.commit <= r.log.last_index:\n",
            ),
        ),
    ),
    Mutant(
        "old write counts for new entries",
        "a write of an earlier term is taken for one of the entries that replaced it (ABA)",
        (
            Edit(
                _PERSISTENCE,
                "if m.term == r.term and m.index and r.log.note_durable",
                "if m.index and r.log.note_durable",
            ),
            Edit(
                _LOG,
                "if index <= self.durable or self.term_at(index) != term:",
                "if index <= self.durable or index > self.handed:",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_raft.py",),
            "takes three leaders within one fdatasync",
        ),
    ),
    Mutant(
        "two membership changes at once",
        "a change is proposed while the one before it is not committed",
        (
            Edit(
                _MEMBERSHIP,
                "if len(changes) > 1 or r.pending_conf_index > r.log.applying:",
                "if len(changes) > 1:",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_raft.py", "tests/unit/raft/test_membership.py"),
            "loses a quorum only if two leaders each get half of it",
        ),
    ),
    Mutant(
        "campaign with an old membership",
        "a member campaigns although it has not applied a change that it knows to be committed",
        (
            Edit(
                _ELECTION,
                "        and not membership.has_unapplied_change(r)\n",
                "",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_raft.py", "tests/unit/raft/test_election.py"),
            "loses a quorum only if two leaders each get half of it",
        ),
    ),
    Mutant(
        "snapshot without membership",
        "a member that installs a snapshot keeps the membership it had",
        (
            Edit(
                _FOLLOWER,
                "        membership.switch_to(r, snapshot.conf_state)\n",
                "",
            ),
        ),
        NamedTests(("tests/datadriven/test_raft.py",), "snapshots are not simulated yet"),
    ),
    Mutant(
        "snapshot undoes the log",
        "an old snapshot replaces a log that is ahead of it",
        (
            Edit(
                _FOLLOWER,
                "return snapshot.index > log.committed and log.term_at(",
                "return log.term_at(",
            ),
        ),
        NamedTests(
            ("tests/unit/raft/test_follower.py",), "takes an offer that is older than a compaction"
        ),
    ),
)

"""Planted bugs: linearizable reads and leases."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Edit, Mutant, NamedTests, Seeds

_LESSOR: Final = "zetcd/lease/lessor.py"
_LEASE_QUERIES: Final = "zetcd/apply/lease_queries.py"
_READ_ONLY: Final = "zetcd/raft/read_only.py"
_RAFT: Final = "zetcd/raft/raft.py"

READS: Final = (
    Mutant(
        "read without quorum",
        "a leader answers reads because it thinks that it leads (check-quorum taken for a lease)",
        (
            Edit(
                _READ_ONLY,
                "reads.acknowledged = {r.node_id}",
                "reads.acknowledged = {*r.conf.voters}",
            ),
        ),
        NamedTests(
            (
                "tests/unit/raft/test_paper.py",
                "tests/datadriven/test_raft.py",
            ),
            "check-quorum leaves a leader that was deposed little time to be read from",
        ),
    ),
    Mutant(
        "forwarded read without quorum",
        "a leader answers a follower that asks although the two are no majority",
        (
            Edit(
                _READ_ONLY,
                "quorum.has_majority(r.conf.voters, (r.node_id, peer))",
                "peer in r.progress",
            ),
        ),
        NamedTests(
            ("tests/unit/raft/test_read_only.py",),
            "takes four members, or a learner that asks",
        ),
    ),
    Mutant(
        "acknowledgement without a heartbeat",
        "a member whose log was lost has reads answered by a leader that counts on it",
        (
            Edit(
                _READ_ONLY,
                "    reads.round_id = 0\n    reads.has_heard_leader = False\n",
                "    reads.round_id = 0\n",
            ),
        ),
        NamedTests(
            ("tests/unit/raft/test_read_only.py",),
            "takes a log that is replaced while another leader is deposed",
        ),
    ),
    Mutant(
        "ReadIndex id used again",
        "every round has the same id, so a late answer confirms any of them",
        (Edit(_READ_ONLY, "        self.last_id += 1\n", "        self.last_id = 1\n"),),
        Seeds(count=300),
    ),
    Mutant(
        "read before the first commit of a term",
        "a new leader answers reads with a commit index that may be old",
        (
            Edit(
                _READ_ONLY,
                "return r.log.term_at(r.log.committed) == r.term",
                "return True",
            ),
        ),
        Seeds(count=300),
    ),
    Mutant(
        "read kept across a change of leader",
        "reads that wait are not discarded when leader or term change",
        (
            Edit(
                _RAFT,
                "            read_only.refuse_all(self)\n            self.leader = leader",
                "            self.leader = leader",
            ),
        ),
        NamedTests(
            ("tests/unit/raft/test_read_only.py",),
            "takes a leader that comes back to office while a read of its last term waits",
        ),
    ),
    Mutant(
        "read joins a round under way",
        "a read that comes later is answered with the index of a round that began earlier",
        (
            Edit(
                _READ_ONLY,
                "    if not reads.waiting:\n        reads.waiting_since = reads.now\n",
                "    if reads.round_id:\n"
                "        reads.requests.append(request)\n"
                "        return\n"
                "    if not reads.waiting:\n        reads.waiting_since = reads.now\n",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_raft.py",),
            "one of several hundred clusters",
        ),
    ),
    Mutant(
        "keep-alive forgets to extend",
        "a lease is said to live for its whole time again and ends when it would have",
        (
            Edit(
                _LESSOR,
                "        self._run(lease, lease.granted_ttl, now)\n        return Renewal(",
                "        return Renewal(",
            ),
        ),
    ),
    Mutant(
        "lease ends early after a change of leader",
        "a new leader counts leases from nothing",
        (
            Edit(
                _LESSOR,
                "self._run(lease, lease.ttl_after_promotion + extend_seconds, now)",
                "self._run(lease, extend_seconds, now)",
            ),
        ),
    ),
    Mutant(
        "keep-alive without checkpoint",
        "a renewed lease is answered before a new leader would know of it",
        (
            Edit(
                _LESSOR,
                "needs_checkpoint=not self.is_uncheckpointed(lease_id)",
                "needs_checkpoint=False",
            ),
        ),
        NamedTests(
            ("tests/unit/lease/test_lessor.py",),
            "takes a change of leader between a renewal and the next checkpoint of a lease",
        ),
    ),
    Mutant(
        "keep-alive at a deposed leader",
        "a leader that was deposed while it was asked answers all the same",
        (
            Edit(
                _LEASE_QUERIES,
                "    if term < leader.term:\n        return LeaderChanged()\n",
                "",
            ),
            Edit(
                "zetcd/actors/apply_actor.py",
                "        if info.role is not Role.LEADER:\n            lessor.demote()\n",
                "        if info.role is not Role.LEADER:\n            pass\n",
            ),
            Edit(
                _LEASE_QUERIES,
                "    if term == leader.term and leader.role is not Role.LEADER:\n"
                "        return NotLeader()\n",
                "",
            ),
        ),
        Seeds(count=200),
    ),
    Mutant(
        "old leader ends leases",
        "an expiry that was proposed in an earlier term takes effect",
        (
            Edit(
                "zetcd/apply/batch_execution.py",
                "if request.term == self.term and not self.alarms.forbids_revoking:",
                "if not self.alarms.forbids_revoking:",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_lease.py",),
            "takes a renewal between a proposal and its commit by another leader",
        ),
    ),
)

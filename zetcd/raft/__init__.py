"""The Raft consensus algorithm as a pure state machine: messages in, `Ready` out.

The problem
    Several nodes shall agree on one sequence of commands, the *log*, although nodes crash, lose what was
    not on disk, and the network delays, repeats, re-orders and loses messages. What is once *committed*
    (acknowledged to anybody) must stay, and the nodes must go on as long as a majority of them can talk.

How it works
    Time is divided into *terms*. In each term at most one *leader* is elected by a majority of votes; a
    voter votes once in a term, and only for a log at least as up to date as its own. Only the leader
    appends to the log and sends its entries to the others. An entry is committed when a majority has
    it on disk (and it is of the leader's own term, or lies before one that is). Because any two majorities
    share a member, every later leader has every committed entry.

    A node is three parts that wait for nothing but their own business: this core, the *wal* (the log on
    disk) and *apply* (the state machine). The core never waits at all. It is fed with inputs and asked for
    its output once a turn::

        step, tick, propose, read_index, applied, log_read ─►  RawNode  ─► ready()
                                                                            │
              ┌────────────────────────────┬───────────────────────────────┴──────────┐
              ▼                            ▼                                          ▼
        messages: to peers, at once   append: to wal, with answers that may     apply: committed
                                      leave only when it is durable             entries, in order

Worked example
    Three members; 1 leads term 2 and gets a proposal. Columns are members, time goes down. The file
    ``tests/testdata/raft/async_storage_commit_through_followers.txt`` shows the same in full::

        1 (leader)                          2                              3
        propose "a" as entry 2/3
        ├─ Append [2/3 "a"] ──────────────► accepts, hands it to its wal
        ├─ Append [2/3 "a"] ─────────────────────────────────────────────► the same
        └─ own wal (slow today)             fdatasync                      fdatasync
                                            AppendResp index=3 ─►          AppendResp index=3 ─►
        two of three disks have it:
        commits 3 without its own disk,
        applies, answers the client
        ├─ Append commit=3 ───────────────► applies
        └─ Append commit=3 ──────────────────────────────────────────────► applies
        own wal done: durable=3

Where to find what
    `raw_node`     the verbs, `Ready` assembled        `ready`, `status`  what comes out
    `raft`         state, roles, clock, dispatch       `options`          what goes in at the start
    `election`     campaigns, votes, lease, transfer   `proposal`         from command to entry
    `replication`  the leader's side of the log        `follower`         the follower's side
    `heartbeat`    heartbeats                          `read_only`        linearizable reads
    `membership`   changes of one member at a time     `applying`         committed entries to apply
    `persistence`  what must be durable before what    `log`              the log; `log_tail`, `term_runs`
    `progress`     what the leader knows of a peer     `quorum`, `inflights`
    `fitness`      could this member lead, with its disk and its apply; `liveness`  do wal and apply answer

Sources
    "Raft" in comments is Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm*
    (extended version); "thesis" is Ongaro, *Consensus: Bridging Theory and Practice*. Implemented are
    Raft §5 (all of it), §7 and §8; thesis §3.10 (transfer), §4.1 to §4.2.3 (single-member changes, learners,
    removed leaders, disruptive members), §6.2 (a leader without a quorum steps down), §6.4 (ReadIndex),
    §9.6 (pre-vote) and §10.2.1 (the leader writes in parallel). ``tests/unit/raft/test_paper.py`` has one
    test for each claim; the behaviour and its vocabulary follow etcd's raft where the papers are silent.

What differs from the papers, and why it is safe
    * A change of membership takes effect when it is *committed and handed to apply*, not when it is
      appended; see `membership`.
    * Requests for votes leave only after term and own vote are durable; see `persistence`, rule 2.
    * A leader commits, and a follower applies, entries that its own disk does not have yet. After a crash
      apply can be ahead of the log. Such a member neither votes nor answers on the strength of what it
      lost; the entries come back from the leader and are not applied twice; see `log`.
    * A term whose commit index is lost in a crash is no harm: it is a hint, written beside other things.

Limits
    Everything that can grow has a bound in `options.RaftOptions`: entries sent and not answered (messages
    and bytes, each peer), proposed and not committed, written and not durable, handed out and not applied,
    kept in memory, reads waiting. Beyond it proposals and reads are refused with a reason (`Refusal`);
    older entries are read from disk by `LogRead`. A leader whose disk falls behind by more than
    ``unstable_bytes_max``, ``unstable_writes_max`` or ``unstable_ticks_max`` hands over (`fitness`).

Caveats
    * A cluster of two that loses either member stops. Removing the *leader* of two can leave the other
      waiting: it may not know that the removal is committed, and still need the vote of the removed member,
      whose log may be longer. Hand leadership over first, then remove (the raft actor does).
    * A forwarded proposal whose message is repeated by the network is appended twice. ZeroMQ does not
      repeat messages; a transport that does needs its own guard.
    * A member that comes back with an empty disk under its old id may vote twice in a term. Remove it and
      add it under a new id.
    * Reads rely on messages only, not on clocks; check-quorum and the lease that ignores candidates rely
      on clocks for liveness, never for safety.

Not implemented
    Joint consensus (several members changed at once, turning a voter into a learner); such changes are
    refused or change nothing. Reads from a clock-based leader lease. Sending a snapshot's bytes: the core
    names the snapshot, others carry it (`RawNode.report_snapshot`).
"""

from __future__ import annotations

from zetcd.raft.membership import bootstrap_entries, next_conf_state
from zetcd.raft.options import RaftOptions, RaftStart
from zetcd.raft.raw_node import RawNode
from zetcd.raft.ready import ReadState, Ready, Refusal, RefusedRead, SoftState
from zetcd.raft.status import PeerStatus, Status

__all__ = [
    "PeerStatus",
    "RaftOptions",
    "RaftStart",
    "RawNode",
    "ReadState",
    "Ready",
    "Refusal",
    "RefusedRead",
    "SoftState",
    "Status",
    "bootstrap_entries",
    "next_conf_state",
]

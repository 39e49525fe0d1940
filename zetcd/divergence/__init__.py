"""Always-on comparison of the members' histories: pure, time and randomness are arguments.

How it works
    Members that execute the same log hold the same history, byte by byte. Bit rot, a defect or a
    hand on the file can break that on one member, and every later read there is wrong. So the
    leader compares, about once a minute, the HashKV of all members at one revision:

        leader     round begins: its own current revision R, all members of its store
                   HashQuery(R) to everybody, itself included, repeated each second
        member     hashes its history up to R in small slices, a tenth of the time at most;
                   answers each query with how far it is: working, behind R, done, compacted
        leader     all have answered, or are given up: compare

    What most voters hold counts as right. Whoever holds something else is named in the alarm
    CORRUPT, which goes through the log and makes every member refuse changes.

    Worked example, members 1, 2, 3, revision 900, hashes d1 d1 77: member 3 is named. With hashes
    d1 77 and member 3 away nobody knows who is right: the alarm names member 0, which means
    "not known", as in etcd.

A comparison that failed is not passed
    A member that did not answer, was behind for long, or whose history was compacted meanwhile
    makes the round *failed*: counted, logged and shown by itself. What the others answered is
    compared nevertheless. Hashes made with different compact revisions cannot be compared; the
    round is repeated at once, since by then all have the compaction.

Files
    comparison   hashes → who differs              round    one comparison of all members
    schedule     when a round begins, and a tally

    The hashes themselves: `zetcd.mvcc.hash`, driven by `zetcd.actors.hash_jobs`.

Not implemented
    HashKV covers the history of keys and not leases, members and the index; ``zetcd check``
    compares those. A member that joined with an already wrong snapshot of the leader is equal to it.
"""

from zetcd.divergence.comparison import Comparison, MemberHash, Outcome, compare_hashes
from zetcd.divergence.round import Round, RoundResult
from zetcd.divergence.schedule import RandomSource, Schedule

__all__ = [
    "Comparison",
    "MemberHash",
    "Outcome",
    "RandomSource",
    "Round",
    "RoundResult",
    "Schedule",
    "compare_hashes",
]

"""``zetcd check``: whether what a stopped member keeps on its disk is whole and agrees with itself.

How it works
    The log is the truth, and LMDB a cache of it: whatever the store holds must follow from a
    checkpoint and the committed log. So everything is read once and then computed anew:

        log          every segment, batch, record, checksum and link; indexes and terms ascend
        checkpoints  each file against its digest; the one that the log's mark names must be there
        store        every page can be read
        replay       a checkpoint (or nothing) and the log, executed into a temporary store
        hash         HashKV of both at the same revision
        table …      every key and value of both, side by side

    Where the comparison happens follows from how far the store is (`plan`):

        store at        log           compared
        index 90        commit 100    everything at 90; then the replay goes on to 100
        index 105       last 105      everything at 105: what is applied is committed
        index 120       last 105      history up to the log's last revision: apply was ahead

    Nothing in the member's directories is written, not even LMDB's lock file, and the member
    cannot start meanwhile.

Worked example
    Somebody changed one value of key "a" in the store:

        log             ok       entries 1 to 12, each checksum and link verified
        store           ok       at index 12, revision 9
        hash            corrupt  5ca1ab1e at revision 9, the log says 0badcafe
        table rev       corrupt  1 of 8 keys differ from what the log says
            revision 4.0: store has put of 'a' … value 3 bytes (CRC …), log says …

Files
    check        the order of all of it          comparison   two stores, table by table
    log_check    the log                         replay       the temporary store
    checkpoints  the checkpoints                 report       what was found
    plan         what to replay, where to look   store        opening LMDB without touching it
    stillness    paths and locks

    The command line is `zetcd.check_command`.

Not implemented
    Repair: a damaged member is removed from the cluster and added again with an empty directory.
    A store that the next start would discard anyway (not closed, and the machine has been booted
    since) is not looked at: skipped, which is not passed.
"""

from zetcd.offline_check.check import CheckOptions, check_member
from zetcd.offline_check.report import CheckReport, Part, Verdict
from zetcd.offline_check.stillness import MemberPaths

__all__ = ["CheckOptions", "CheckReport", "MemberPaths", "Part", "Verdict", "check_member"]

"""Automatic compaction: which revision the leader compacts, and when. Pure; time is an argument.

How it works
    Every member samples the current revision at intervals, so that a new leader knows the past as well
    as the old one did. Only the leader proposes compactions; they go through the log as a client's do.
    What was proposed counts as done once the store shows it: a proposal that was lost is made again.

    ``auto-compaction-mode`` says what ``auto-compaction-retention`` means, with etcd's rules:

    periodic    keep the history of a period. Samples every tenth of it, at most every six minutes apart;
                the first compaction after one whole period, then one each period, at most an hour apart.
    revision    keep a number of revisions; looked at every five minutes.

Worked example, ``periodic``, retention 1h, one write a second

    ::

        time          0:00  0:06  0:12  ...  1:00         1:06  ...  2:00
        revision         1   361   721       3601         3961       7201
        compaction                           at 1 (none)  ...        at 3601: what was current an hour ago

Not implemented
    etcd resumes a schedule after a restart no better than this does: samples are in memory, so the
    first compaction comes a whole period after the start of the member that leads.
"""

from zetcd.compactor.compactor import Compactor, Standing
from zetcd.compactor.periodic import PeriodicCompactor
from zetcd.compactor.revision import RevisionCompactor

__all__ = ["Compactor", "PeriodicCompactor", "RevisionCompactor", "Standing"]

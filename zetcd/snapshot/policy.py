"""Responsible for deciding when the next checkpoint is due; never makes one.

A checkpoint costs a whole copy of the store, whatever little has changed since the last one. So it is
due only after as much log as pays for it: at least half of the bytes that the copy will have. With L
bytes of log, checkpoints then write at most about 2 L, and all files together at most 3 L. (Half of
the *last* checkpoint would not do: while a store grows by half from one to the next, that is 4 L.)

Worked example, defaults: ``snapshot-count`` 10,000 entries, at least 64 MiB of log

    ===================  ==================  ===============  =========================
    entries since mark   log since mark      size of a copy   due?
    ===================  ==================  ===============  =========================
    9,999                200 MiB             100 MiB          no: too few entries
    10,000               60 MiB              1 MiB            no: too little log
    10,000               70 MiB              1 MiB            yes
    50,000               300 MiB             1 GiB            no: less than half of that
    2,000                1.1 GiB             1 GiB            yes: the log is long
    0                    anything            anything         no: nothing has changed
    ===================  ==================  ===============  =========================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from zetcd.scalars import Index

#: The log must have grown by the bytes of a copy, divided by this.
COPY_SHARE: Final = 2


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Limits of the policy."""

    #: Entries between two checkpoints.
    entries_min: int
    #: Bytes of log between two checkpoints.
    log_bytes_min: int
    #: Bytes of log after which the number of entries does not count.
    log_bytes_max: int


class LogGrowth(NamedTuple):
    """How far the state machine is, and how much log a restart would have to replay."""

    #: Last index that the state machine has applied.
    applied_index: Index
    #: Index of the newest mark in the log; 0 = none.
    marked_index: Index
    #: Bytes written to the log since then.
    bytes_since_mark: int
    #: Of the newest checkpoint there is, marked or not; 0 = none.
    checkpoint_index: Index = 0
    #: Bytes that a copy of the store would have now.
    copy_bytes: int = 0


def is_due(growth: LogGrowth, options: PolicyOptions) -> bool:
    """Say whether a checkpoint should be made now."""
    if growth.applied_index <= growth.checkpoint_index:
        return False
    if growth.checkpoint_index < growth.marked_index:
        # The log may have let go of what it stands for, and the file is gone: nothing could be
        # restored.
        return growth.applied_index >= growth.marked_index
    entries = growth.applied_index - growth.marked_index
    paid_bytes = max(options.log_bytes_min, growth.copy_bytes // COPY_SHARE)
    if growth.bytes_since_mark < paid_bytes:
        return False
    return entries >= options.entries_min or growth.bytes_since_mark >= options.log_bytes_max

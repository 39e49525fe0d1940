"""Responsible for the names of zetcd's plain numbers."""

from __future__ import annotations

from typing import TypeAlias

#: Leader epoch (Raft §5.1).
Term: TypeAlias = int
#: Position in the log, from 1.
Index: TypeAlias = int
#: MVCC main revision.
Revision: TypeAlias = int
#: 64-bit member id; 0 = none.
NodeID: TypeAlias = int
#: 63-bit lease id; 0 = none.
LeaseID: TypeAlias = int
#: Watcher id within a stream.
WatchID: TypeAlias = int
#: Logical clock steps of raft.
Ticks: TypeAlias = int
#: Chosen by the asker, echoed in the answer.
RequestID: TypeAlias = int

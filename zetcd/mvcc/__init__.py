"""The key-value store with its history: pure, over tables that a `backend.Backend` keeps.

How it works
    Every change is a record in table `rev`, keyed by (main, sub) revision and only ever appended.
    Table `index` maps each key to one small entry per revision of it, *newest first*: the first
    entry is the key's latest state, an older state is one search away. Both are on disk, so a
    restart rebuilds nothing. `rev` in revision order is the history that watchers catch up from.

    Worked example: put a=1, put b=2, delete a.

        rev    (2,0)  create 2  version 1  a=1      index  a  (4,0) tombstone · (2,0) put
               (3,0)  create 3  version 1  b=2             b  (3,0) put
               (4,0)  tombstone            a

    Reading the range [a, c) now: the newest entries of a and b; a's is a tombstone; fetch record
    (3,0). Reading at revision 3: a's newest entry is too new, seek the first entry at or before 3:
    (2,0). Compaction at 4: record (3,0) has nothing before it; (4,0) removes (2,0) and itself
    stays, as a tombstone exactly at the compact revision; the next compaction removes it.

Files
    backend      what is asked of the tables             view        finds keys at a revision
    revision     names of changes, index entries         range       RangeRequest, whole or in
    chunks record       bytes of a change                       store       puts and deletes
    index_key    keys longer than the index can hold     txn         transactions
    lease_key    lease ids as table keys                 compaction  dropping history
    state        how far the store is                    hash        HashKV
    interval     sets of ranges                          history     changes by revision
    validation   what is wrong with a request

Not implemented
    A count without visiting the index entries of the range (`RangeCursor` counts in bounded steps);
    storing the hashes of past compactions. Of keys deleted and not yet compacted a range still
    visits one index entry each.
"""

from zetcd.mvcc.backend import (
    Backend,
    BackendSize,
    ReadTransaction,
    Table,
    WriteTransaction,
)
from zetcd.mvcc.compaction import CompactionStep, compact_step, is_compacting, schedule_compaction
from zetcd.mvcc.hash import HashKV, HashResult
from zetcd.mvcc.history import HistorySlice, previous, read_history
from zetcd.mvcc.range import RangeChunk, RangeCursor, execute_range
from zetcd.mvcc.state import StoreState, load_state, save_state
from zetcd.mvcc.store import StoreWriter
from zetcd.mvcc.txn import execute_read_txn
from zetcd.mvcc.validation import (
    check_delete_range,
    check_put,
    check_range,
    check_txn,
    is_read_only,
    is_serializable,
    newest_revision,
)
from zetcd.mvcc.view import View

__all__ = [
    "Backend",
    "BackendSize",
    "CompactionStep",
    "HashKV",
    "HashResult",
    "HistorySlice",
    "RangeChunk",
    "RangeCursor",
    "ReadTransaction",
    "StoreState",
    "StoreWriter",
    "Table",
    "View",
    "WriteTransaction",
    "check_delete_range",
    "check_put",
    "check_range",
    "check_txn",
    "compact_step",
    "execute_range",
    "execute_read_txn",
    "is_compacting",
    "is_read_only",
    "is_serializable",
    "load_state",
    "newest_revision",
    "previous",
    "read_history",
    "save_state",
    "schedule_compaction",
]

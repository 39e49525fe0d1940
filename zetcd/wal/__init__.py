"""The write-ahead log: bytes to log and back. Pure; `zetcd.runtime.log_storage` does the disk.

How it works
    The log is a row of segments, files of 64 MiB that are allocated whole and read as zeros where
    nothing was written. A segment is a header and then batches. A batch is what one pwrite writes
    and one fdatasync makes durable: a header, records, an end mark. Never more than one batch waits
    for its fdatasync, so only the last batch of the log can be torn.

    segment   names and headers of segments
    record    what a batch is made of: entries, hard state, checkpoint mark, segment trailer
    batch     framing, checksum chain, the scan from one batch to the next
    recovery  the cut rule: is a bad batch a torn write, or is the log corrupt?
    log_index what the log means after replay: terms, hard state, where an entry is on disk

    A record at index i replaces everything at i and above. Every segment opens with the hard state
    and the checkpoint mark of the moment, so that whole segments before it can be deleted.

Worked example
    Two batches, the second overwriting the suffix of the first (a new leader's entries win)::

        0        512                  704                    832
        +--------+--------------------+----------------------+---- - -
        | segment| batch 1            | batch 2              | zeros
        | header | entries 1,2 term 1 | entry 2 term 2       |
        +--------+--------------------+----------------------+---- - -

    replays as entry 1 of term 1 and entry 2 of term 2. If the power fails before the fdatasync of
    batch 2, any of its sectors may be missing (zeros); it is cut and the log is entries 1 and 2 of
    term 1. If a bit of batch 1 flips, batch 2 proves that batch 1 had been durable:
    `WalCorruption`, and the member refuses to start. `docs/wal-format.md` has every byte.

    The shape of the log follows Raft §5.3 (overwriting a conflicting suffix) and §7 (a snapshot
    replaces a prefix); telling a torn write from corruption follows "Protocol-Aware Recovery"
    (FAST'18).

Not implemented
    Repairing a damaged entry from a peer: a member whose log is corrupt has to leave the cluster
    and join again. Compression, encryption, and reuse of old segment files. Reading format versions
    other than 1.
"""

from zetcd.wal.batch import (
    Batch,
    BatchDraft,
    Cursor,
    Scan,
    Stop,
    batch_bytes,
    draft_batch,
    encode_batch,
    next_batch,
    start_of,
)
from zetcd.wal.log_index import Location, LogIndex
from zetcd.wal.record import (
    CheckpointRecord,
    EntriesRecord,
    HardStateRecord,
    Record,
    TrailerRecord,
    append_records,
    decode_records,
)
from zetcd.wal.recovery import Tail, TailVerdict, judge_tail
from zetcd.wal.segment import (
    SegmentHeader,
    decode_segment_header,
    parse_segment_name,
    segment_name,
)

__all__ = [
    "Batch",
    "BatchDraft",
    "CheckpointRecord",
    "Cursor",
    "EntriesRecord",
    "HardStateRecord",
    "Location",
    "LogIndex",
    "Record",
    "Scan",
    "SegmentHeader",
    "Stop",
    "Tail",
    "TailVerdict",
    "TrailerRecord",
    "append_records",
    "batch_bytes",
    "decode_records",
    "decode_segment_header",
    "draft_batch",
    "encode_batch",
    "judge_tail",
    "next_batch",
    "parse_segment_name",
    "segment_name",
    "start_of",
]

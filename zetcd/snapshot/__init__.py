"""Checkpoints and snapshots, the deciding part: what a file says of itself, and when one is due.

How it works
    A *checkpoint* is one file with the whole state machine at one applied index: a compacted copy of
    the LMDB file, then a description, then a trailer with a SHA-256 over all of it
    (`checkpoint_format`, docs/checkpoint-format.md). It serves as restart base, as raft snapshot to a
    lagging peer (Raft §7) and as backup. `policy` decides when the next one is due, so that log and
    checkpoints together write at most three times the bytes of the log.

Worked example, one member, ``snapshot-count = 10000``

    ::

        index    1 ......... 5000 ......... 10000 ..... 10240 ...
        log      [ segment 0     ][ segment 1     ][ segment 2      segment being written
                               copy of LMDB begins ▲       ▲ mark of checkpoint 10000 becomes durable
        With the checkpoint at 20000, every segment whose entries all lie at or below 10000 -
        snapshot-catchup-entries goes: two checkpoints are kept, and the log above the older one.

    A checkpoint counts once its mark is durable in the log. The log below the oldest of those that are kept
    (``checkpoints-kept``) is dispensable, but for members that are being sent a snapshot.

Not implemented
    Incremental checkpoints: each one is a whole copy.
"""

"""What one 256-byte put costs the applier: decode, execute on LMDB, commit, encode.

python bench/micro/apply_put.py [--puts 100000] [--keys 20000] [--batch 64] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import tempfile
import time
from pathlib import Path

from zetcd.apply import Applier, ApplierOptions, Identity, initialise
from zetcd.lease import Lessor
from zetcd.messages.cluster import Member
from zetcd.messages.codec import encode
from zetcd.messages.kv import PutRequest
from zetcd.messages.node import ActorRole, Origin, ProposalBatch
from zetcd.messages.raft import EntryType, LogEntry
from zetcd.runtime.lmdb_backend import LmdbBackend

NODE_ID = 1


def log_entries(puts: int, keys: int, batch: int, *, origin: int) -> list[LogEntry]:
    """Return entries of ``batch`` puts each, of keys in random order."""
    rng = random.Random(1)
    value = b"v" * 256
    entries = []
    for index in range(1, puts // batch + 1):
        requests = tuple(
            PutRequest(b"/registry/pods/default/%08d" % rng.randrange(keys), value)
            for _ in range(batch)
        )
        data = encode(ProposalBatch(Origin(origin, ActorRole.GATEWAY, 0, 1), index, requests))
        entries.append(LogEntry(EntryType.NORMAL, 1, index, data))
    return entries


def run(entries: list[LogEntry], directory: Path) -> float:
    """Apply the entries, one transaction each; return the CPU seconds."""
    backend = LmdbBackend(directory, map_bytes=1 << 32)
    initialise(backend, Identity(1, NODE_ID), (Member(NODE_ID),))
    applier = Applier(backend, Lessor(), ApplierOptions(NODE_ID))
    start = time.process_time()
    for entry in entries:
        applier.apply_entries((entry,), 0.0)
    elapsed = time.process_time() - start
    backend.close()
    return elapsed


def main() -> None:
    """Print microseconds per put for a node that answers and for one that does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--puts", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    profile = cProfile.Profile() if arguments.profile else None
    for label, origin in (("answers", NODE_ID), ("silent", NODE_ID + 1)):
        entries = log_entries(arguments.puts, arguments.keys, arguments.batch, origin=origin)
        with tempfile.TemporaryDirectory(dir="/dev/shm" if profile else None) as directory:
            if profile:
                profile.enable()
            seconds = run(entries, Path(directory))
            if profile:
                profile.disable()
        print(f"{label}: {seconds / arguments.puts * 1e6:.2f} us CPU per put")
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(20)


if __name__ == "__main__":
    main()

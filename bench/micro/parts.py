"""`python -m bench.micro.parts`: what the parts of a put cost alone, without processes, disks or sockets.

The codec of messages, a batch of the log, a step of a follower's raft, and the matching of watchers.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.kv import PutRequest
from zetcd.messages.node import ActorRole, Origin, ProposalBatch
from zetcd.messages.raft import Append, ConfState, EntryType, HardState, LogEntry, SnapshotMetadata
from zetcd.messages.watch import WatchCreateRequest
from zetcd.raft.options import RaftOptions, RaftStart
from zetcd.raft.raw_node import RawNode
from zetcd.wal.batch import Cursor, batch_bytes, draft_batch, encode_batch
from zetcd.wal.record import entries_records
from zetcd.watch.interval import prefix_end
from zetcd.watch.stream import Gateway, Session, Stream
from zetcd.watch.watcher import Watcher
from zetcd.watch.watcher_group import WatcherGroup

_SECONDS = 0.4
_BATCHES = (1, 8, 64)
_WATCHERS = 10_000


def cpu_us(call: Callable[[], object]) -> float:
    """Return the CPU microseconds of one call: the least of five stretches, as the others were disturbed."""
    found = []
    for _ in range(5):
        calls, started = 0, time.process_time()
        while (spent := time.process_time() - started) < _SECONDS / 5:
            for _ in range(20):
                call()
            calls += 20
        found.append(1e6 * spent / calls)
    return min(found)


def proposal(puts: int) -> ProposalBatch:
    """Return a batch of puts of 256-byte values."""
    requests = tuple(PutRequest(b"bench/%010d" % each, b"v" * 256) for each in range(puts))
    return ProposalBatch(Origin(1, ActorRole.GATEWAY, 0, 1), 1, requests)


def codec(puts: int) -> dict[str, float]:
    """Encode and decode a batch, for each put."""
    batch = proposal(puts)
    octets, decode = encode(batch), decoder_of(ProposalBatch).decode
    return {
        "encode a proposal": cpu_us(lambda: encode(batch)) / puts,
        "decode a proposal": cpu_us(lambda: decode(octets)) / puts,
    }


def log(puts: int) -> dict[str, float]:
    """Make the bytes of a log batch with one entry."""
    entry = LogEntry(EntryType.NORMAL, 1, 1, encode(proposal(puts)))
    cursor = Cursor(4096, 1, 0)

    def batch() -> bytes:
        draft = draft_batch(list(entries_records((entry,))))
        return batch_bytes(encode_batch(draft, cursor, last_index=1), 7)

    return {"batch of the log": cpu_us(batch) / puts}


def follower(puts: int) -> dict[str, float]:
    """Step a follower's raft through one entry after the other."""
    conf = ConfState((1, 2, 3), ())
    snapshot = SnapshotMetadata(0, 0, conf)
    start = RaftStart(hard_state=HardState(1, 0, 0), snapshot=snapshot, conf_state=conf)
    data, index = encode(proposal(puts)), 0
    node = RawNode(RaftOptions(node_id=1), start, random.Random(1))

    def step() -> None:
        nonlocal index
        entry = LogEntry(EntryType.NORMAL, 1, index + 1, data)
        node.step(Append(2, 1, 1, index, 1 if index else 0, index, (entry,)))
        index += 1
        ready = node.ready()
        for response in ready.append.responses if ready.append else ():
            if response.to == 1:
                node.step(response)
        if ready.apply is not None:
            node.applied(ready.apply.entries[-1].index)

    return {"step of a follower": cpu_us(step) / puts}


def watchers() -> dict[str, float]:
    """Find the watchers of a key among many: of keys, of prefixes, and all of one prefix."""
    stream = Stream(Session(Gateway(0), 1), 1, (1, 1))
    keys, prefixes, same = WatcherGroup(), WatcherGroup(), WatcherGroup()
    for number in range(_WATCHERS):
        key = b"bench/%010d" % number
        keys.add(Watcher(stream, number, WatchCreateRequest(1, key), 1))
        request = WatchCreateRequest(1, key, prefix_end(key))
        prefixes.add(Watcher(stream, number, request, 1))
        same.add(Watcher(stream, number, WatchCreateRequest(1, b"bench/", b"bench0"), 1))
    key = b"bench/%010d" % 77
    return {
        "match among keys": cpu_us(lambda: keys.matching(key)),
        "match among prefixes": cpu_us(lambda: prefixes.matching(key)),
        "match of one prefix": cpu_us(lambda: same.matching(key)),
    }


def main() -> None:
    """Print microseconds of CPU: by put and size of the batch, then by key."""
    rows: dict[str, list[float]] = {}
    for puts in _BATCHES:
        for name, us in (codec(puts) | log(puts) | follower(puts)).items():
            rows.setdefault(name, []).append(us)
    print(f"{'us of CPU for each put':<28}" + "".join(f"{f'batch {b}':>12}" for b in _BATCHES))
    for name, values in rows.items():
        print(f"{name:<28}" + "".join(f"{value:>12.2f}" for value in values))
    print(f"us of CPU for each key, {_WATCHERS:,} watchers")
    for name, us in watchers().items():
        print(f"{name:<28}{us:>12.2f}")


if __name__ == "__main__":
    main()

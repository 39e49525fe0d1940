"""Members that have applied the same index hold the same store (Raft §5.4.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.apply import Applier
from zetcd.mvcc.backend import Table
from zetcd.mvcc.hash import HashKV
from zetcd.runtime.memory_backend import MemoryBackend
from zetcd.scalars import Index

#: Indexes at which stores are compared while the cluster runs; at the end they are compared whole.
_EVERY = 16
_RECORDS_MAX = 1_000_000
_IDENTITY = b"identity"


def hash_kv(store: MemoryBackend) -> int:
    """Return HashKV of the current revision."""
    with store.read() as transaction:
        result = HashKV().step(transaction, records_max=_RECORDS_MAX)
    assert result is not None
    return result.hash


def whole_store(store: MemoryBackend) -> str:
    """Return a digest of every table, but for whose store it is."""
    digest = hashlib.blake2b(digest_size=16)
    with store.read() as transaction:
        for table in Table:
            reader = transaction.table(table)
            for key, _ in reader.scan(b"", None):
                if key != _IDENTITY:
                    digest.update(repr((table, key, reader.values(key))).encode())
    return digest.hexdigest()


class StateMachineSafety(Invariant):
    """Remembers the hash of the store at some indexes."""

    def __init__(self) -> None:
        self._hashes: dict[Index, int] = {}
        self._last: dict[int, Index] = {}

    def applied(self, node: Observed, applier: Applier) -> None:
        index = applier.state.consistent_index
        if index % _EVERY or self._last.get(node.node_id) == index:
            return
        self._last[node.node_id] = index
        found = hash_kv(node.store)
        require(
            self._hashes.setdefault(index, found) == found,
            "state machine safety",
            f"the store of {node.name} differs at index {index}",
        )

    def finish(self, nodes: Sequence[Observed]) -> None:
        stores = {whole_store(node.store) for node in nodes}
        require(len(stores) == 1, "state machine safety", "the stores differ at the end")

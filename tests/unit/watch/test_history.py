"""The store in memory of these tests and the one over the real tables are both a `History`."""

from __future__ import annotations

from tests.unit.watch.stage import MemoryStore
from zetcd.actors.store_history import StoreHistory
from zetcd.messages.kv import PutRequest
from zetcd.mvcc.state import load_state, save_state
from zetcd.mvcc.store import StoreWriter
from zetcd.runtime.memory_backend import MemoryBackend
from zetcd.watch.history import History


def both(count: int) -> list[History]:
    """The same puts in both stores."""
    memory = MemoryStore()
    backend = MemoryBackend()
    with backend.write() as transaction:
        state = load_state(transaction)
        writer = StoreWriter(transaction, state)
        for number in range(count):
            key = b"k%d" % (number % 7)
            memory.commit((key, b"%d" % number))
            writer.execute_put(PutRequest(key, b"%d" % number))
            writer.end()
        save_state(transaction, state)
    stored = StoreHistory()
    stored.backend = backend
    return [memory, stored]


def test_both_read_the_same() -> None:
    memory, stored = both(2500)
    assert memory.current_revision == stored.current_revision == 2501
    assert memory.compact_revision == stored.compact_revision == 0
    for first, last in ((1, 1), (2, 2), (2, 2501), (1200, 1300), (2400, 9999)):
        assert list(memory.events(first, last)) == list(stored.events(first, last))
    for revision in (1, 2, 8, 500, 2501):
        assert memory.get_at(b"k0", revision) == stored.get_at(b"k0", revision)


def test_a_snapshot_is_kept_until_it_is_released() -> None:
    _, stored = both(3)
    assert isinstance(stored, StoreHistory)
    assert stored.current_revision == 4
    stored.release()
    assert stored.backend is not None
    backend = stored.backend
    with backend.write() as transaction:
        state = load_state(transaction)
        state.current_revision = 9
        save_state(transaction, state)
    assert stored.current_revision == 9
    stored.release()

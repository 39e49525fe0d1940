"""A store over the memory backend, for tests that look at one piece of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zetcd.messages.kv import DeleteRangeRequest, PutRequest
from zetcd.messages.node import RevisionEvents
from zetcd.mvcc.backend import Backend
from zetcd.mvcc.compaction import CompactionStep, compact_step, schedule_compaction
from zetcd.mvcc.state import StoreState, load_state, save_state
from zetcd.mvcc.store import StoreWriter
from zetcd.mvcc.view import View
from zetcd.runtime.memory_backend import MemoryBackend


class SmallStore:
    """Executes one request per transaction."""

    def __init__(self, backend: Backend | None = None) -> None:
        self.backend: Backend = backend or MemoryBackend()

    @contextmanager
    def writer(self) -> Iterator[StoreWriter]:
        with self.backend.write() as transaction:
            state = load_state(transaction)
            yield StoreWriter(transaction, state)
            save_state(transaction, state)

    def put(self, key: bytes, value: bytes = b"", lease: int = 0) -> RevisionEvents | None:
        with self.writer() as writer:
            writer.execute_put(PutRequest(key, value, lease))
            return writer.end()

    def delete(self, key: bytes, range_end: bytes = b"") -> RevisionEvents | None:
        with self.writer() as writer:
            writer.execute_delete_range(DeleteRangeRequest(key, range_end))
            return writer.end()

    def schedule(self, revision: int) -> None:
        with self.backend.write() as transaction:
            state = load_state(transaction)
            schedule_compaction(state, revision)
            save_state(transaction, state)

    def step(self, records_max: int = 1000) -> CompactionStep:
        with self.backend.write() as transaction:
            state = load_state(transaction)
            done = compact_step(transaction, state, records_max=records_max)
            save_state(transaction, state)
            return done

    def compact(self, revision: int) -> None:
        self.schedule(revision)
        while not self.step().is_finished:
            pass

    @contextmanager
    def view(self) -> Iterator[View]:
        with self.backend.read() as transaction:
            yield View(transaction)

    @property
    def state(self) -> StoreState:
        with self.backend.read() as transaction:
            return load_state(transaction)

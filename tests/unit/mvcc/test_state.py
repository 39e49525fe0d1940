"""The state survives in one record."""

from dataclasses import replace

import pytest

from zetcd.mvcc.state import StoreState, load_state, save_state
from zetcd.runtime.memory_backend import MemoryBackend


def test_an_empty_store_is_at_revision_one() -> None:
    with MemoryBackend().read() as transaction:
        assert load_state(transaction) == StoreState(current_revision=1)


def test_what_is_saved_is_loaded() -> None:
    backend = MemoryBackend()
    state = StoreState(11, 3, 9, 7, 6, 5, 4)
    with backend.write() as transaction:
        save_state(transaction, state)
        assert load_state(transaction) == state
    state.check()


def test_check_refuses_a_compaction_of_the_future() -> None:
    state = StoreState(current_revision=5, compact_revision=5)
    state.check()
    with pytest.raises(AssertionError):
        replace(state, compact_revision=6).check()

"""The memory backend keeps its rules; what it shares with LMDB is in mvcc/test_backend."""

import pytest

from zetcd.mvcc.backend import Table
from zetcd.runtime.memory_backend import MemoryBackend


def test_transactions_do_not_overlap() -> None:
    backend = MemoryBackend()
    with backend.write():
        with pytest.raises(AssertionError):
            backend.read()
        with pytest.raises(AssertionError):
            backend.write()
    with backend.read(), backend.read(), pytest.raises(AssertionError):
        backend.write()


def test_keys_have_the_limits_of_lmdb() -> None:
    backend = MemoryBackend()
    with backend.write() as transaction:
        for key in (b"", b"k" * 512):
            with pytest.raises(AssertionError):
                transaction.table(Table.META).put(key, b"")
        with pytest.raises(AssertionError):
            transaction.table(Table.INDEX).add(b"k", b"too short")


def test_tables_outlive_the_process_that_closes_them() -> None:
    backend = MemoryBackend()
    with backend.write() as transaction:
        transaction.table(Table.META).put(b"k", b"v")
    backend.sync()
    backend.close()
    assert backend.reader_check() == 0
    with backend.read() as transaction:
        assert transaction.table(Table.META).get(b"k") == b"v"
    with backend.write(), pytest.raises(AssertionError):
        backend.close()

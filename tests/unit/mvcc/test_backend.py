"""What every backend must do; run against memory and LMDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from zetcd.mvcc.backend import FIXED_VALUE_TABLES, MULTI_VALUE_TABLES, Backend, Table
from zetcd.mvcc.revision import ENTRY_BYTES
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.memory_backend import MemoryBackend


@pytest.fixture(params=["memory", "lmdb"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "memory":
        yield MemoryBackend()
        return
    lmdb_backend = LmdbBackend(tmp_path, map_bytes=1 << 24)
    yield lmdb_backend
    lmdb_backend.close()


def entry(number: int) -> bytes:
    return bytes([number]) * ENTRY_BYTES


def test_a_plain_table_replaces(backend: Backend) -> None:
    with backend.write() as transaction:
        table = transaction.table(Table.META)
        table.put(b"k", b"1")
        table.put(b"k", b"2")
        assert table.get(b"k") == b"2"
        assert table.get(b"other") is None
        assert table.count() == 1
        assert table.delete(b"k")
        assert not table.delete(b"k")


def test_append_refuses_what_is_not_the_greatest(backend: Backend) -> None:
    with backend.write() as transaction:
        table = transaction.table(Table.REV)
        table.append(b"b", b"1")
        with pytest.raises(AssertionError):
            table.append(b"a", b"2")
        assert table.last_key() == b"b"


def test_values_of_a_key_are_sorted_and_found_by_bound(backend: Backend) -> None:
    with backend.write() as transaction:
        table = transaction.table(Table.INDEX)
        for number in (3, 1, 5, 3):
            table.add(b"k", entry(number))
        assert table.values(b"k") == [entry(1), entry(3), entry(5)]
        assert table.get(b"k") == entry(1)
        assert table.seek_value(b"k", entry(2)) == entry(3)
        assert table.seek_value(b"k", entry(6)) is None
        assert table.seek_value(b"none", entry(0)) is None
        assert table.values(b"none") == []
        assert table.discard(b"k", entry(1))
        assert not table.discard(b"k", entry(1))
        assert table.get(b"k") == entry(3)
        assert table.count() == 2
        assert table.delete(b"k")
        assert table.get(b"k") is None


def test_a_scan_gives_each_key_once_with_its_first_value(backend: Backend) -> None:
    with backend.write() as transaction:
        table = transaction.table(Table.INDEX)
        for key in (b"a", b"b", b"c"):
            table.add(key, entry(2))
            table.add(key, entry(1))
        assert list(table.scan(b"a", b"c")) == [(b"a", entry(1)), (b"b", entry(1))]
        assert [key for key, _ in table.scan(b"aa", None)] == [b"b", b"c"]
        assert [key for key, _ in table.scan(b"", None)] == [b"a", b"b", b"c"]
        assert list(table.scan(b"d", None)) == []
        assert table.get_many([b"c", b"a"]) == [entry(1), entry(1)]


def change_and_fail(backend: Backend) -> None:
    with backend.write() as transaction:
        transaction.table(Table.META).put(b"k", b"2")
        transaction.table(Table.META).put(b"new", b"2")
        transaction.table(Table.INDEX).discard(b"k", entry(1))
        raise ZeroDivisionError


def test_a_failed_transaction_changes_nothing(backend: Backend) -> None:
    with backend.write() as transaction:
        transaction.table(Table.META).put(b"k", b"1")
        transaction.table(Table.INDEX).add(b"k", entry(1))
    with pytest.raises(ZeroDivisionError):
        change_and_fail(backend)
    with backend.read() as transaction:
        assert transaction.table(Table.META).get(b"k") == b"1"
        assert transaction.table(Table.META).get(b"new") is None
        assert transaction.table(Table.INDEX).values(b"k") == [entry(1)]


def test_an_empty_table_has_no_last_key(backend: Backend) -> None:
    with backend.read() as transaction:
        assert transaction.table(Table.REV).last_key() is None
        assert transaction.table(Table.REV).count() == 0


def test_size_counts_what_is_used(backend: Backend) -> None:
    before = backend.size().used_bytes
    with backend.write() as transaction:
        transaction.table(Table.META).put(b"k", b"v" * 100_000)
    full = backend.size()
    assert full.used_bytes >= before + 100_000
    assert full.file_bytes >= full.used_bytes
    with backend.write() as transaction:
        transaction.table(Table.META).delete(b"k")
    assert backend.size().used_bytes < full.used_bytes - 50_000


def test_fixed_values_are_multi_values() -> None:
    assert FIXED_VALUE_TABLES <= MULTI_VALUE_TABLES


@pytest.mark.parametrize("stop", [b"a", b"b", b"b0", b"d", b"e", b"z", None])
@pytest.mark.parametrize("keys_max", [1, 2, 3, 4, 9])
def test_first_values_are_those_of_a_scan(
    backend: Backend, stop: bytes | None, keys_max: int
) -> None:
    with backend.write() as transaction:
        table = transaction.table(Table.INDEX)
        for number, key in enumerate((b"b", b"c", b"d", b"e")):
            table.add(key, entry(9))
            table.add(key, entry(number))
        for start in (b"a", b"b", b"bb", b"e", b"f"):
            expected = [item for item in table.scan(start, stop) if stop is None or item[0] < stop]
            values, following = table.first_values(start, stop, keys_max)
            assert values == [value for _, value in expected[:keys_max]]
            assert following == (expected[keys_max][0] if len(expected) > keys_max else None)

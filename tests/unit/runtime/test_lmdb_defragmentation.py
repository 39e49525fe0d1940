"""A store is copied while it is written; copy and store are equal at the end, and the copy is small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import NotCapable
from zetcd.mvcc.backend import MULTI_VALUE_TABLES, Table, WriteTransaction
from zetcd.mvcc.revision import ENTRY_BYTES
from zetcd.runtime import lmdb_trust
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.lmdb_defragmentation import DefragmentableStore
from zetcd.runtime.memory_backend import MemoryBackend

MAP_BYTES = 1 << 26


def opened(directory: Path, *, slice_pairs_max: int = 3) -> DefragmentableStore:
    lmdb_trust.open_directory(directory, lmdb_trust.boot_id())
    backend = LmdbBackend(directory, map_bytes=MAP_BYTES)
    return DefragmentableStore(backend, directory, MAP_BYTES, slice_pairs_max=slice_pairs_max)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DefragmentableStore]:
    store = opened(tmp_path / "db")
    yield store
    store.close()


def contents(store: DefragmentableStore | MemoryBackend) -> dict[Table, list[object]]:
    with store.read() as transaction:
        return {
            table: [
                (
                    key,
                    transaction.table(table).values(key) if table in MULTI_VALUE_TABLES else value,
                )
                for key, value in transaction.table(table).scan(b"", None)
            ]
            for table in Table
        }


def finish(store: DefragmentableStore) -> str:
    while (outcome := store.defragment_step()) is None:
        pass
    return outcome


KEYS = st.integers(0, 9).map(lambda number: b"%d" % number)
VALUES = st.integers(0, 9).map(lambda number: bytes([number]) * ENTRY_BYTES)
#: (table, operation, key, value).
CHANGES = st.tuples(
    st.sampled_from([Table.REV, Table.INDEX, Table.LEASE_KEYS, Table.LEASE, Table.META]),
    st.sampled_from(["set", "set", "delete", "discard", "append"]),
    KEYS,
    VALUES,
)


def change(transaction: WriteTransaction, each: tuple[Table, str, bytes, bytes]) -> None:
    name, operation, key, value = each
    table = transaction.table(name)
    is_multi = name in MULTI_VALUE_TABLES
    if operation == "delete" or (operation == "discard" and not is_multi):
        table.delete(key)
    elif operation == "discard":
        table.discard(key, value)
    elif operation == "append" and not is_multi:
        last = table.last_key()
        table.append((last or b"") + b"x", value)
    elif is_multi:
        if value not in table.values(key):
            table.add(key, value)
    else:
        table.put(key, value)


@given(
    before=st.lists(CHANGES, max_size=40),
    meanwhile=st.lists(st.lists(CHANGES, max_size=4), max_size=20),
    slice_pairs_max=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_meanwhile_the_copy_is_the_store(
    before: list[tuple[Table, str, bytes, bytes]],
    meanwhile: list[list[tuple[Table, str, bytes, bytes]]],
    slice_pairs_max: int,
) -> None:
    model = MemoryBackend()
    with TemporaryDirectory() as directory:
        store = opened(Path(directory) / "db", slice_pairs_max=slice_pairs_max)
        for backend in (store, model):
            with backend.write() as transaction:
                for each in before:
                    change(transaction, each)
        store.begin_defragmentation()
        outcome = None
        for batch in meanwhile:
            for backend in (store, model):
                with backend.write() as transaction:
                    for each in batch:
                        change(transaction, each)
            if outcome is None:
                outcome = store.defragment_step()
        if outcome is None:
            outcome = finish(store)
        assert outcome == ""
        assert contents(store) == contents(model)
        store.close()


def test_free_pages_go_back_to_the_file_system_and_a_restart_believes_the_new_file(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path / "db", slice_pairs_max=2_000)
    small = SmallStore(store)
    for number in range(50):
        small.put(b"k%d" % number, bytes(20_000))
    small.delete(b"k", b"l")
    before = store.size()
    with store.write() as transaction:
        for key, _ in list(transaction.table(Table.REV).scan(b"", None)):
            transaction.table(Table.REV).delete(key)
    held = contents(store)
    store.begin_defragmentation()
    assert finish(store) == ""
    assert store.size().file_bytes < before.file_bytes / 5
    assert contents(store) == held
    assert [each.name for each in tmp_path.iterdir()] == ["db"]
    store.close()
    assert lmdb_trust.is_trusted(tmp_path / "db", lmdb_trust.boot_id())
    again = opened(tmp_path / "db")
    assert contents(again) == held
    # And once more, as often as somebody likes.
    again.begin_defragmentation()
    assert finish(again) == ""
    assert contents(again) == held
    again.close()


def test_what_an_interrupted_one_has_left_is_removed(tmp_path: Path) -> None:
    store = opened(tmp_path / "db")
    SmallStore(store).put(b"a", b"1")
    (tmp_path / "db.defragmented-1-1").mkdir()
    (tmp_path / "db.replaced-1-1").mkdir()
    held = contents(store)
    store.close()
    store = opened(tmp_path / "db")
    assert [each.name for each in tmp_path.iterdir()] == ["db"]
    # One that is under way when the process ends leaves nothing either.
    store.begin_defragmentation()
    store.close()
    assert [each.name for each in tmp_path.iterdir()] == ["db"]
    store = opened(tmp_path / "db")
    assert contents(store) == held
    store.close()


@pytest.mark.interpreted
def test_a_copy_that_cannot_be_written_is_given_up_and_the_store_goes_on(
    store: DefragmentableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SmallStore(store)
    for number in range(10):
        small.put(b"k%d" % number, b"v")
    store.begin_defragmentation()
    assert store.defragment_step() is None

    def full(*_: object) -> None:
        raise lmdb.DiskError("no space")

    monkeypatch.setattr(LmdbBackend, "append_pairs", full)
    small.put(b"k", b"1")
    assert "no space" in finish(store)
    assert not store.is_defragmenting
    small.put(b"k", b"2")
    with small.view() as view:
        found = view.get(b"k")
    assert found is not None
    assert found.value == b"2"
    assert [each.name for each in tmp_path.iterdir()] == ["db"]


def test_a_reader_that_opens_in_the_middle_of_the_switch_is_told_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path / "db")
    SmallStore(store).put(b"a", b"1")
    store.close()
    open_environment = lmdb.open

    def switching(path: str, **options: object) -> lmdb.Environment:
        environment = open_environment(path, **options)  # type: ignore[arg-type]
        (tmp_path / "db").rename(tmp_path / "moved")
        return environment

    monkeypatch.setattr(lmdb, "open", switching)
    with pytest.raises(NotCapable, match="replaced"):
        LmdbBackend(tmp_path / "db", map_bytes=MAP_BYTES, readonly=True)

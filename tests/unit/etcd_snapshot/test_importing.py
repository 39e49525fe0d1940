"""A store that has gone through a file is the same store, and goes on as it would have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.bolt.files import everything, written
from tests.unit.etcd_snapshot.stores import (
    History,
    compacted,
    contents,
    exported,
    imported,
    sample,
)
from zetcd.errors import CorruptSnapshot, NotImplementedYet
from zetcd.etcd_snapshot import ImportOptions
from zetcd.etcd_snapshot.buckets import encode_revision
from zetcd.etcd_snapshot.protobuf import StoredKeyValue, encode_key_value
from zetcd.mvcc.backend import Table

TABLES = (Table.REV, Table.INDEX, Table.LEASE_KEYS, Table.LEASE)


def finished(revision: int) -> History:
    history = compacted(sample(), revision)
    history.compact()
    return history


@pytest.mark.parametrize(
    "make",
    [History, sample, lambda: compacted(sample(), 20), lambda: finished(20), lambda: finished(207)],
)
def test_what_is_exported_is_imported(make: Callable[[], History]) -> None:
    history = make()
    backend, state = imported(exported(history))
    assert contents(backend, *TABLES) == contents(history.backend, *TABLES)
    before = history.applier.state
    assert state.current_revision == before.current_revision
    assert state.compact_revision == before.compact_revision
    assert state.compact_finished_revision == before.compact_finished_revision
    state.check()


def test_alarms_and_members_stay_behind() -> None:
    backend, _ = imported(exported(sample()))
    found = contents(backend, Table.ALARM, Table.MEMBER)
    assert found == {Table.ALARM: [], Table.MEMBER: []}


def test_the_revision_is_raised_and_everything_before_it_compacted() -> None:
    history = sample()
    last = history.applier.state.current_revision
    options = ImportOptions(bump_revision=1_000_000, mark_compacted=True)
    backend, state = imported(exported(history), options)
    assert state.current_revision == state.compact_revision == last + 1_000_000
    assert state.compact_finished_revision == 0
    assert contents(backend, Table.REV) == contents(history.backend, Table.REV)


def test_the_empty_record_of_a_raised_revision_only_counts() -> None:
    kv = encode_key_value(StoredKeyValue(b"a", 2, 2, 1))
    content = written({b"key": [(encode_revision(2), kv), (encode_revision(900), b"")]})
    backend, state = imported(content)
    assert state.current_revision == 900
    assert len(contents(backend, Table.REV)[Table.REV]) == 1


def test_a_file_with_authentication_is_refused() -> None:
    with pytest.raises(NotImplementedYet):
        imported(written({b"auth": [(b"authEnabled", b"\x01")]}))


@pytest.mark.parametrize(
    "buckets",
    [
        {b"key": [(encode_revision(2), encode_key_value(StoredKeyValue(b"a", 2, 3, 1)))]},
        {b"key": [(encode_revision(2), encode_key_value(StoredKeyValue(b"a", 3, 2, 1)))]},
        {b"key": [(encode_revision(2), encode_key_value(StoredKeyValue(b"a", 2, 2, 0)))]},
        {b"key": [(b"no revision", b"")]},
        {b"key": [(encode_revision(2), b"\xff")]},
        {b"lease": [(bytes(8), b"\x08\x07")]},
        {b"meta": [(b"scheduledCompactRev", b"?")]},
    ],
)
def test_records_that_contradict_themselves_are_refused(
    buckets: dict[bytes, list[tuple[bytes, bytes]]],
) -> None:
    with pytest.raises(CorruptSnapshot):
        imported(written(buckets))


def test_a_second_way_through_a_file_changes_nothing() -> None:
    first = exported(sample())
    assert everything(first)[b"key"] == everything(exported(sample()))[b"key"]

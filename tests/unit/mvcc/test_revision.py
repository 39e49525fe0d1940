"""Keys of records go up with revisions, index entries go down."""

from zetcd.mvcc.revision import (
    ENTRY_BYTES,
    ENTRY_FLAGS,
    SUB_MAX,
    TOMBSTONE,
    Entry,
    decode_entry,
    entry_bound,
    entry_of,
    older_bound,
    pack_key,
    record_key_of,
    unpack_key,
)


def test_record_keys_sort_by_main_then_sub() -> None:
    names = [(2, 0), (2, 1), (3, 0), (256, 0), (2**40, SUB_MAX)]
    assert sorted(pack_key(*name) for name in names) == [pack_key(*name) for name in names]
    assert [unpack_key(pack_key(*name)) for name in names] == names


def test_entries_sort_newest_first() -> None:
    names = [(300, 0), (3, 1), (3, 0), (2, 7)]
    entries = [entry_of(main, sub, 1, 1, 0) for main, sub in names]
    assert sorted(entries) == entries


def test_an_entry_decodes_to_what_it_was_made_of() -> None:
    entry = entry_of(9, 3, 5, 2, TOMBSTONE)
    assert decode_entry(entry) == Entry(9, 3, 5, 2, TOMBSTONE)
    assert len(entry) == ENTRY_BYTES
    assert entry[ENTRY_FLAGS] == TOMBSTONE
    assert record_key_of(entry) == pack_key(9, 3)


def test_the_bound_of_a_revision_admits_all_of_it_and_nothing_newer() -> None:
    bound = entry_bound(5)
    assert entry_of(6, 0, 1, 1, 0) < bound
    assert entry_of(5, SUB_MAX, 1, 1, 0) >= bound
    assert entry_of(5, 0, 1, 1, 0) >= bound


def test_the_older_bound_excludes_the_entry_itself() -> None:
    for main, sub in ((5, 0), (5, 1)):
        bound = older_bound(main, sub)
        assert entry_of(main, sub, 2**63, 2**63, 255) < bound
    assert entry_of(5, 0, 0, 0, 0) >= older_bound(5, 1)
    assert entry_of(4, SUB_MAX, 0, 0, 0) >= older_bound(5, 0)

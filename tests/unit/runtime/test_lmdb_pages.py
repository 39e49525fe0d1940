"""The number of free pages, against what was written and removed."""

from __future__ import annotations

from pathlib import Path

import lmdb

from zetcd.runtime.lmdb_pages import free_pages


def count(environment: lmdb.Environment, path: Path) -> int:
    with environment.begin() as transaction, (path / "data.mdb").open("rb") as file:
        return free_pages(file.fileno(), transaction.id(), environment.stat()["psize"])


def test_big_values_leave_their_pages_free(tmp_path: Path) -> None:
    environment = lmdb.open(str(tmp_path), map_size=1 << 26, sync=False)
    page_bytes = environment.stat()["psize"]
    assert count(environment, tmp_path) == 0
    with environment.begin(write=True) as transaction:
        for number in range(600):
            transaction.put(b"%d" % number, b"v" * page_bytes * 3)
    with environment.begin(write=True) as transaction:
        for number in range(600):
            transaction.delete(b"%d" % number)
    # Each value took four pages; the list itself needs more than one page.
    assert 2400 <= count(environment, tmp_path) <= 2450
    environment.close()


def test_a_tree_of_many_small_lists_is_added_up(tmp_path: Path) -> None:
    environment = lmdb.open(str(tmp_path), map_size=1 << 26, sync=False)
    with environment.begin(write=True) as transaction:
        for number in range(20_000):
            transaction.put(b"%d" % number, b"v" * 200)
    last_page = environment.info()["last_pgno"]
    # A reader keeps every freed page from being used again: one list per transaction.
    with environment.begin() as reader:
        for number in range(300):
            with environment.begin(write=True) as transaction:
                transaction.put(b"%d" % number, b"w" * 200)
        assert reader.get(b"0") == b"v" * 200
    added = environment.info()["last_pgno"] - last_page
    assert added > 600
    # Nearly all pages added took the place of one that was freed.
    assert 0.9 * added <= count(environment, tmp_path) <= added
    environment.close()

"""Damage to the store of a stopped member, as bit rot or a hand on the file would do it."""

from __future__ import annotations

from pathlib import Path

import lmdb

from tests.integration.cluster import Node
from zetcd.mvcc.record import HEADER_BYTES


def change_value(node: Node, value: bytes) -> None:
    """Change the last byte of one record of the history that holds ``value``."""
    store = Path(node.config.store_dir())
    with (
        lmdb.open(str(store), max_dbs=8, map_size=node.config.map_bytes()) as environment,
        environment.begin(write=True) as transaction,
    ):
        table = environment.open_db(b"rev", transaction, create=False)
        for key, record in transaction.cursor(table):
            if record[HEADER_BYTES:].endswith(value):
                transaction.put(key, record[:-1] + b"!", db=table)
                return
    raise AssertionError(f"{node.name} holds no {value!r}")


def discard_store(node: Node) -> None:
    """Take away the mark that vouches for the store: the next start makes it anew from the log."""
    (Path(node.config.store_dir()) / "trust").unlink()

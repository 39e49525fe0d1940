"""Responsible for the one record that says how far the store is; written with every transaction.

It sits in table META under `STATE_KEY`, so that the consistent index and the changes it stands for
are one transaction, and so that the current revision does not depend on which keys survive.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from zetcd.mvcc.backend import ReadTransaction, Table, WriteTransaction
from zetcd.scalars import Index, Revision, Term

#: Key of the state in META.
STATE_KEY: Final = b"state"
_STATE: Final = struct.Struct(">QQQQQQQ")


@dataclass(slots=True)
class StoreState:
    """How far the store is. Mutated by the applier only; readers load their own copy."""

    #: Index of the last applied entry; 0 = none.
    consistent_index: Index = 0
    #: Term of that entry.
    applied_term: Term = 0
    #: Main revision of the last change; an empty store is at 1, as in etcd.
    current_revision: Revision = 1
    #: History before it is not readable; 0 = never compacted.
    compact_revision: Revision = 0
    #: Everything that compaction at this revision drops has been removed; <= compact_revision.
    compact_finished_revision: Revision = 0
    #: Where the removal goes on: main and sub-revision of the next record to look at.
    compact_next_main: Revision = 0
    compact_next_sub: int = 0

    def check(self) -> None:
        """Assert the invariants."""
        assert self.current_revision >= 1
        assert self.compact_finished_revision <= self.compact_revision
        assert self.compact_revision <= self.current_revision


def load_state(transaction: ReadTransaction | WriteTransaction) -> StoreState:
    """Return the state as the transaction sees it."""
    packed = transaction.table(Table.META).get(STATE_KEY)
    return StoreState() if packed is None else unpack_state(packed)


def unpack_state(packed: bytes) -> StoreState:
    """Return the state that `save_state` packed."""
    return StoreState(*_STATE.unpack(packed))


def save_state(transaction: WriteTransaction, state: StoreState) -> None:
    """Write the state."""
    packed = _STATE.pack(
        state.consistent_index,
        state.applied_term,
        state.current_revision,
        state.compact_revision,
        state.compact_finished_revision,
        state.compact_next_main,
        state.compact_next_sub,
    )
    transaction.table(Table.META).put(STATE_KEY, packed)

"""Responsible for comparing two stores table by table and saying readably where they differ.

Shows keys, and of values only sizes and checksums: a report may be passed on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import google_crc32c

from zetcd.mvcc.backend import MULTI_VALUE_TABLES, ReadTable, ReadTransaction, Table
from zetcd.mvcc.record import decode_record, unpack_header
from zetcd.mvcc.revision import TOMBSTONE, decode_entry, unpack_key
from zetcd.mvcc.state import STATE_KEY, unpack_state
from zetcd.offline_check.report import DIFFERENCES_MAX, Part, Verdict

#: Characters of a key or of bytes without a better form.
_SHOWN_MAX: Final = 60
_UNREADABLE: Final = (struct.error, ValueError, OverflowError)
#: Key with its values in the store and in the replay; either may be empty.
_Item = tuple[bytes, list[bytes], list[bytes]]


class _Side(NamedTuple):
    table: ReadTable
    has_many: bool

    def items(self, stop: bytes | None) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield each key with all its values, ascending."""
        for key, value in self.table.scan(b"", stop):
            yield key, self.table.values(key) if self.has_many else [value]


def compare_table(
    table: Table, store: ReadTransaction, replayed: ReadTransaction, stop: bytes | None = None
) -> Part:
    """Compare one table of the member's store with what the log makes of it.

    Args:
        table: Which one.
        store: The member's.
        replayed: What a replay of the log has led to.
        stop: Only keys before it; None = all.
    """
    has_many = table in MULTI_VALUE_TABLES
    sides = _Side(store.table(table), has_many), _Side(replayed.table(table), has_many)
    keys_count = differences_count = 0
    differences: list[str] = []
    for key, found, expected in _merged(sides[0].items(stop), sides[1].items(stop)):
        keys_count += 1
        if found == expected or (table is Table.META and not _meta_differs(key, found, expected)):
            continue
        differences_count += 1
        if len(differences) < DIFFERENCES_MAX:
            differences.append(_describe(table, key, found, expected))
    facts: dict[str, int | str] = {"keys": keys_count, "differences": differences_count}
    name = f"table {table.name.lower()}"
    if not differences_count:
        return Part(name, Verdict.OK, f"{keys_count} keys, all as the log says", facts)
    summary = f"{differences_count} of {keys_count} keys differ from what the log says"
    return Part(name, Verdict.CORRUPT, summary, facts, tuple(differences))


def _merged(
    found: Iterator[tuple[bytes, list[bytes]]], expected: Iterator[tuple[bytes, list[bytes]]]
) -> Iterator[_Item]:
    """Walk two sorted sequences side by side."""
    left, right = next(found, None), next(expected, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            yield left[0], left[1], []
            left = next(found, None)
        elif left is None or right[0] < left[0]:
            yield right[0], [], right[1]
            right = next(expected, None)
        else:
            yield left[0], left[1], right[1]
            left, right = next(found, None), next(expected, None)


def _meta_differs(key: bytes, found: list[bytes], expected: list[bytes]) -> bool:
    """Return whether a record of META differs in more than how far the removal of history is."""
    if not found or not expected:
        return True
    if key == STATE_KEY:
        return _state(found[0]) != _state(expected[0])
    return found != expected


# --- words -----------------------------------------------------------------------------------


def _describe(table: Table, key: bytes, found: list[bytes], expected: list[bytes]) -> str:
    name_of, form_of = _FORMS.get(table, (_shown, _plain))
    try:
        name = name_of(key)
    except _UNREADABLE:
        name = f"unreadable key {_shown(key)}"
    # Of long lists only what is not in both.
    has = _values_text(form_of, key, [each for each in found if each not in expected])
    says = _values_text(form_of, key, [each for each in expected if each not in found])
    return f"{name}: store has {has}, log says {says}"


def _values_text(form_of: Callable[[bytes, bytes], str], key: bytes, values: list[bytes]) -> str:
    """Return values in a readable form, or their bytes where damage has made them unreadable."""
    texts: list[str] = []
    for value in values:
        try:
            texts.append(form_of(key, value))
        except _UNREADABLE:
            texts.append(f"unreadable {_shown(value)}")
    return "; ".join(texts) or "nothing"


def _shown(content: bytes) -> str:
    text = repr(bytes(content))[1:]
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}… ({len(content)} bytes)"


def _sized(content: bytes) -> str:
    return f"{len(content)} bytes (CRC {google_crc32c.value(bytes(content)):08x})"


def _plain(key: bytes, value: bytes) -> str:
    del key
    return _sized(value)


def _revision_name(key: bytes) -> str:
    main, sub = unpack_key(key)
    return f"revision {main}.{sub}"


def _record(key: bytes, value: bytes) -> str:
    kv = decode_record(unpack_key(key)[0], value)
    if unpack_header(value)[3] & TOMBSTONE:
        return f"delete of {_shown(kv.key)}"
    lease = f" lease {kv.lease:x}" if kv.lease else ""
    return (
        f"put of {_shown(kv.key)} version {kv.version} created {kv.create_revision}{lease} "
        f"value {_sized(kv.value)}"
    )


def _key_name(key: bytes) -> str:
    return f"key {_shown(key)}"


def _entry(key: bytes, value: bytes) -> str:
    del key
    entry = decode_entry(value)
    kind = "delete" if entry.flags & TOMBSTONE else f"version {entry.version}"
    return f"{kind} at {entry.main}.{entry.sub}"


def _number_name(what: str) -> Callable[[bytes], str]:
    return lambda key: f"{what} {int.from_bytes(key, 'big'):x}"


def _lease(key: bytes, value: bytes) -> str:
    del key
    granted, remaining = struct.unpack(">QQ", value)
    return f"TTL {granted} s, checkpointed {remaining} s"


def _attached(key: bytes, value: bytes) -> str:
    del key
    return f"key {_shown(value)}"


def _state(value: bytes) -> str:
    state = unpack_state(value)
    return (
        f"index {state.consistent_index} of term {state.applied_term}, "
        f"revision {state.current_revision}, compacted at {state.compact_revision}"
    )


def _meta(key: bytes, value: bytes) -> str:
    return _state(value) if key == STATE_KEY else _shown(value)


_Forms = tuple[Callable[[bytes], str], Callable[[bytes, bytes], str]]
_FORMS: Final[dict[Table, _Forms]] = {
    Table.REV: (_revision_name, _record),
    Table.INDEX: (_key_name, _entry),
    Table.LEASE_KEYS: (_number_name("lease"), _attached),
    Table.LEASE: (_number_name("lease"), _lease),
    Table.MEMBER: (_number_name("member"), lambda _, value: _shown(value)),
    Table.META: (bytes.decode, _meta),
}

"""Responsible for the three protobuf messages in etcd's buckets: KeyValue, Lease, AlarmMember.

By hand rather than with protobuf's library: there are three, each of numbers and bytes, and whoever
exports or imports need not load a gateway's modules for them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from zetcd.errors import CorruptSnapshot
from zetcd.varint import varint

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_MASK64: Final = 2**64 - 1
_SIGN64: Final = 2**63
#: Bits of a varint of ten bytes.
_SHIFT_MAX: Final = 63


class StoredKeyValue(NamedTuple):
    """mvccpb.KeyValue."""

    key: bytes
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    value: bytes = b""
    lease: int = 0


class StoredLease(NamedTuple):
    """leasepb.Lease."""

    id: int
    ttl: int
    remaining_ttl: int = 0


class StoredAlarm(NamedTuple):
    """etcdserverpb.AlarmMember."""

    member_id: int
    alarm: int


def encode_key_value(kv: StoredKeyValue) -> bytes:
    """Return the bytes of a KeyValue."""
    return b"".join(
        (
            _octets(1, kv.key),
            _number(2, kv.create_revision),
            _number(3, kv.mod_revision),
            _number(4, kv.version),
            _octets(5, kv.value),
            _number(6, kv.lease),
        )
    )


def decode_key_value(content: bytes) -> StoredKeyValue:
    """Return a KeyValue.

    Raises:
        CorruptSnapshot: it does not decode.
    """
    numbers, octets = _decode(content)
    return StoredKeyValue(
        octets.get(1, b""),
        _signed(numbers.get(2, 0)),
        _signed(numbers.get(3, 0)),
        _signed(numbers.get(4, 0)),
        octets.get(5, b""),
        _signed(numbers.get(6, 0)),
    )


def encode_lease(lease: StoredLease) -> bytes:
    """Return the bytes of a Lease."""
    return _number(1, lease.id) + _number(2, lease.ttl) + _number(3, lease.remaining_ttl)


def decode_lease(content: bytes) -> StoredLease:
    """Return a Lease.

    Raises:
        CorruptSnapshot: it does not decode.
    """
    numbers, _ = _decode(content)
    return StoredLease(*(_signed(numbers.get(field, 0)) for field in (1, 2, 3)))


def encode_alarm(alarm: StoredAlarm) -> bytes:
    """Return the bytes of an AlarmMember."""
    return _number(1, alarm.member_id) + _number(2, alarm.alarm)


def decode_alarm(content: bytes) -> StoredAlarm:
    """Return an AlarmMember.

    Raises:
        CorruptSnapshot: it does not decode.
    """
    numbers, _ = _decode(content)
    return StoredAlarm(numbers.get(1, 0), numbers.get(2, 0))


# --- the wire format ------------------------------------------------------------------------------


def _number(field: int, value: int) -> bytes:
    return varint(field << 3 | _VARINT) + varint(value & _MASK64) if value else b""


def _octets(field: int, value: bytes) -> bytes:
    return varint(field << 3 | _BYTES) + varint(len(value)) + value if value else b""


def _signed(value: int) -> int:
    return value - 2**64 if value >= _SIGN64 else value


def _read_varint(content: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while offset < len(content) and shift <= _SHIFT_MAX:
        octet = content[offset]
        offset += 1
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return value & _MASK64, offset
        shift += 7
    raise CorruptSnapshot("a number in a record is cut off")


def _decode(content: bytes) -> tuple[dict[int, int], dict[int, bytes]]:
    """Return the fields of a message, numbers and bytes; the last one of a field counts."""
    numbers: dict[int, int] = {}
    octets: dict[int, bytes] = {}
    offset = 0
    while offset < len(content):
        tag, offset = _read_varint(content, offset)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            numbers[field], offset = _read_varint(content, offset)
        elif kind == _BYTES:
            size, offset = _read_varint(content, offset)
            octets[field] = content[offset : offset + size]
            offset += size
        elif kind in (_FIXED64, _FIXED32):
            offset += 8 if kind == _FIXED64 else 4
        else:
            raise CorruptSnapshot(f"a record has a field of kind {kind}")
    if offset != len(content):
        raise CorruptSnapshot("a record is cut off")
    return numbers, octets

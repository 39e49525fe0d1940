"""Responsible for numbers as protobuf writes them: seven bits to an octet, the lowest first."""

from __future__ import annotations

from typing import Final

#: Every last octet of a number, and every octet that others follow.
_LAST: Final = tuple([bytes((bits,)) for bits in range(0x80)])
_MORE: Final = tuple([bytes((bits | 0x80,)) for bits in range(0x80)])


def varint(value: int) -> bytes:
    """Return a number that is not negative as protobuf writes it."""
    assert value >= 0
    if value < 0x80:
        return _LAST[value]
    octets = _MORE[value & 0x7F]
    value >>= 7
    while value >= 0x80:
        octets += _MORE[value & 0x7F]
        value >>= 7
    return octets + _LAST[value]

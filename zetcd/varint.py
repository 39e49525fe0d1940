"""Responsible for numbers as protobuf writes them: seven bits to an octet, the lowest first."""

from __future__ import annotations


def varint(value: int) -> bytes:
    """Return a number that is not negative as protobuf writes it."""
    if value < 0x80:
        return bytes((value,))
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)

"""Responsible for telling HTTP/2 from anything else by the first bytes of a connection."""

from __future__ import annotations

from enum import IntEnum

from zetcd.gateway.grpc.frames import PREFACE


class Protocol(IntEnum):
    """What the bytes seen so far can be."""

    UNDECIDED = 0
    HTTP2 = 1
    OTHER = 2


def protocol_of(seen: bytes) -> Protocol:
    """Say what a connection that begins with ``seen`` speaks.

    HTTP/1.1's methods all differ from ``PRI`` in the second octet, so that one packet decides.
    """
    if seen.startswith(PREFACE):
        return Protocol.HTTP2
    return Protocol.UNDECIDED if PREFACE.startswith(seen) else Protocol.OTHER

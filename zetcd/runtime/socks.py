"""Responsible for the server's half of SOCKS5's beginning (RFC 1928), as far as ZeroMQ speaks it; pure.

No authentication, CONNECT only. Octets go in, octets to send come out.
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

_VERSION: Final = 5
_NO_AUTHENTICATION: Final = 0
_CONNECT: Final = 1
_ADDRESS_BYTES: Final = {1: 4, 4: 16}
_DOMAIN_NAME: Final = 3

#: Codes of replies.
SUCCEEDED: Final = 0
NOT_ALLOWED: Final = 2


class SocksTarget(NamedTuple):
    """What is asked for."""

    host: str
    port: int


def reply(code: int) -> bytes:
    """Return the answer to a request."""
    return bytes((_VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0))


class SocksRequest:
    """One connection until its target is known."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._buffer = b""
        self._is_greeted = False
        self.target: SocksTarget | None = None

    def feed(self, data: bytes) -> bytes:
        """Take octets; return what to send. `target` is set once the request is whole.

        Raises:
            ValueError: this is not what ZeroMQ says.
        """
        self._buffer += data
        if not self._is_greeted:
            return self._greet()
        self._take_request()
        return b""

    def _greet(self) -> bytes:
        if self._buffer[:1] not in (b"", bytes((_VERSION,))):
            raise ValueError("is not SOCKS5")
        if len(self._buffer) < 2 or len(self._buffer) < 2 + self._buffer[1]:
            return b""
        end = 2 + self._buffer[1]
        if _NO_AUTHENTICATION not in self._buffer[2:end]:
            raise ValueError("wants to be authenticated")
        self._buffer = self._buffer[end:]
        self._is_greeted = True
        return bytes((_VERSION, _NO_AUTHENTICATION))

    def _take_request(self) -> None:
        data = self._buffer
        if len(data) < 5:
            return
        if data[0] != _VERSION or data[1] != _CONNECT:
            raise ValueError("asks for something else than a connection")
        kind = data[3]
        begin = 5 if kind == _DOMAIN_NAME else 4
        length = data[4] if kind == _DOMAIN_NAME else _ADDRESS_BYTES.get(kind)
        if length is None:
            raise ValueError(f"has an address of kind {kind}")
        end = begin + length
        if len(data) < end + 2:
            return
        if len(data) > end + 2:
            raise ValueError("says more than it may")
        host = data[begin:end]
        text = host.decode("ascii") if kind == _DOMAIN_NAME else str(ipaddress.ip_address(host))
        self.target = SocksTarget(text, int.from_bytes(data[end:], "big"))

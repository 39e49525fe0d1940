"""Responsible for a client's stream of JSON objects: where one ends and the next begins.

Knows nothing of what is in them. Each octet is looked at once, however small the pieces it comes in.
"""

from __future__ import annotations

import re
from typing import Final

from zetcd.gateway.http.json_messages import BadJson

#: What decides where an object ends.
_MARK: Final = re.compile(rb'["{}\\]')
_WHITE_SPACE: Final = b" \t\r\n"


class JsonSplitter:
    """Cuts octets into the objects they contain.

    Invariant: `_buffer` begins with the object that is not complete, `_scanned` octets of which have
    been looked at.
    """

    __slots__ = ("_buffer", "_bytes_max", "_depth", "_is_in_text", "_scanned")

    def __init__(self, bytes_max: int) -> None:
        """Expect objects of at most ``bytes_max`` octets."""
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._scanned = 0
        self._depth = 0
        self._is_in_text = False

    @property
    def kept_bytes(self) -> int:
        """Octets of the object that is not complete."""
        return len(self._buffer)

    def drop(self) -> None:
        """Forget it."""
        self._buffer.clear()

    def feed(self, octets: bytes) -> list[bytes]:
        """Take octets; return the objects that are now complete.

        Raises:
            BadJson: something else than an object, or one that is too large.
        """
        self._buffer += octets
        objects: list[bytes] = []
        while (end := self._find_end()) is not None:
            objects.append(bytes(self._buffer[:end]))
            del self._buffer[:end]
            self._scanned = 0
        if len(self._buffer) > self._bytes_max:
            raise BadJson(f"an object of more than {self._bytes_max} bytes")
        return objects

    def end(self) -> None:
        """Note that nothing follows.

        Raises:
            BadJson: an object has no end.
        """
        if self._buffer.strip(_WHITE_SPACE):
            raise BadJson("unexpected end of the stream")

    def _find_end(self) -> int | None:
        """Return where the first object ends; None: not yet."""
        buffer = self._buffer
        if not self._depth:
            stripped = buffer.lstrip(_WHITE_SPACE)
            del buffer[: len(buffer) - len(stripped)]
            if not buffer:
                return None
            if buffer[0] != ord("{"):
                raise BadJson(f"invalid character {chr(buffer[0])!r}, an object must begin here")
        position = self._scanned
        while (mark := _MARK.search(buffer, position)) is not None:
            position = mark.end()
            octet = mark[0]
            if octet == b"\\":
                if position == len(buffer):
                    # The escaped octet is still to come: look at both then.
                    self._scanned = mark.start()
                    return None
                position += 1
            elif octet == b'"':
                self._is_in_text = not self._is_in_text
            elif not self._is_in_text:
                self._depth += 1 if octet == b"{" else -1
                if not self._depth:
                    return position
        self._scanned = max(position, len(buffer))
        return None

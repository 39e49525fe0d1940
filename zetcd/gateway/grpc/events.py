"""Responsible for what the application hears of: calls, messages of streams, and their ends.

A token names a call among all connections of a process and is never used again. Whatever is sent to
a token whose call has ended is dropped; `Closed` has told or will tell.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from zetcd.gateway.grpc.head import Head


class Ending(IntEnum):
    """Why a call ended without the application's doing."""

    #: The client reset the stream: it cancelled, or its own deadline passed.
    CANCELLED = 1
    #: The deadline passed here first.
    DEADLINE = 2
    #: The connection is gone.
    LOST = 3
    #: The client broke a rule or a limit, and was told.
    REFUSED = 4


class Call(msgspec.Struct, frozen=True, gc=False):
    """A whole request of a method whose client sends one message."""

    token: int
    head: Head
    message: bytes
    #: Point in time after which nobody waits for the answer; None: never.
    deadline: float | None


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A call of a method whose client streams; `StreamMessage`s and `HalfClosed` follow."""

    token: int
    head: Head
    deadline: float | None


class StreamMessage(msgspec.Struct, frozen=True, gc=False):
    """A message of an `Opened` call."""

    token: int
    message: bytes


class HalfClosed(msgspec.Struct, frozen=True, gc=False):
    """The client has sent its last message; it still listens."""

    token: int


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The call is over; comes once, and not after the application itself has finished the call."""

    token: int
    ending: Ending


class Writable(msgspec.Struct, frozen=True, gc=False):
    """After a `send` that said FULL: there is room again."""

    token: int


Event = Call | Opened | StreamMessage | HalfClosed | Closed | Writable

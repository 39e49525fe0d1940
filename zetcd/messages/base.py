"""Responsible for the shape every message shares; must never know a particular message.

A message is a frozen ``msgspec`` struct encoded as a MessagePack array ``[tag, field, field, ...]``.
Decoding *is* validation: a decoder is built for one union of structs and refuses everything else.

Rules, as in protobuf: a tag is never reused, a field is only ever appended and then has a default,
so that an old decoder skips what it does not know and a new one fills in what it does not find.
"""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of everything that crosses a process boundary.

    ``gc=False`` is sound because messages hold only scalars, bytes, tuples and other messages:
    they cannot form reference cycles.
    """

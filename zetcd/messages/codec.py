"""Responsible for turning messages into bytes and back; holds the only encoder and the tag registry."""

from __future__ import annotations

from types import UnionType
from typing import Any, Final, TypeVar, get_args

import msgspec

from zetcd.messages import client, cluster, kv, lease, node, raft, snapshot, storage, watch
from zetcd.messages.base import Message

_ENCODER: Final = msgspec.msgpack.Encoder()

#: ``encode(message) -> bytes``.
encode = _ENCODER.encode

#: Raised when bytes are not a message of the union that was asked for. Nesting beyond the interpreter's
#: limit surfaces as RecursionError: callers that decode foreign bytes catch `DECODE_ERRORS`.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MemoryError)

T = TypeVar("T")


def _registry() -> dict[int, type[Message]]:
    """Return every tagged message class by its tag, refusing duplicates."""
    tags: dict[int, type[Message]] = {}
    for module in (client, cluster, kv, lease, node, raft, snapshot, storage, watch):
        for candidate in vars(module).values():
            if not (isinstance(candidate, type) and issubclass(candidate, Message)):
                continue
            tag = candidate.__struct_config__.tag
            if not isinstance(tag, int):
                continue
            assert tags.get(tag, candidate) is candidate, f"tag {tag} is used twice"
            tags[tag] = candidate
    return dict(sorted(tags.items()))


#: Every tag ever given out and the message that owns it.
TAGS: Final = _registry()


class UnionDecoder:
    """Decodes one message of a union, chosen by its tag."""

    __slots__ = ("decode",)

    def __init__(self, union: UnionType) -> None:
        """Build the decoder of ``union``, a union of `Message` classes."""
        for member in get_args(union):
            assert member.__struct_config__.tag in TAGS, f"{member.__name__} has no tag"
        decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(union)
        #: ``decode(bytes) -> message``; raises one of `DECODE_ERRORS`.
        self.decode = decoder.decode


def decoder_of(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """Return a decoder of one struct or tuple type."""
    return msgspec.msgpack.Decoder(kind)

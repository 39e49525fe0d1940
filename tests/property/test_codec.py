"""Every message survives the wire, old versions read new ones, and no bytes do more than raise."""

from __future__ import annotations

import types
from collections.abc import Callable
from enum import IntEnum
from functools import cache, reduce
from operator import or_
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zetcd.messages.base import Message
from zetcd.messages.client import HEADER_BYTES, pack_frame, unpack_header
from zetcd.messages.codec import DECODE_ERRORS, TAGS, UnionDecoder, encode

_EVERYTHING: Any = reduce(or_, TAGS.values())
DECODE = UnionDecoder(_EVERYTHING).decode
#: Messages within messages; deeper ones are empty.
DEPTH_MAX = 3

_SCALARS: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**64 - 1) | st.integers(0, 300),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    str: st.text(max_size=20),
    float: st.floats(allow_nan=False),
    type(None): st.none(),
    msgspec.Raw: st.integers(0, 300).map(encode).map(msgspec.Raw),
}


@cache
def strategy_of(kind: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return what draws values of a field's type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of([strategy_of(each, depth) for each in arguments])
    if origin is tuple and arguments[-1] is ...:
        items = strategy_of(arguments[0], depth)
        return st.lists(items, max_size=0 if depth >= DEPTH_MAX else 3).map(tuple)
    if origin is tuple:
        return st.tuples(*(strategy_of(each, depth) for each in arguments))
    if issubclass(kind, IntEnum):
        return st.sampled_from(kind)
    if issubclass(kind, Message):
        return message_of(kind, depth + 1)
    return _SCALARS[kind]


def message_of(kind: type[Message], depth: int) -> st.SearchStrategy[Any]:
    """Return what draws messages of one class; deferred, for transactions hold transactions."""
    make: Callable[..., Message] = kind

    def build() -> st.SearchStrategy[Message]:
        hints = get_type_hints(kind)
        fields = {name: strategy_of(hints[name], depth) for name in kind.__struct_fields__}
        return st.builds(make, **fields)

    return st.deferred(build)


EVERY_MESSAGE = pytest.mark.parametrize(
    "kind", list(TAGS.values()), ids=lambda kind: str(kind.__name__)
)
ANY_MESSAGE = st.sampled_from(list(TAGS.values())).flatmap(strategy_of)
#: What a later version may append to a message.
APPENDED = st.lists(
    st.none() | st.booleans() | st.integers(0, 9) | st.binary(max_size=5) | st.text(max_size=5),
    min_size=1,
    max_size=3,
)


@EVERY_MESSAGE
@settings(max_examples=10)
@given(data=st.data())
def test_a_message_comes_back_as_it_was_sent(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(strategy_of(kind))
    decoded = DECODE(encode(message))
    assert type(decoded) is kind
    assert decoded == message
    assert encode(decoded) == encode(message)


@EVERY_MESSAGE
@settings(max_examples=5)
@given(data=st.data())
def test_an_old_decoder_skips_appended_fields(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(strategy_of(kind))
    fields: list[object] = msgspec.msgpack.decode(encode(message))
    newer = msgspec.msgpack.encode(fields + data.draw(APPENDED))
    assert DECODE(newer) == message


@given(message=ANY_MESSAGE, cut=st.integers(min_value=1))
def test_a_truncated_message_is_an_error(message: Message, cut: int) -> None:
    body = encode(message)
    with pytest.raises(DECODE_ERRORS):
        DECODE(body[: len(body) - 1 - cut % len(body)])


@given(message=ANY_MESSAGE, position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_another_message_or_an_error(
    message: Message, position: int, bit: int
) -> None:
    body = bytearray(encode(message))
    body[position % len(body)] ^= 1 << bit
    try:
        decoded = DECODE(bytes(body))
    except DECODE_ERRORS:
        return
    assert type(decoded) in TAGS.values()


@settings(max_examples=300)
@given(body=st.binary(max_size=60))
def test_no_bytes_do_more_than_raise(body: bytes) -> None:
    try:
        decoded = DECODE(body)
    except DECODE_ERRORS:
        return
    assert type(decoded) in TAGS.values()


@given(frame=st.binary(max_size=40))
def test_no_frame_does_more_than_raise(frame: bytes) -> None:
    try:
        header = unpack_header(frame)
    except ValueError:
        return
    body = frame[HEADER_BYTES:]
    assert pack_frame(header.type, header.request_id, body, header.deadline_ms)[4:] == frame[4:]

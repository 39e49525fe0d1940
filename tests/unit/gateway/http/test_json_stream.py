"""Objects cut out of a stream."""

from __future__ import annotations

import pytest

from zetcd.gateway.http.json_messages import BadJson
from zetcd.gateway.http.json_stream import JsonSplitter

OBJECTS = [b"{}", b'{"a":{"b":"}{"}}', b'{"c":"\\"}\\\\"}', b'{"d":[1,"\\u007d"]}']


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_of_any_size(size: int) -> None:
    splitter = JsonSplitter(100)
    text = b" \n".join(OBJECTS) + b"\n"
    found: list[bytes] = []
    for start in range(0, len(text), size):
        found += splitter.feed(text[start : start + size])
    splitter.end()
    assert found == OBJECTS


def test_objects_may_touch_each_other() -> None:
    assert JsonSplitter(100).feed(b"".join(OBJECTS)) == OBJECTS


@pytest.mark.parametrize("text", [b"[]", b"1", b"{} x", b'"{}"', b"}"])
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(BadJson, match="an object must begin here"):
        JsonSplitter(100).feed(text)


def test_what_has_no_end_is_refused() -> None:
    splitter = JsonSplitter(100)
    assert splitter.feed(b'{} {"a":') == [b"{}"]
    with pytest.raises(BadJson, match="unexpected end"):
        splitter.end()


def test_what_is_too_large_is_refused() -> None:
    splitter = JsonSplitter(10)
    assert splitter.feed(b'{"a":1234}') == [b'{"a":1234}']
    with pytest.raises(BadJson, match="more than 10 bytes"):
        splitter.feed(b'{"a":123456')

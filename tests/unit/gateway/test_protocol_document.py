"""docs/protocol.md says what the code does: every tag, field, default, enum, frame type and error."""

from __future__ import annotations

import inspect
import re
from enum import IntEnum
from pathlib import Path
from typing import Final, get_args

import msgspec
import pytest

from zetcd.errors import BY_NUMBER, RetryClass
from zetcd.gateway.native import gateway
from zetcd.messages import client, cluster, kv, lease, watch
from zetcd.messages.base import Message
from zetcd.messages.client import (
    WATCH_CREDIT_INITIAL,
    FrameType,
    UnaryRequest,
    UnaryResponse,
    WatchRequest,
)

DOCUMENT: Final = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
#: Messages that live beside those of clients and never leave the node.
INTERNAL: Final = {
    "PublishRequest",
    "LeaseExpireRequest",
    "LeaseCheckpoint",
    "LeaseCheckpointRequest",
}


def of_clients(kind: type) -> list[type]:
    """Return the classes of a kind that a client can meet."""
    found = {
        each.__name__: each
        for module in (client, kv, lease, watch, cluster)
        for each in vars(module).values()
        if inspect.isclass(each)
        and issubclass(each, kind)
        and each.__module__ == module.__name__
        and each.__name__ not in INTERNAL
    }
    return [found[name] for name in sorted(found)]


MESSAGES: Final = [each for each in of_clients(Message) if each is not Message]
ENUMS: Final = [each for each in of_clients(IntEnum) if each is not FrameType]


def section(name: str) -> str:
    """Return the text below the heading of a message or an enumeration."""
    match = re.search(rf"^#### {name}\n(.*?)(?=^#{{2,4}} |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert match is not None, f"docs/protocol.md has no heading for {name}"
    return match.group(1)


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table's rows."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip(" `*") for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def default_text(field: msgspec.structs.FieldInfo) -> str:
    """Return a default as the document writes it."""
    default = field.default
    if default is msgspec.NODEFAULT:
        return "required"
    if default is None:
        return "nil"
    if default in ((), b"", ""):
        return "empty"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return "[" + ", ".join(map(str, default)) + "]"
    assert isinstance(default, int)
    return str(int(default))


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_field_is_in_the_tables_with_its_number_and_default(kind: type[Message]) -> None:
    tag = kind.__struct_config__.tag
    expected = [] if tag is None else [["0", "tag", "required"]]
    for number, field in enumerate(msgspec.structs.fields(kind), start=len(expected)):
        expected.append([str(number), field.name, default_text(field)])
    text = section(kind.__name__)
    table = rows(text)
    assert [[row[0], row[1], row[3]] for row in table] == expected
    assert all(row[4] for row in table), "a field without a meaning"
    assert text.lstrip().startswith("Untagged." if tag is None else f"Tag {tag}.")


@pytest.mark.parametrize("kind", ENUMS, ids=lambda kind: kind.__name__)
def test_every_enumeration_is_there_with_its_values(kind: type[IntEnum]) -> None:
    expected = [[str(int(member)), member.name] for member in kind]
    assert [row[:2] for row in rows(section(kind.__name__))] == expected


def test_every_frame_type_is_there() -> None:
    listed = re.findall(r"^\| (\d+) \| ([A-Z]+) \|", DOCUMENT, re.MULTILINE)
    assert listed == [(str(int(each)), each.name) for each in FrameType]


def test_every_request_is_listed_with_its_response() -> None:
    listed = re.findall(r"^\| (\d+) (\w+) \| (\d+) (\w+) \|", DOCUMENT, re.MULTILINE)
    pairs = zip(get_args(UnaryRequest), get_args(UnaryResponse), strict=True)
    assert sorted(listed) == sorted(
        (
            str(request.__struct_config__.tag),
            request.__name__,
            str(response.__struct_config__.tag),
            response.__name__,
        )
        for request, response in pairs
    )


def test_every_watch_request_is_listed() -> None:
    for request in get_args(WatchRequest):
        assert f"| [{request.__name__}](#{request.__name__.lower()}) | WATCH |" in DOCUMENT


def test_every_error_is_listed_as_it_is() -> None:
    listed = re.findall(
        r"^\| (\d+) \| (\d+) ([A-Z_]+) \| (\w+) \| `(.*)` \|$", DOCUMENT, re.MULTILINE
    )
    for number, code, name, retry, text in listed:
        error = BY_NUMBER[int(number)]
        assert (int(code), name) == (int(error.code), error.code.name)
        assert (retry, text) == (error.retry.name.lower(), error.text)
    numbers = {int(row[0]) for row in listed}
    # What a client or an operator meets elsewhere, never in an ERR frame.
    local = {107, 108, 111, 112, 113, 116, 117, 118, 119, 120, 130, 131}
    assert set(BY_NUMBER) - numbers <= local


def test_every_retry_class_is_there() -> None:
    for each in RetryClass:
        assert f"| {int(each)} | {each.name.lower()} |" in DOCUMENT


def test_the_constants_are_those_of_the_code() -> None:
    messages, size = WATCH_CREDIT_INITIAL
    assert f"credit of {messages} responses and {size} bytes" in DOCUMENT
    for feature in gateway.FEATURES:
        assert f"`{feature}`" in DOCUMENT
    assert gateway.MINORS == (0,)


def test_the_worked_example_is_right() -> None:
    frame = client.pack_frame(FrameType.REQ, 7, bytes.fromhex("9702c40161c4013100c2c2c2"))
    shown = re.search(r"^5a 01 03.*?(?=```)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert shown is not None
    digits = "".join(line[:54] for line in shown.group(0).splitlines())
    assert bytes.fromhex("".join(re.findall(r"\b[0-9a-f]{2}\b", digits))) == frame

"""The JSON of every call, written down: what clients of the gateway depend on.

After a change on purpose: ``python -m tests.unit.gateway.etcd.test_json_bodies`` writes the file anew, and
its difference is to be reviewed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from zetcd.gateway.etcd.json_paths import bindings
from zetcd.gateway.etcd.methods import etcd_methods
from zetcd.gateway.http.json_messages import read_json, to_json

GOLDEN = Path(__file__).parents[3] / "testdata" / "http" / "bodies.txt"
_DEPTH_MAX = 3
_VALUES: dict[int, object] = {
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_STRING: 'te"xt <é>',
    FieldDescriptor.TYPE_BYTES: b"\x00\xff?key",
    FieldDescriptor.TYPE_INT64: -(2**63),
    FieldDescriptor.TYPE_UINT64: 2**64 - 1,
    FieldDescriptor.TYPE_UINT32: 2**32 - 1,
    FieldDescriptor.TYPE_INT32: -(2**31),
}


def fill(message: Message, depth: int = 0) -> None:
    """Set every field, of each oneof the last one that is no transaction within a transaction."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth < _DEPTH_MAX:
                target = getattr(message, field.name)
                inner = target.add() if field.is_repeated else target
                inner.SetInParent()
                fill(inner, depth + 1)
        else:
            value = _VALUES.get(field.type)
            if field.enum_type is not None:
                value = field.enum_type.values[-1].number
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)


def messages() -> Iterator[tuple[str, Message]]:
    for path, binding in bindings(etcd_methods()).items():
        for way, kind in (("request", binding.request), ("response", binding.response)):
            message = kind()
            fill(message)
            yield f"{path} {way}", message


def written() -> str:
    return "".join(
        f"{name} {json.dumps(to_json(message), ensure_ascii=False)}\n"
        for name, message in messages()
    )


def test_bodies_are_as_they_were() -> None:
    assert written() == GOLDEN.read_text()


def test_bodies_are_those_of_protobuf_and_can_be_read() -> None:
    for name, message in messages():
        found = to_json(message)
        expected = json_format.MessageToDict(message, preserving_proto_field_name=True)
        assert found == expected, name
        assert read_json(json.dumps(found).encode(), type(message)) == message
        assert read_json(json_format.MessageToJson(message).encode(), type(message)) == message


if __name__ == "__main__":
    GOLDEN.write_text(written())

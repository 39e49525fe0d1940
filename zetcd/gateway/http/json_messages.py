"""Responsible for proto3's JSON mapping, both ways, as etcd's gateway sets it: pure.

    out    names as in the .proto file; fields at their default left out; 64-bit numbers as text, bytes
           in base64, enumerations by name
    in     names as in the .proto file or in lower camel case; numbers as numbers or as text; base64 of
           either alphabet, padded or not; enumerations by name or number; null is a field left out,
           and neither a message nor one of a list; fields that are not known are skipped

The protobuf package has such a mapping too. Its reader accepts bytes that are no base64 and drops what
it cannot read of them, so that a client that forgets to encode a key would write another one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final, NoReturn, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message as ProtoMessage

P = TypeVar("P", bound=ProtoMessage)

#: What `json` makes of a document.
JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

#: Messages within messages; transactions nest, everything else is flat.
DEPTH_MAX: Final = 100

_WHOLE: Final = re.compile(r"-?\d{1,20}")
_LIMITS: Final[Mapping[int, tuple[int, int]]] = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


class BadJson(Exception):
    """A text that is not JSON, or not the JSON of its message; the text says where and why."""


# --- out -------------------------------------------------------------------------------------------


def to_json(message: ProtoMessage) -> dict[str, JsonValue]:
    """Return a message as JSON has it."""
    return {field.name: field_json(field, value) for field, value in message.ListFields()}


def field_json(field: FieldDescriptor, value: object) -> JsonValue:
    """Return the value of a field as JSON has it."""
    write = _writer(field)
    if field.is_repeated:
        return [write(each) for each in cast(Sequence[object], value)]
    return write(value)


@cache
def _writer(field: FieldDescriptor) -> Callable[[object], JsonValue]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return lambda value: to_json(cast(ProtoMessage, value))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(cast(bytes, value)).decode("ascii")
    if field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64):
        return str
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        names = {number: each.name for number, each in field.enum_type.values_by_number.items()}
        return lambda value: names.get(cast(int, value), cast(int, value))
    return lambda value: cast(JsonValue, value)


# --- in --------------------------------------------------------------------------------------------


def read_json(octets: bytes, kind: type[P]) -> P:
    """Return the message of ``kind`` that a text begins with; an empty one is an empty message.

    As in etcd, what follows the first value is not looked at.

    Raises:
        BadJson: it is no JSON, or not of such a message.
    """
    message = kind()
    _fill(message, _parse(octets), "", 0)
    return message


def _parse(octets: bytes) -> JsonValue:
    try:
        text = octets.decode().lstrip(" \t\r\n")
        if not text:
            return {}
        return cast(JsonValue, _DECODER.raw_decode(text)[0])
    except UnicodeDecodeError as error:
        raise BadJson(f"invalid UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise BadJson("nested too deep") from None
    except ValueError as error:
        raise BadJson(f"invalid JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice in one object")
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


@cache
def _fields(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Return the fields of a message by each of their names."""
    by_name = {field.json_name: field for field in descriptor.fields}
    return by_name | {field.name: field for field in descriptor.fields}


def _fill(message: ProtoMessage, value: JsonValue, path: str, depth: int) -> None:
    if not isinstance(value, dict):
        raise _unfit(path or "the message", value, "an object")
    if depth > DEPTH_MAX:
        raise BadJson(f"{path}: nested too deep")
    fields = _fields(message.DESCRIPTOR)
    seen: dict[str, str] = {}
    for name, given in value.items():
        field = fields.get(name)
        if field is None or given is None:
            continue
        oneof = field.containing_oneof
        slot = field.name if oneof is None else oneof.name
        if slot in seen:
            raise BadJson(f"{path}{name}: only one of it and {seen[slot]} can be set")
        seen[slot] = name
        _set(message, field, given, f"{path}{name}", depth)


def _set(
    message: ProtoMessage, field: FieldDescriptor, value: JsonValue, path: str, depth: int
) -> None:
    if field.is_repeated:
        if not isinstance(value, list):
            raise _unfit(path, value, "a list")
        target = getattr(message, field.name)
        for position, each in enumerate(value):
            where = f"{path}[{position}]"
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                _fill(target.add(), each, f"{where}.", depth + 1)
            else:
                scalar = _scalar(field, each, where)
                if scalar is not None:
                    target.append(scalar)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        inner = getattr(message, field.name)
        # An empty object is a message that is there.
        inner.SetInParent()
        _fill(inner, value, f"{path}.", depth + 1)
    else:
        scalar = _scalar(field, value, path)
        if scalar is not None:
            setattr(message, field.name, scalar)


def _scalar(field: FieldDescriptor, value: JsonValue, path: str) -> bool | int | str | bytes | None:
    """Return a value for a field; None: a name of an enumeration that is not known."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            raise _unfit(path, value, "true or false")
        return value
    if field.type == FieldDescriptor.TYPE_STRING:
        if not isinstance(value, str) or not _is_text(value):
            raise _unfit(path, value, "a text")
        return value
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(value, path)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return _enum(field, value, path)
    return _whole(value, *_LIMITS[field.type], path)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(value: JsonValue, path: str) -> bytes:
    if not isinstance(value, str):
        raise _unfit(path, value, "base64")
    plain = value.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _unfit(path, value, "base64") from None


_URL_SAFE: Final = str.maketrans("-_", "+/")


def _enum(field: FieldDescriptor, value: JsonValue, path: str) -> int | None:
    assert field.enum_type is not None
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        known = field.enum_type.values_by_name.get(value)
        return None if known is None else known.number
    return _whole(value, *_LIMITS[FieldDescriptor.TYPE_INT32], path)


def _whole(value: JsonValue, low: int, high: int, path: str) -> int:
    number: int | None = None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    if number is None or not low <= number <= high:
        raise _unfit(path, value, f"a whole number between {low} and {high}")
    return number


def _unfit(path: str, value: JsonValue, wanted: str) -> BadJson:
    if isinstance(value, dict):
        shown = "an object"
    elif value is None or isinstance(value, bool):
        shown = json.dumps(value)
    else:
        shown = "a list" if isinstance(value, list) else f"{value!r:.60}"
    return BadJson(f"{path.rstrip('.')}: is {shown}, must be {wanted}")

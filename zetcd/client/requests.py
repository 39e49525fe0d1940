"""Responsible for building the requests of the API, for both clients and for transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypedDict, Unpack

from zetcd.errors import InvalidArgument
from zetcd.messages.base import Message
from zetcd.messages.codec import encode
from zetcd.messages.kv import (
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    SortOrder,
    SortTarget,
)
from zetcd.messages.watch import WatchCreateRequest, WatchFilter
from zetcd.scalars import LeaseID, Revision

#: As ``range_end``: every key from ``key`` on.
FROM_KEY: Final = b"\0"


class RangeOptions(TypedDict, total=False):
    """Fields of `RangeRequest` beside its key."""

    range_end: bytes
    limit: int
    revision: Revision
    sort_order: SortOrder
    sort_target: SortTarget
    serializable: bool
    keys_only: bool
    count_only: bool
    min_mod_revision: Revision
    max_mod_revision: Revision
    min_create_revision: Revision
    max_create_revision: Revision


class PutOptions(TypedDict, total=False):
    """Fields of `PutRequest` beside its key and value."""

    lease: LeaseID
    prev_kv: bool
    ignore_value: bool
    ignore_lease: bool


class DeleteOptions(TypedDict, total=False):
    """Fields of `DeleteRangeRequest` beside its key."""

    range_end: bytes
    prev_kv: bool


class WatchOptions(TypedDict, total=False):
    """Fields of `WatchCreateRequest` beside its key."""

    range_end: bytes
    start_revision: Revision
    progress_notify: bool
    filters: tuple[WatchFilter, ...]
    prev_kv: bool
    fragment: bool


def prefix_end(prefix: bytes) -> bytes:
    r"""Return the ``range_end`` of all keys that begin with ``prefix``.

    >>> prefix_end(b"ab"), prefix_end(b"a\xff"), prefix_end(b"\xff"), prefix_end(b"")
    (b'ac', b'b', b'\x00', b'\x00')
    """
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,)) if trimmed else FROM_KEY


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    r"""Return key and range_end of a prefix; the empty one means every key, and no key is empty."""
    return prefix or b"\0", prefix_end(prefix)


def encoded(request: Message) -> bytes:
    """Return the bytes of a request.

    Raises:
        InvalidArgument: a number has more than 64 bits, or a text is none; nothing was sent.
    """
    try:
        return encode(request)
    except OverflowError:
        field, value = _beyond_64_bits("", request)
        raise InvalidArgument(field=field, value=value, limit="a number of 64 bits") from None
    except UnicodeEncodeError as error:
        raise InvalidArgument(field="text", value=error.object, limit="Unicode text") from None


def _beyond_64_bits(field: str, value: object) -> tuple[str, object]:
    """Return the first field within ``value`` that no message can carry; ("", None): there is none."""
    if isinstance(value, int):
        return ("", None) if -(1 << 63) <= value < 1 << 64 else (field, value)
    parts: Iterable[tuple[str, object]] = ()
    if isinstance(value, Message):
        parts = ((name, getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, tuple):
        parts = ((field, each) for each in value)
    found = (_beyond_64_bits(*part) for part in parts)
    return next((each for each in found if each[0]), ("", None))


def get(key: bytes, **options: Unpack[RangeOptions]) -> RangeRequest:
    """Return a read, for a transaction."""
    return RangeRequest(key, **options)


def put(key: bytes, value: bytes = b"", **options: Unpack[PutOptions]) -> PutRequest:
    """Return a write, for a transaction."""
    return PutRequest(key, value, **options)


def delete(key: bytes, **options: Unpack[DeleteOptions]) -> DeleteRangeRequest:
    """Return a deletion, for a transaction."""
    return DeleteRangeRequest(key, **options)


def watch_request(key: bytes, **options: Unpack[WatchOptions]) -> WatchCreateRequest:
    """Return the request of a watch; its stream id is given to it when it is sent."""
    return WatchCreateRequest(0, key, **options)

"""Responsible for turning bodies of watch into WatchResponses of the etcd API, the events once for all.

A thousand watchers of one key get the same events in bodies that differ only in their outline: the
translated events are kept by the bytes they came as.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.responses import Responses, event
from zetcd.gateway.native.watch_streams import WatchOutline
from zetcd.messages.codec import decoder_of
from zetcd.messages.kv import Event
from zetcd.messages.watch import WatchResponse
from zetcd.varint import varint

#: Bytes of translated events that are kept; what is larger alone is not kept.
_KEPT_BYTES_MAX: Final = 4 * 1024 * 1024
_KEPT_COUNT_MAX: Final = 1024

_WATCH_ID_TAG: Final = b"\x10"
_FRAGMENT: Final = b"\x38\x01"


class WatchBody(
    WatchOutline, frozen=True, array_like=True, gc=False, tag=WatchResponse.__struct_config__.tag
):
    """A `WatchResponse` whose events are still encoded."""

    events: msgspec.Raw = msgspec.Raw(b"\x90")


#: Decodes all of a body but its events.
decode_body: Final = msgspec.msgpack.Decoder(WatchBody).decode
_decode_events: Final = decoder_of(tuple[Event, ...]).decode
_NO_EVENTS: Final = b"\x90"


class WatchResponses:
    """Encodes watch responses; keeps translated events for others that want the same."""

    def __init__(self, responses: Responses) -> None:
        """Keep nothing yet."""
        self._responses = responses
        self._kept: dict[bytes, bytes] = {}
        self._kept_bytes = 0

    def encode(self, body: WatchBody) -> bytes:
        """Return the WatchResponse of the etcd API."""
        header = self._responses.header(body.header)
        events = self._events(bytes(body.events))
        watch_id = body.watch_id
        if body.created or body.canceled or watch_id < 0:
            rest = pb.WatchResponse(
                watch_id=watch_id,
                created=body.created,
                canceled=body.canceled,
                compact_revision=body.compact_revision,
                cancel_reason=body.cancel_reason,
                fragment=body.fragment,
            )
            return header + rest.SerializeToString() + events
        encoded_id = _WATCH_ID_TAG + varint(watch_id) if watch_id else b""
        return b"".join((header, encoded_id, _FRAGMENT if body.fragment else b"", events))

    def _events(self, raw: bytes) -> bytes:
        """Return the field ``events``."""
        if raw == _NO_EVENTS:
            return b""
        encoded = self._kept.get(raw)
        if encoded is None:
            rest = pb.WatchResponse(events=[event(each) for each in _decode_events(raw)])
            encoded = rest.SerializeToString()
            self._keep(raw, encoded)
        return encoded

    def _keep(self, raw: bytes, encoded: bytes) -> None:
        size = len(raw) + len(encoded)
        if size > _KEPT_BYTES_MAX // 4:
            return
        if self._kept_bytes + size > _KEPT_BYTES_MAX or len(self._kept) >= _KEPT_COUNT_MAX:
            self._kept.clear()
            self._kept_bytes = 0
        self._kept[raw] = encoded
        self._kept_bytes += size

"""Responsible for the watch API: streams of watchers, as etcd's Watch service.

A client opens any number of streams (``stream_id``, chosen by the client, unique in its session), each
with any number of watchers. Everything about one stream is answered in order, numbered from 1 by
``sequence``, and only as far as the client's credit goes.
"""

from __future__ import annotations

from enum import IntEnum

from zetcd.messages.base import Message
from zetcd.messages.kv import Event, ResponseHeader
from zetcd.scalars import Revision, WatchID


class WatchFilter(IntEnum):
    """Events that a watcher does not want."""

    NOPUT = 0
    NODELETE = 1


class WatchCreateRequest(Message, frozen=True, tag=20):
    """Adds a watcher to a stream; opens the stream when it is its first request."""

    stream_id: int
    #: b"" = b"\0".
    key: bytes
    range_end: bytes = b""
    #: 0 = from the next revision on.
    start_revision: Revision = 0
    progress_notify: bool = False
    filters: tuple[WatchFilter, ...] = ()
    prev_kv: bool = False
    #: 0 = the server chooses.
    watch_id: WatchID = 0
    fragment: bool = False


class WatchCancelRequest(Message, frozen=True, tag=21):
    """Removes a watcher; an unknown id is ignored, as in etcd."""

    stream_id: int
    watch_id: WatchID


class WatchProgressRequest(Message, frozen=True, tag=22):
    """Asks for a progress notification of a whole stream."""

    stream_id: int


class WatchCredit(Message, frozen=True, tag=23):
    """Allows the server to send this much more on a stream; the first credit is `WATCH_CREDIT_INITIAL`."""

    stream_id: int
    #: `WatchResponse` messages.
    messages: int
    #: Bytes of their bodies.
    bytes: int


class WatchCloseRequest(Message, frozen=True, tag=24):
    """Ends a stream and all its watchers; nothing is sent on it afterwards."""

    stream_id: int


class WatchResponse(Message, frozen=True, tag=84):
    """Everything the server says on a watch stream; etcd reference WatchResponse."""

    #: ``revision``: the watcher has seen everything up to it (0 in a compaction cancel).
    header: ResponseHeader
    #: Counts the messages of the stream from 1; a gap means loss: reconnect and resume by revision.
    sequence: int
    #: -1 = the whole stream (progress), or a watcher that never existed (refused creation).
    watch_id: WatchID
    created: bool = False
    canceled: bool = False
    #: Not 0: the history needed is gone; start again from here.
    compact_revision: Revision = 0
    cancel_reason: str = ""
    #: More fragments of the same revision follow.
    fragment: bool = False
    events: tuple[Event, ...] = ()

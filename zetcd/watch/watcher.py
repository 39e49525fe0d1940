"""Responsible for the state of one watcher, and for what a watch request means as a range of keys.

Must never know who receives its events or how they are encoded.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from zetcd.messages.watch import WatchCreateRequest, WatchFilter
from zetcd.scalars import Revision, WatchID

if TYPE_CHECKING:
    from zetcd.watch.response import Chunk
    from zetcd.watch.stream import Stream

#: Upper end of a range that has none.
FROM_KEY = b"\0"


class KeyRange(NamedTuple):
    r"""Keys a watcher wants; ``end`` b"" = the one key, b"\0" = all keys >= ``key``."""

    key: bytes
    end: bytes

    @property
    def is_empty(self) -> bool:
        """Whether no key can be in it."""
        return self.end not in {b"", FROM_KEY} and self.key >= self.end

    def contains(self, key: bytes) -> bool:
        """Say whether ``key`` is in the range; the watcher group must agree with this."""
        if self.end == b"":
            return key == self.key
        return key >= self.key and (self.end == FROM_KEY or key < self.end)


def watched_range(key: bytes, range_end: bytes) -> KeyRange:
    """Return the keys that a create request means; permission checks must use the same function.

    An empty key is the smallest key, and alone stands for the whole keyspace.
    """
    if not key:
        return KeyRange(b"\0", range_end or FROM_KEY)
    return KeyRange(key, range_end)


class Variant(NamedTuple):
    """What makes responses to the same events differ; watchers alike in it share the bytes."""

    is_put_wanted: bool
    is_delete_wanted: bool
    prev_kv: bool
    #: A large response is cut into fragments.
    is_fragmented: bool


def variant_of(request: WatchCreateRequest) -> Variant:
    """Return the variant that a create request asks for."""
    return Variant(
        is_put_wanted=WatchFilter.NOPUT not in request.filters,
        is_delete_wanted=WatchFilter.NODELETE not in request.filters,
        prev_kv=request.prev_kv,
        is_fragmented=request.fragment,
    )


class WatcherState(IntEnum):
    """Which of the hub's groups a watcher is in."""

    #: Has been given everything up to the hub's revision; new batches come to it from memory.
    SYNCED = 0
    #: Keeps only a position; the store will be read for it.
    UNSYNCED = 1
    #: Keeps a position and one batch that could not be sent.
    VICTIM = 2


class Watcher:
    """One watcher of one stream. The hub alone changes it.

    Invariants
        - SYNCED: it has been given every event up to the hub's revision, and wants those from
          ``next_revision`` on.
        - UNSYNCED: it has been given every event before ``next_revision``, which is at most the
          hub's revision.
        - VICTIM: it has been given every event before ``pending_revision``, and ``pending`` holds
          those before ``next_revision``. In the other states ``pending`` is empty.
    """

    __slots__ = (
        "had_events",
        "key_range",
        "next_revision",
        "pending",
        "pending_bytes",
        "pending_revision",
        "pending_since",
        "progress_notify",
        "start_revision",
        "state",
        "stream",
        "variant",
        "watch_id",
    )

    def __init__(
        self,
        stream: Stream,
        watch_id: WatchID,
        request: WatchCreateRequest,
        next_revision: Revision,
    ) -> None:
        """Make a watcher that wants events from ``next_revision`` on."""
        self.stream = stream
        self.watch_id = watch_id
        self.key_range = watched_range(request.key, request.range_end)
        self.variant = variant_of(request)
        #: As requested; 0 = from the next revision at creation on.
        self.start_revision: Revision = request.start_revision
        #: First revision that it still wants.
        self.next_revision: Revision = next_revision
        self.state = WatcherState.UNSYNCED
        self.progress_notify = request.progress_notify
        #: A response with events was sent since the last progress tick.
        self.had_events = False
        #: Chunks that could not be sent, in order.
        self.pending: tuple[Chunk, ...] = ()
        self.pending_bytes = 0
        #: Where to resume if ``pending`` is given up.
        self.pending_revision: Revision = 0
        #: When it became a victim, seconds.
        self.pending_since = 0.0

    @property
    def is_in_stream(self) -> bool:
        """Whether it still exists: a removed watcher may be met in timers and lists."""
        return self.stream.watchers.get(self.watch_id) is self

"""Responsible for one watch of a client across connections: position, order, credit, what is unread.

Each watch has a stream of its own, so that a consumer that stops costs itself only.

Invariants
    - ``next_revision`` is the first revision of which the queue and everything read from it may not
      have everything: a new stream starts there, and nothing is lost or repeated.
    - Fragments of one response are put together before anybody sees them.
    - Credit is granted only for what was read, so at most one initial credit lies unread per stream.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from zetcd.errors import BY_TEXT, Compacted, WatchCanceled, ZetcdError
from zetcd.messages.client import WATCH_CREDIT_INITIAL
from zetcd.messages.kv import Event
from zetcd.messages.watch import WatchCreateRequest, WatchCredit, WatchResponse
from zetcd.scalars import Revision

#: A stream is granted more once half of what it began with was read.
CREDIT_MESSAGES_STEP: Final = WATCH_CREDIT_INITIAL[0] // 2
CREDIT_BYTES_STEP: Final = WATCH_CREDIT_INITIAL[1] // 2
_GRPC_STATUS: Final = " desc = "


class WatchCompacted(Compacted):
    """A watch ended because the history it still needed is gone."""

    def __init__(self, compact_revision: Revision) -> None:
        """Name the first revision that can still be watched."""
        super().__init__(f"watch from revision {compact_revision} on instead")
        self.number = Compacted.number
        #: The oldest revision a new watch may start from.
        self.compact_revision = compact_revision


def error_of_cancel(response: WatchResponse) -> ZetcdError:
    """Return why the server ended a watch."""
    if response.compact_revision:
        return WatchCompacted(response.compact_revision)
    reason = response.cancel_reason.rpartition(_GRPC_STATUS)[2]
    known = BY_TEXT.get(reason)
    return known() if known is not None else WatchCanceled(reason)


class WatchStream:
    """One watch; see the module for the invariants."""

    __slots__ = (
        "_consumed_bytes",
        "_consumed_messages",
        "_expected_sequence",
        "_fragment_bytes",
        "_fragment_messages",
        "_fragments",
        "_queue",
        "created_revision",
        "error",
        "is_closed",
        "is_created",
        "is_progress_wanted",
        "last_error",
        "next_revision",
        "request",
        "stream_id",
        "waiter",
    )

    def __init__(self, request: WatchCreateRequest) -> None:
        """Start unopened; the request's own stream id is ignored."""
        self.request = request
        #: 0 = not open on the current connection.
        self.stream_id = 0
        self.is_created = False
        self.is_closed = False
        #: Where the store stood when the watch was created first.
        self.created_revision: Revision = 0
        self.next_revision: Revision = max(request.start_revision, 0)
        #: Ends the watch once everything before it was read.
        self.error: ZetcdError | None = None
        #: Why it is not open just now.
        self.last_error: ZetcdError | None = None
        #: A progress request waits for the stream to open.
        self.is_progress_wanted = False
        #: (stream id, messages, bytes, response).
        self._queue: deque[tuple[int, int, int, WatchResponse]] = deque()
        self._expected_sequence = 1
        self._fragments: list[Event] = []
        self._fragment_messages = 0
        self._fragment_bytes = 0
        self._consumed_messages = 0
        self._consumed_bytes = 0
        #: Belongs to the adapter: what to wake when there is something to read.
        self.waiter: object = None

    # --- connections ------------------------------------------------------------------------------

    def open(self, stream_id: int) -> WatchCreateRequest:
        """Begin a stream on a new connection; returns what to send."""
        self.stream_id = stream_id
        self._expected_sequence = 1
        self._consumed_messages = self._consumed_bytes = 0
        request = self.request
        # Before it was created once, "from now on" still means the moment of creation.
        start = self.next_revision if self.is_created else request.start_revision
        return msgspec.structs.replace(request, stream_id=stream_id, start_revision=start)

    def suspend(self, error: ZetcdError | None) -> None:
        """Note that the stream's connection is gone; what was not complete will come again."""
        self.stream_id = 0
        self.last_error = error
        self._fragments = []
        self._fragment_messages = self._fragment_bytes = 0

    @property
    def can_open(self) -> bool:
        """Whether it needs a stream, and so little is unread that a new initial credit is due."""
        is_wanted = not self.stream_id and not self.is_closed and self.error is None
        return is_wanted and len(self._queue) <= CREDIT_MESSAGES_STEP

    # --- server → queue ---------------------------------------------------------------------------

    def receive(self, response: WatchResponse, size: int) -> bool:
        """Consume a response of ``size`` bytes; False: a response before it was lost."""
        if response.sequence != self._expected_sequence:
            return False
        self._expected_sequence += 1
        if response.canceled:
            self.error = error_of_cancel(response)
        elif response.created:
            self._created(response)
            self._consume(1, size)
        else:
            self._delivered(response, size)
        return True

    def _created(self, response: WatchResponse) -> None:
        if self.is_created:
            return
        self.is_created = True
        self.created_revision = response.header.revision
        if self.next_revision <= 0:
            self.next_revision = response.header.revision + 1

    def _delivered(self, response: WatchResponse, size: int) -> None:
        if response.fragment:
            self._fragments.extend(response.events)
            self._fragment_messages += 1
            self._fragment_bytes += size
            return
        messages = 1 + self._fragment_messages
        size += self._fragment_bytes
        if self._fragments:
            events = (*self._fragments, *response.events)
            response = msgspec.structs.replace(response, events=events)
            self._fragments = []
        self._fragment_messages = self._fragment_bytes = 0
        # The server says with each response up to where the watcher is complete.
        self.next_revision = max(self.next_revision, response.header.revision + 1)
        self._queue.append((self.stream_id, messages, size, response))

    # --- queue → application ------------------------------------------------------------------------

    def take(self) -> WatchResponse | None:
        """Return the next response, None if there is none yet.

        Raises:
            ZetcdError: the watch has ended, and everything before was read.
        """
        if not self._queue:
            if self.error is not None:
                raise self.error
            return None
        stream_id, messages, size, response = self._queue.popleft()
        if stream_id == self.stream_id:
            self._consume(messages, size)
        return response

    @property
    def has_news(self) -> bool:
        """Whether `take` has something to say."""
        return bool(self._queue) or self.error is not None

    def _consume(self, messages: int, size: int) -> None:
        self._consumed_messages += messages
        self._consumed_bytes += size

    def credit(self) -> WatchCredit | None:
        """Return the credit to grant now, None if it can wait."""
        messages, size = self._consumed_messages, self._consumed_bytes
        if not self.stream_id or self.error is not None:
            return None
        if messages < CREDIT_MESSAGES_STEP and size < CREDIT_BYTES_STEP:
            return None
        self._consumed_messages = self._consumed_bytes = 0
        return WatchCredit(self.stream_id, messages, size)

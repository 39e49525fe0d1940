"""Responsible for what a gateway must know of watch streams to bring them over a restart of watch.

The watch actor does the watching; the gateway passes requests one way and bodies the other. It
reads only the outline of a body (which watcher, up to which revision), never the events.

Invariants
    - ``next_revision`` of a watcher is the first one of which the client may not have everything.
    - The credit here is exactly what the client has granted and not yet used up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from zetcd.messages.client import WATCH_CREDIT_INITIAL
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.node import WatchForward, WatchRegister, WatchResume
from zetcd.messages.watch import WatchCancelRequest, WatchCreateRequest, WatchResponse
from zetcd.scalars import Revision, WatchID

#: Watch id of a response that concerns the whole stream.
WHOLE_STREAM: Final = -1


class WatchOutline(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag=WatchResponse.__struct_config__.tag
):
    """The first fields of a `WatchResponse`: all but its events, which are skipped unread."""

    header: ResponseHeader
    sequence: int
    watch_id: WatchID
    created: bool = False
    canceled: bool = False
    compact_revision: Revision = 0
    cancel_reason: str = ""
    fragment: bool = False


#: Decodes the outline of an encoded `WatchResponse`.
outline_of: Final = msgspec.msgpack.Decoder(WatchOutline).decode


@dataclass(slots=True)
class Watcher:
    """A watcher that the client was told of."""

    request: WatchCreateRequest
    next_revision: Revision
    #: Some but not all fragments of ``next_revision`` were sent.
    is_mid_revision: bool = False
    #: The client asked to remove it and has no answer yet.
    is_canceling: bool = False


@dataclass(slots=True)
class WatchStream:
    """One watch stream of one session."""

    stream_id: int
    #: Number of the last response that was passed on.
    sequence: int = 0
    credit_messages: int = WATCH_CREDIT_INITIAL[0]
    credit_bytes: int = WATCH_CREDIT_INITIAL[1]
    watchers: dict[WatchID, Watcher] = field(default_factory=dict)
    #: Creations without an answer, oldest first; watch answers them in this order.
    creating: deque[WatchCreateRequest] = field(default_factory=deque)

    def delivered(self, outline: WatchOutline, body_bytes: int) -> int:
        """Note a response on its way to the client; returns how many watchers ended with it."""
        self.sequence = outline.sequence
        self.credit_messages -= 1
        self.credit_bytes -= body_bytes
        if outline.created:
            return self._created(outline)
        if outline.canceled:
            return 0 if self.watchers.pop(outline.watch_id, None) is None else 1
        if outline.watch_id == WHOLE_STREAM:
            for watcher in self.watchers.values():
                _advance(watcher, outline)
        else:
            known = self.watchers.get(outline.watch_id)
            if known is not None:
                _advance(known, outline)
        return 0

    def _created(self, outline: WatchOutline) -> int:
        if not self.creating:
            return 0
        request = self.creating.popleft()
        if outline.canceled:
            return 1
        first = (
            request.start_revision if request.start_revision > 0 else outline.header.revision + 1
        )
        self.watchers[outline.watch_id] = Watcher(request, first)
        return 0

    def resume(self, session_id: int) -> list[WatchRegister | WatchForward]:
        """Return what a new watch actor must be told to go on where the old one stopped."""
        register = WatchRegister(
            session_id,
            self.stream_id,
            self.sequence + 1,
            self.credit_messages,
            self.credit_bytes,
            tuple(
                WatchResume(watcher.request, watch_id, watcher.next_revision)
                for watch_id, watcher in self.watchers.items()
            ),
        )
        unanswered = [WatchForward(session_id, request) for request in self.creating]
        unanswered.extend(
            WatchForward(session_id, WatchCancelRequest(self.stream_id, watch_id))
            for watch_id, watcher in self.watchers.items()
            if watcher.is_canceling
        )
        return [register, *unanswered]

    @property
    def watchers_count(self) -> int:
        """Watchers, those being created included."""
        return len(self.watchers) + len(self.creating)

    @property
    def can_move(self) -> bool:
        """Whether a new watch actor can go on exactly where the old one stopped."""
        return not any(watcher.is_mid_revision for watcher in self.watchers.values())


def _advance(watcher: Watcher, outline: WatchOutline) -> None:
    """Note that the client has everything up to the header's revision, unless fragments follow."""
    watcher.is_mid_revision = outline.fragment
    if not outline.fragment:
        watcher.next_revision = max(watcher.next_revision, outline.header.revision + 1)

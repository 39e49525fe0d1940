"""Responsible for giving unsynced watchers the store's past, in rounds of bounded size, in turn.

Fairness: streams take turns, and so do the watchers of a stream. A round reads one window of
revisions, beginning where the watcher whose turn it is stands; whoever stands within the window
shares the read. So thousands of lagging watchers on one stream delay another stream by a round,
not by their number.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from zetcd.messages.node import RevisionEvents
from zetcd.scalars import Revision
from zetcd.watch.hand_out import SpanComposer, matches, revision_bytes
from zetcd.watch.request import cancel_compacted
from zetcd.watch.response import Composer
from zetcd.watch.stream import Stream
from zetcd.watch.watcher import Watcher
from zetcd.watch.watcher_group import WatcherGroup

if TYPE_CHECKING:
    from zetcd.watch.hub import Hub

#: Watchers looked at in a round for each one that may be taken.
SCAN_FACTOR = 4


def catch_up(hub: Hub, now: float) -> None:
    """Do one round, if anyone can be sent events."""
    if not hub.runnable or now < hub.catch_up_due:
        return
    chosen, streams = _choose(hub)
    if chosen:
        first = min(watcher.next_revision for watcher in chosen)
        if hub.history.current_revision < first:
            # The store is being rebuilt from the log and has not come this far again.
            hub.catch_up_due = now + hub.options.catch_up_retry_interval
        else:
            _serve(hub, chosen, first)
    for watcher in chosen:
        # Cancelling others may have ended the stream.
        if watcher.is_in_stream:
            hub.settle(watcher)
    for stream in streams:
        if stream.unsynced and stream.can_send_events():
            hub.runnable[stream] = None


def _choose(hub: Hub) -> tuple[list[Watcher], list[Stream]]:
    """Take this round's watchers out of their group; also return the streams that had a turn."""
    watchers_max = hub.options.sync_watchers_max
    quantum = max(1, watchers_max // len(hub.runnable))
    window = _Window(hub)
    served: list[Stream] = []
    passed_over: list[Stream] = []
    for stream in list(islice(hub.runnable, watchers_max)):
        if len(window.chosen) >= watchers_max:
            break
        del hub.runnable[stream]
        taken = _choose_of_stream(stream, window, quantum) if stream.can_send_events() else 0
        (served if taken else passed_over).append(stream)
    # Who stands outside this window goes before those served, and so soon has a window of its own.
    return window.chosen, passed_over + served


def _choose_of_stream(stream: Stream, window: _Window, quantum: int) -> int:
    """Take at most ``quantum`` watchers; return how many."""
    taken = 0
    for watcher in list(islice(stream.unsynced, SCAN_FACTOR * quantum)):
        if taken == quantum:
            break
        # Whoever was looked at goes to the back of its stream.
        del stream.unsynced[watcher]
        if window.take(watcher):
            taken += 1
    return taken


class _Window:
    """The revisions of one round, fixed by the first watcher that is taken."""

    __slots__ = ("_end", "_hub", "_start", "chosen")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._start: Revision = 0
        self._end: Revision = 0
        self.chosen: list[Watcher] = []

    def take(self, watcher: Watcher) -> bool:
        """Take the watcher if it stands within the window; cancel it if its history is gone."""
        compact_revision = self._hub.history.compact_revision
        if watcher.next_revision < compact_revision:
            cancel_compacted(self._hub, watcher, compact_revision)
            return False
        if not self.chosen:
            self._start = watcher.next_revision
            self._end = self._start + self._hub.options.sync_revisions_max
        if self._start <= watcher.next_revision < self._end:
            self.chosen.append(watcher)
            return True
        watcher.stream.unsynced[watcher] = None
        return False


def _serve(hub: Hub, chosen: list[Watcher], first: Revision) -> None:
    """Read one window and give each of the chosen what it wants of it."""
    revisions, reached = _read(hub, first)
    group = WatcherGroup()
    for watcher in chosen:
        if watcher.next_revision <= reached:
            group.add(watcher)
    composer = Composer(
        hub.history,
        raft_term=hub.raft_term,
        complete_revision=reached,
        chunk_bytes_max=hub.options.sync_bytes_max,
        fragment_bytes=hub.options.fragment_bytes,
    )
    #: Where those go on that could not be sent everything.
    stopped: dict[Watcher, Revision] = {}
    for span, events in matches(group, revisions).items():
        span_composer = SpanComposer(composer, events)
        for watcher in span.watchers:
            chunks = span_composer.chunks(watcher)
            sent = hub.deliver(watcher, chunks)
            if sent < len(chunks):
                resume = chunks[sent - 1].revision + 1 if sent else watcher.next_revision
                stopped[watcher] = resume
    for watcher in group:
        watcher.next_revision = stopped.get(watcher, reached + 1)


def _read(hub: Hub, first: Revision) -> tuple[list[RevisionEvents], Revision]:
    """Return a round's revisions from ``first`` on, and up to where they are complete."""
    options = hub.options
    last = min(first + options.sync_revisions_max - 1, hub.history.current_revision)
    revisions: list[RevisionEvents] = []
    size = 0
    for item in hub.history.events(first, last):
        revisions.append(item)
        size += revision_bytes(item)
        if size >= options.sync_bytes_max:
            return revisions, item.revision
    return revisions, last

"""Responsible for handing batches to the synced watchers, and for noticing missing batches."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING

from zetcd.messages.node import EventBatch, RevisionEvents
from zetcd.scalars import Revision
from zetcd.watch.response import Chunk, Composer, PreparedEvent, event_bytes
from zetcd.watch.watcher import Variant, Watcher
from zetcd.watch.watcher_group import Span, WatcherGroup

if TYPE_CHECKING:
    from zetcd.watch.hub import Hub


def revision_bytes(revision_events: RevisionEvents) -> int:
    """Return about how many bytes the events of a revision take."""
    return sum(event_bytes(event) for event in revision_events.events)


def enqueue(hub: Hub, batch: EventBatch) -> None:
    """Take a batch of apply; what was already seen is dropped, a gap is filled from the store."""
    hub.raft_term = max(hub.raft_term, batch.raft_term)
    fresh = [item for item in batch.revisions if item.revision > hub.queue_revision]
    expected = range(hub.queue_revision + 1, batch.current_revision + 1)
    is_complete = [item.revision for item in fresh] == list(expected)
    size = sum(map(revision_bytes, fresh))
    # A synced watcher costs the queue; past its limit each costs a position only.
    if not is_complete or hub.queue_bytes + size > hub.options.queue_bytes_max:
        resynchronise(hub, max(batch.current_revision, hub.queue_revision))
        return
    hub.queue.extend(fresh)
    hub.queue_bytes += size
    hub.queue_revision = max(hub.queue_revision, batch.current_revision)


def resynchronise(hub: Hub, revision: Revision) -> None:
    """Let synced watchers that may miss something up to ``revision`` read it from the store."""
    hub.queue.clear()
    hub.queue_bytes = 0
    before, hub.revision = hub.revision, max(hub.revision, revision)
    hub.queue_revision = hub.revision
    for watcher in list(hub.synced):
        watcher.next_revision = max(watcher.next_revision, before + 1)
        if watcher.next_revision <= hub.revision:
            hub.synced.remove(watcher)
            hub.make_unsynced(watcher)


def check_stale(hub: Hub, now: float) -> None:
    """Read on from the store if no batch announced its revisions for a whole interval."""
    if now < hub.stale_due:
        return
    hub.stale_due = now + hub.options.stale_interval
    is_behind = not hub.queue and hub.history.current_revision > hub.revision
    if is_behind and hub.stale_revision == hub.revision:
        resynchronise(hub, hub.store_revision)
        is_behind = False
    hub.stale_revision = hub.revision if is_behind else -1


def retire_victims(hub: Hub, now: float) -> None:
    """Let victims that waited too long keep their position only."""
    while hub.victims and hub.victims[0][0] + hub.options.victim_age_max <= now:
        since, watcher = hub.victims.popleft()
        if watcher.is_in_stream and watcher.pending and watcher.pending_since == since:
            hub.release(watcher)
            watcher.next_revision = watcher.pending_revision
            hub.make_unsynced(watcher)


def hand_out(hub: Hub, now: float) -> None:
    """Give the synced watchers the oldest queued revisions, merged into one batch; bounded."""
    taken = _take(hub)
    if not taken:
        return
    before, hub.revision = hub.revision, taken[-1].revision
    if not len(hub.synced):
        return
    composer = Composer(
        hub.history,
        raft_term=hub.raft_term,
        complete_revision=hub.revision,
        chunk_bytes_max=hub.options.sync_bytes_max,
        fragment_bytes=hub.options.fragment_bytes,
    )
    for span, events in matches(hub.synced, taken).items():
        _hand_out_span(hub, SpanComposer(composer, events), span, before=before, now=now)


def matches(
    group: WatcherGroup, revisions: Iterable[RevisionEvents]
) -> dict[Span, list[PreparedEvent]]:
    """Return, for each span of ``group`` that an event concerns, its events in order."""
    hits: dict[Span, list[PreparedEvent]] = {}
    for item in revisions:
        for event in item.events:
            spans = group.matching(event.kv.key)
            if not spans:
                continue
            prepared = PreparedEvent(event, item.revision)
            for span in spans:
                hits.setdefault(span, []).append(prepared)
    return hits


class SpanComposer:
    """The chunks of one span's events, made once for all watchers that are alike."""

    __slots__ = ("_chunks", "_composer", "_events", "_first")

    def __init__(self, composer: Composer, events: list[PreparedEvent]) -> None:
        """Compose nothing yet."""
        self._composer = composer
        self._events = events
        self._first = events[0].revision
        self._chunks: dict[tuple[Variant, int], tuple[Chunk, ...]] = {}

    def chunks(self, watcher: Watcher) -> tuple[Chunk, ...]:
        """Return what ``watcher`` is to be sent."""
        start = 0
        if watcher.next_revision > self._first:
            start = bisect_left(self._events, watcher.next_revision, key=_revision)
        kind = (watcher.variant, start)
        chunks = self._chunks.get(kind)
        if chunks is None:
            chunks = self._composer.chunks(self._events[start:], watcher.variant)
            self._chunks[kind] = chunks
        return chunks


def _hand_out_span(
    hub: Hub, composer: SpanComposer, span: Span, *, before: Revision, now: float
) -> None:
    withheld: list[tuple[Watcher, tuple[Chunk, ...], int]] = []
    for watcher in span.watchers:
        chunks = composer.chunks(watcher)
        sent = hub.deliver(watcher, chunks)
        if sent < len(chunks):
            withheld.append((watcher, chunks, sent))
    for watcher, chunks, sent in withheld:
        hub.synced.remove(watcher)
        first = max(watcher.next_revision, before + 1)
        watcher.pending_revision = chunks[sent - 1].revision + 1 if sent else first
        watcher.next_revision = hub.revision + 1
        hub.withhold(watcher, chunks[sent:], now)


def _take(hub: Hub) -> list[RevisionEvents]:
    taken: list[RevisionEvents] = []
    size = 0
    options = hub.options
    while hub.queue and len(taken) < options.sync_revisions_max and size < options.sync_bytes_max:
        item = hub.queue.popleft()
        size += revision_bytes(item)
        taken.append(item)
    hub.queue_bytes -= size
    return taken


def _revision(event: PreparedEvent) -> Revision:
    return event.revision

"""Responsible for what watches promise, against the history of the store.

Ordered, unique, atomic per revision, gap-free from the first to the last revision seen, across
reconnects and servers; and a response that says "complete up to here" is never ahead of its events.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.robustness.changes import Changes
from tests.robustness.history import WatchHistory
from zetcd.messages.kv import Event
from zetcd.scalars import Revision

_Seen = list[tuple[Revision, bytes, bytes, int]]


def check_watch(watch: WatchHistory, changes: Changes) -> Iterator[str]:
    """Yield every promise that ``watch`` was not kept."""
    yield from _check_order(watch)
    yield from _check_content(watch, changes)


def check_is_complete(watch: WatchHistory, revision: Revision) -> Iterator[str]:
    """Yield if the watch has not come to ``revision``, and was not ended by the server either."""
    reached = max((record.revision for record in watch.records), default=0)
    if reached < revision and not watch.ended:
        yield f"{watch.name} came to revision {reached} only, and there are {revision}"


def _check_order(watch: WatchHistory) -> Iterator[str]:
    """Events ascend, no revision is in two responses, and bookmarks are where they say."""
    last = watch.start_revision - 1
    bookmark = 0
    for record in watch.records:
        revisions = [event.kv.mod_revision for event in record.events]
        if revisions != sorted(revisions):
            yield f"{watch.name}: one response has revisions {revisions}"
        if revisions and revisions[0] <= max(last, bookmark):
            yield (
                f"{watch.name}: revision {revisions[0]} after everything up to "
                f"{max(last, bookmark)} had been delivered"
            )
        if revisions and record.revision < revisions[-1]:
            yield f"{watch.name}: a response of revision {record.revision} has {revisions[-1]}"
        last = max([last, *revisions])
        bookmark = max(bookmark, record.revision)


def _check_content(watch: WatchHistory, changes: Changes) -> Iterator[str]:
    """Exactly the store's events of the prefix, up to where the watcher is complete."""
    complete = max((record.revision for record in watch.records), default=0)
    expected = [
        _essence(event)
        for revision, events in changes.items()
        if watch.start_revision <= revision <= complete
        for event in events
        if event.kv.key.startswith(watch.prefix)
    ]
    seen = [_essence(event) for record in watch.records for event in record.events]
    if seen == expected:
        return
    missing = sorted(set(expected) - set(seen))
    invented = sorted(set(seen) - set(expected))
    yield (
        f"{watch.name}: {len(seen)} events, {len(expected)} expected from revision "
        f"{watch.start_revision} to {complete}; missing {missing[:3]}, not there {invented[:3]}"
    )


def _essence(event: Event) -> tuple[Revision, bytes, bytes, int]:
    kv = event.kv
    return (kv.mod_revision, kv.key, kv.value, kv.version)

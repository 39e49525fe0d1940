"""Responsible for the history of the store itself: what each revision changed, and the state there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.robustness.history import WatchHistory
from zetcd.messages.kv import Event, EventType, KeyValue
from zetcd.scalars import Revision

#: What each revision changed, ascending.
Changes = dict[Revision, tuple[Event, ...]]
State = dict[bytes, KeyValue]


def changes_of(watch: WatchHistory) -> Changes:
    """Return what a watch of everything, from revision 1 on, has told."""
    changes: dict[Revision, tuple[Event, ...]] = {}
    for record in watch.records:
        for event in record.events:
            revision = event.kv.mod_revision
            changes[revision] = (*changes.get(revision, ()), event)
    return changes


def advance(state: State, events: Iterable[Event]) -> None:
    """Change ``state`` by the events of one revision."""
    for event in events:
        if event.type is EventType.PUT:
            state[event.kv.key] = event.kv
        else:
            state.pop(event.kv.key, None)


def walk(
    changes: Changes, revisions: Iterable[Revision]
) -> Iterator[tuple[Revision, State, tuple[Event, ...], State]]:
    """Yield (revision, state before, events, state after) for each change and each of ``revisions``."""
    state: State = {}
    for revision in sorted({*changes, *revisions}):
        before = dict(state)
        events = changes.get(revision, ())
        advance(state, events)
        yield revision, before, events, state

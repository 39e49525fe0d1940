"""Responsible for progress notifications: periodic ones per watcher, and those a client asks for.

Both leave through the same ordered queue as events and only after everything up to their revision,
so no event with a revision at or below them follows (etcd issues 15220 and 20221).
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from zetcd.messages.watch import WatchResponse
from zetcd.watch.stream import is_complete_at
from zetcd.watch.watcher import Watcher, WatcherState

if TYPE_CHECKING:
    from zetcd.watch.hub import Hub

#: Timers that one turn serves.
TIMERS_PER_TURN_MAX: Final = 1000
#: Part of the interval that is random, so that watchers created together do not stay together.
JITTER: Final = 0.1
#: Seconds; shorter intervals are lengthened to it (etcd).
INTERVAL_MIN: Final = 0.1
#: Watch id of a notification that concerns a whole stream.
WHOLE_STREAM: Final = -1


def set_timer(hub: Hub, watcher: Watcher, now: float) -> None:
    """Plan the watcher's next notification."""
    interval = max(hub.options.progress_interval, INTERVAL_MIN)
    due = now + interval * (1 + JITTER * hub.rng.random())
    hub.timer_serial += 1
    heappush(hub.progress_timers, (due, hub.timer_serial, watcher))
    # A removed watcher's timer stays until it is due; create and cancel must not pile them up.
    if len(hub.progress_timers) > 2 * hub.progress_watchers_count + TIMERS_PER_TURN_MAX:
        hub.progress_timers = [timer for timer in hub.progress_timers if timer[2].is_in_stream]
        heapify(hub.progress_timers)


def notify(hub: Hub, now: float) -> None:
    """Send the notifications that are due or were asked for."""
    for _ in range(TIMERS_PER_TURN_MAX):
        if not hub.progress_timers or hub.progress_timers[0][0] > now:
            break
        watcher = heappop(hub.progress_timers)[2]
        if watcher.is_in_stream:
            _tick(hub, watcher)
            set_timer(hub, watcher, now)
    requests, hub.progress_requests = hub.progress_requests, {}
    for stream in requests:
        # What cannot be said now is not said later: the client asks again.
        if stream.can_send_events() and stream.is_complete_at(hub.revision):
            response = WatchResponse(hub.header(hub.revision), 0, WHOLE_STREAM)
            stream.answer(response, hub.options.delivery_bytes_max)


def _tick(hub: Hub, watcher: Watcher) -> None:
    """Notify one watcher, unless events since the last tick already told it as much."""
    had_events, watcher.had_events = watcher.had_events, False
    if had_events or watcher.state is not WatcherState.SYNCED:
        return
    if watcher.stream.can_send_events() and is_complete_at(watcher, hub.revision):
        response = WatchResponse(hub.header(hub.revision), 0, watcher.watch_id)
        watcher.stream.answer(response, hub.options.delivery_bytes_max)

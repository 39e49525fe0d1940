"""Responsible for not storming a member that is down, or refuses this one: ZeroMQ connects again at once.

For ZeroMQ a connection to the tunnel is a success, so it begins with its shortest pause each time.
"""

from __future__ import annotations

import asyncio
from typing import Final

from zetcd.runtime.peer_routes import Destination

_PAUSE_SECONDS_MIN: Final = 0.1
_PAUSE_SECONDS_MAX: Final = 1.0
#: Destinations remembered; more than any cluster has.
_DESTINATIONS_MAX: Final = 256


class PeerPace:
    """When each destination may be connected to again."""

    def __init__(self) -> None:
        """Hold nobody up."""
        #: Seconds of the event loop, and the pause that led there.
        self._pauses: dict[Destination, tuple[float, float]] = {}

    async def wait(self, destination: Destination) -> None:
        """Return when it may be tried."""
        not_before, _ = self._pauses.get(destination, (0.0, 0.0))
        loop = asyncio.get_running_loop()
        # Event loops wake up a little early; `lost` would take that for another connection's time.
        while (seconds := not_before - loop.time()) > 0:  # noqa: ASYNC110 - no event, but a time
            await asyncio.sleep(min(seconds, _PAUSE_SECONDS_MAX))

    def lost(self, destination: Destination, *, is_refusal: bool) -> None:
        """Note the end of a connection, and whether there was none, or the other side refused it."""
        if not is_refusal:
            self._pauses.pop(destination, None)
            return
        now = asyncio.get_running_loop().time()
        not_before, pause = self._pauses.get(destination, (0.0, 0.0))
        if now < not_before:
            # Another connection has been refused just now.
            return
        self._pauses.pop(destination, None)
        pause = min(max(_PAUSE_SECONDS_MIN, 2 * pause), _PAUSE_SECONDS_MAX)
        if len(self._pauses) >= _DESTINATIONS_MAX:
            del self._pauses[next(iter(self._pauses))]
        self._pauses[destination] = (now + pause, pause)

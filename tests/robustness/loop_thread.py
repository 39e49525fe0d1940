"""Responsible for one event loop in a thread of its own, for what runs beside a round."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

import uvloop

R = TypeVar("R")

#: Seconds within which a call into the loop must be answered.
_CALL_SECONDS_MAX = 60.0


class LoopThread:
    """An event loop that runs until `close`; the test's thread asks it to do things."""

    def __init__(self, name: str) -> None:
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[None, None, R], seconds: float = _CALL_SECONDS_MAX) -> R:
        """Run ``work`` in the loop and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def do(self, work: Callable[[], R]) -> R:
        """Run a function in the loop's thread and return what it returns."""

        async def run() -> R:
            return work()

        return self.call(run())

    def close(self) -> None:
        """Cancel what is left and end the thread."""
        self.call(_cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_CALL_SECONDS_MAX)
        assert not self._thread.is_alive()
        self.loop.close()


async def _cancel_all() -> None:
    own = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""`python -m bench.micro.wakeup`: what ZeroMQ calls cost a process that is busy, and one just woken up.

An actor of an idle cluster runs a few dozen microseconds and sleeps again; its caches are cold each
time, and the same call costs several times what a tight loop shows.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable

import zmq

from zetcd.runtime.mailbox import has_input

_CALLS = 300
_SLEEP_SECONDS = 0.002


def _receive_until_again(socket: zmq.Socket[bytes]) -> None:
    with contextlib.suppress(zmq.Again):
        while True:
            socket.recv(zmq.NOBLOCK)


def _events(socket: zmq.Socket[bytes], option: int) -> int:
    events = socket.getsockopt(option)
    assert isinstance(events, int)
    return events


def _cpu_us(call: Callable[[], object], *, is_cold: bool) -> float:
    """Return the CPU microseconds of one call, the sleep before it not counted."""
    spent = 0.0
    for _ in range(_CALLS):
        if is_cold:
            time.sleep(_SLEEP_SECONDS)
        started = time.thread_time()
        call()
        spent += time.thread_time() - started
    return spent / _CALLS * 1e6


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, zmq.Context() as context:
        inbox, outbox = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        inbox.bind(f"ipc://{directory}/inbox")
        outbox.connect(f"ipc://{directory}/inbox")
        message = b"x" * 200
        calls: tuple[tuple[str, Callable[[], object]], ...] = (
            ("send", lambda: outbox.send(message, zmq.NOBLOCK)),
            ("receive until Again", lambda: _receive_until_again(inbox)),
            ("ask with enumerations", lambda: bool(_events(inbox, zmq.EVENTS) & zmq.POLLIN)),
            ("ask (has_input)", lambda: has_input(inbox)),
        )
        print(f"{'call':<24}{'busy us':>10}{'woken us':>10}")
        for name, call in calls:
            busy, woken = _cpu_us(call, is_cold=False), _cpu_us(call, is_cold=True)
            print(f"{name:<24}{busy:>10.1f}{woken:>10.1f}")
        inbox.close(0)
        outbox.close(0)


if __name__ == "__main__":
    main()

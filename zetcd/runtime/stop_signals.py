"""Responsible for turning the signals that stop a process into something a loop can read."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Final

#: Bytes read at once; one per signal.
_SIGNALS_MAX: Final = 64


@contextlib.contextmanager
def stop_signals(*, ignores_interrupt: bool = False) -> Iterator[int]:
    """Yield a descriptor that becomes readable when SIGTERM, SIGINT or SIGHUP has arrived.

    Afterwards these signals are ignored: the process is about to end, and one that comes
    late must not change its exit code.

    Args:
        ignores_interrupt: leave SIGINT to the parent, which stops this process by SIGTERM.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    stopping = [signal.SIGTERM, signal.SIGINT]
    # Under nohup, SIGHUP is ignored already and stays so.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stopping.append(signal.SIGHUP)
    previous_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in stopping:
        signal.signal(number, _note_signal)
    if ignores_interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield reader
    finally:
        # Not our handler: the interpreter takes that away before the process has ended.
        for number in stopping:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(previous_writer)
        os.close(reader)
        os.close(writer)


def arrived(descriptor: int) -> tuple[signal.Signals, ...]:
    """Return the signals that have arrived since the last call, without waiting."""
    try:
        numbers = os.read(descriptor, _SIGNALS_MAX)
    except BlockingIOError:
        return ()
    return tuple(signal.Signals(number) for number in numbers)


def _note_signal(_signal: int, _frame: object) -> None:
    """Do nothing: the number is in the pipe already."""

"""Signals become something to read, and do nothing else, not even late ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from zetcd.runtime.stop_signals import arrived, stop_signals


def exit_code_of(function: Callable[[], bool]) -> int:
    """Run ``function`` in a child, so that this process keeps its handlers."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            code = 0 if function() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_signals_are_read_in_order() -> None:
    def function() -> bool:
        with stop_signals() as descriptor:
            before = arrived(descriptor)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(os.getpid(), number)
            found = arrived(descriptor)
            return before == () and found == (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    assert exit_code_of(function) == 0


def test_an_interrupt_may_be_left_to_the_parent() -> None:
    def function() -> bool:
        with stop_signals(ignores_interrupt=True) as descriptor:
            os.kill(os.getpid(), signal.SIGINT)
            return arrived(descriptor) == ()

    assert exit_code_of(function) == 0


def test_a_hang_up_that_was_ignored_stays_ignored() -> None:
    def function() -> bool:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with stop_signals() as descriptor:
            os.kill(os.getpid(), signal.SIGHUP)
            return arrived(descriptor) == ()

    assert exit_code_of(function) == 0


def test_a_late_signal_has_no_effect() -> None:
    def function() -> bool:
        with stop_signals():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    assert exit_code_of(function) == 0

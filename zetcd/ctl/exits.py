"""Responsible for how zetcdctl ends: etcdctl's exit codes, and the error that carries one."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """etcdctl's exit codes."""

    SUCCESS = 0
    ERROR = 1
    BAD_CONNECTION = 2
    INVALID_INPUT = 3
    BAD_FEATURE = 4
    INTERRUPTED = 5
    IO = 6
    BAD_ARGUMENTS = 128


class CtlError(Exception):
    """Ends the command with a message on stderr and an exit code."""

    def __init__(self, message: str, code: int = Exit.ERROR) -> None:
        """Make an instance; the message is printed after ``Error: ``."""
        super().__init__(message)
        self.code = code


def bad_arguments(message: str) -> CtlError:
    """Return the error of a command line that makes no sense."""
    return CtlError(message, Exit.BAD_ARGUMENTS)

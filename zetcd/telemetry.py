"""Responsible for the one structured log of a process; the only place where logging is set up.

Each line is one event with ``node``, ``actor`` and ``term``, as JSON or as text for people. A line
is written with a single system call, so that lines of several actors on one stderr stay whole.
Events below the level cost one call of an empty function.

Cores never import this module: they take an optional ``trace`` callable (`trace_at_debug`).
Secrets (tokens, passwords, values of keys) are never passed to it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import Final, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from zetcd import telemetry_zap
from zetcd.config import Config
from zetcd.scalars import Term

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
#: Permission of a log file: it names keys and addresses.
_FILE_MODE: Final = 0o640


class _Context:
    """What every line of this process carries; a process has exactly one."""

    __slots__ = ("actor", "node", "term")

    def __init__(self) -> None:
        self.node = ""
        self.actor = ""
        #: 0 = not known yet, and then not shown.
        self.term: Term = 0

    def add(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Put the context between the time and the event's own keys (a structlog processor)."""
        line: EventDict = {
            "ts": event.pop("timestamp", ""),
            "level": event.pop("level", ""),
            "event": event.pop("event", ""),
            "node": self.node,
            "actor": self.actor,
        }
        if self.term:
            line["term"] = self.term
        # A key given with the event itself is the more exact one.
        line.update(event)
        return line


_context: Final = _Context()


def configure(config: Config, *, actor: str) -> None:
    """Set up the log of a node's process as its configuration says."""
    configure_process(
        level=config.log_level,
        log_format=config.log_format,
        outputs=config.log_outputs,
        node=config.name,
        actor=actor,
        logger=config.logger,
    )


def configure_process(
    *,
    level: str = "info",
    log_format: str = "json",
    outputs: tuple[str, ...] = ("stderr",),
    node: str = "",
    actor: str = "",
    logger: str = "native",
) -> None:
    """Set up the log of this process; calling it again replaces the earlier set-up.

    Args:
        level: least severe level shown: debug, info, warn or error.
        log_format: ``json`` or ``console``.
        outputs: ``stderr``, ``stdout`` or paths of files, which are appended to.
        node: name of the member, in every line.
        actor: address of the actor, in every line.
        logger: ``native``, or ``zap`` for lines of etcd's shape.

    Raises:
        OSError: a log file cannot be opened.
    """
    _context.node, _context.actor, _context.term = node, actor, 0
    writer = LineWriter(tuple(_open(output) for output in outputs))
    structlog.configure(
        processors=(
            _zap_processors(log_format)
            if logger == "zap"
            else _processors(log_format, is_terminal=all(os.isatty(each) for each in writer.files))
        ),
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    _catch_library_logs()


def set_term(term: Term) -> None:
    """Show ``term`` in every line from now on."""
    _context.term = term


def get_logger() -> FilteringBoundLogger:
    """Return the log of this process."""
    return cast(FilteringBoundLogger, structlog.get_logger())


def trace_at_debug() -> Callable[[str], None] | None:
    """Return what a core may call with a line of text, or None if debug lines are not shown."""
    log = get_logger()
    return log.debug if log.is_enabled_for(logging.DEBUG) else None


class LineWriter:
    """Writes whole lines to file descriptors, one system call each.

    An output that fails (a closed pipe, a full disk) loses lines; it never stops the process.
    """

    __slots__ = ("files",)

    def __init__(self, files: tuple[int, ...]) -> None:
        """Write to these file descriptors."""
        self.files = files

    def msg(self, line: str) -> None:
        """Write one line."""
        content = line.encode(errors="backslashreplace") + b"\n"
        for file in self.files:
            with contextlib.suppress(OSError):
                os.write(file, content)

    # structlog calls the method named like the level.
    log = debug = info = warning = warn = error = critical = exception = fatal = msg


def _open(output: str) -> int:
    if output in ("stderr", "default"):
        return sys.__stderr__.fileno() if sys.__stderr__ else 2
    if output == "stdout":
        return sys.__stdout__.fileno() if sys.__stdout__ else 1
    return os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _FILE_MODE)


def _processors(log_format: str, *, is_terminal: bool) -> list[Processor]:
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _context.add,
    ]
    if log_format == "json":
        return [
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=repr),
        ]
    renderer = structlog.dev.ConsoleRenderer(
        colors=is_terminal, timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback
    )
    return [*shared, renderer]


def _zap_processors(log_format: str) -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        telemetry_zap.call_site(),
        _context.add,
        structlog.processors.format_exc_info,
        telemetry_zap.render_json if log_format == "json" else telemetry_zap.render_console,
    ]


class _LibraryHandler(logging.Handler):
    """Hands what libraries log through the standard library to the one log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record under its library's name."""
        get_logger().log(record.levelno, record.getMessage(), library=record.name)


def _catch_library_logs() -> None:
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if not isinstance(each, _LibraryHandler)]
    root.addHandler(_LibraryHandler(logging.WARNING))

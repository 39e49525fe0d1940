"""Responsible for what ``auto-compaction-retention`` means in each mode."""

from __future__ import annotations

from typing import Final

from zetcd.config.rules import parse_duration

PERIODIC: Final = "periodic"
REVISION: Final = "revision"
_SECONDS_PER_HOUR: Final = 3600.0


def parse_retention(mode: str, text: str) -> float:
    """Return seconds (periodic) or revisions (revision); 0 = automatic compaction is off.

    A whole number is hours in mode periodic, as in etcd; a duration must have its units.

    Raises:
        ValueError: the text is neither.
    """
    if text.isascii() and text.isdigit():
        return float(text) if mode == REVISION else float(text) * _SECONDS_PER_HOUR
    if mode == REVISION:
        raise ValueError(f"{text!r} is not a number of revisions")
    return parse_duration(text)

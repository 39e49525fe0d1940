"""Responsible for what a fault must not leave behind: processes, descriptors, memory, secrets, defects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

#: Every value that the load writes contains it; so nothing that clients store is in a log.
SECRET: Final = "s3cr3t"
#: A defect of zetcd, whatever caused it.
_DEFECT: Final = re.compile(r"InvariantViolation|AssertionError|Traceback \(most recent")
#: Descriptors above the baseline that mean nothing: 5 %, and some for connections being replaced.
_FDS_SHARE: Final = 1.05
_FDS_MORE: Final = 8
#: Memory above the baseline that a round's own traffic explains: LMDB pages, the tail of the log.
_RSS_SHARE: Final = 1.3
_RSS_MORE_BYTES: Final = 64 * 1024 * 1024


class Footprint(NamedTuple):
    """What one process occupies."""

    fds: int
    rss_bytes: int


def check_footprints(
    name: str, before: Mapping[str, Footprint], after: Mapping[str, Footprint]
) -> Iterator[str]:
    """Yield actors of member ``name`` that occupy more than before the fault, and missing ones."""
    for actor, old in before.items():
        new = after.get(actor)
        if new is None:
            yield f"{name} has no {actor} any more"
            continue
        if new.fds > old.fds * _FDS_SHARE + _FDS_MORE:
            yield f"{actor} of {name} had {old.fds} descriptors and has {new.fds}"
        if new.rss_bytes > old.rss_bytes * _RSS_SHARE + _RSS_MORE_BYTES:
            yield f"{actor} of {name} had {old.rss_bytes} bytes of memory and has {new.rss_bytes}"


def check_log(name: str, text: str) -> Iterator[str]:
    """Yield secrets and defects in the log of member ``name``."""
    for number, line in enumerate(text.splitlines(), 1):
        if SECRET in line:
            yield f"line {number} of the log of {name} holds a value of a client"
        if _DEFECT.search(line):
            yield f"line {number} of the log of {name}: {line[:300]}"

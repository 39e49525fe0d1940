"""Responsible for a stopped member's disk: its log, executed anew, gives exactly its store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zetcd.config import Config
from zetcd.offline_check import CheckOptions, MemberPaths, Verdict, check_member


def check_replay(config: Config, scratch: Path) -> Iterator[str]:
    """Yield what is corrupt, and what could not be compared: that is not equality.

    This is what ``zetcd check`` does.
    """
    report = check_member(MemberPaths.of_config(config), CheckOptions(scratch=scratch))
    for part in report.parts:
        if part.verdict is not Verdict.OK:
            details = "; ".join((part.summary, *part.differences))
            yield f"{config.name}: {part.name} is {part.verdict.value}: {details}"

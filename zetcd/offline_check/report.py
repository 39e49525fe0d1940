"""Responsible for the shape of what a check has found; the same for people, JSON and tests."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

#: Differences that a report spells out for each part; the rest is only counted.
DIFFERENCES_MAX: Final = 5


class Verdict(Enum):
    """What became of one part of a check."""

    OK = "ok"
    #: Something is damaged, missing or not what it must be.
    CORRUPT = "corrupt"
    #: It could not be looked at; never counts as passed.
    SKIPPED = "skipped"


class Part(msgspec.Struct, frozen=True):
    """One thing that was looked at, for example ``log`` or ``table rev``."""

    name: str
    verdict: Verdict
    #: One sentence for people.
    summary: str
    #: Figures by name.
    facts: dict[str, int | str] = {}
    #: The first differences, one line each.
    differences: tuple[str, ...] = ()


class CheckReport(msgspec.Struct, frozen=True):
    """What was found in the directories of one member."""

    data_dir: str
    #: Hexadecimal; empty if the log does not say.
    cluster_id: str
    member_id: str
    verdict: Verdict
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part:
        """Return a part by name.

        Raises:
            KeyError: there is none.
        """
        for each in self.parts:
            if each.name == name:
                return each
        raise KeyError(name)


def verdict_of(parts: tuple[Part, ...]) -> Verdict:
    """Return the verdict of the whole: damage outweighs all, and what was skipped is not passed."""
    verdicts = [part.verdict for part in parts]
    for verdict in (Verdict.CORRUPT, Verdict.SKIPPED):
        if verdict in verdicts:
            return verdict
    return Verdict.OK

"""Responsible for what a planted bug is: an edit of the real code, and who has to notice it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


class StaleEdit(LookupError):
    """The code that an edit changes is not there any more, or is there more than once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in one file."""

    path: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Change the file under ``root``.

        Raises:
            StaleEdit: ``old`` does not occur exactly once.
        """
        file = root / self.path
        text = file.read_text()
        count = text.count(self.old)
        if count != 1:
            raise StaleEdit(f"{self.path} has {count} times, not once:\n{self.old}")
        file.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Seeds:
    """The simulator notices it in one of ``count`` seeds."""

    count: int = 60
    first: int = 1

    def command(self) -> tuple[str, ...]:
        """Return what to run, behind the name of the interpreter."""
        seeds = ("--seed", str(self.first), "--count", str(self.count))
        return ("-m", "tests.simulation", *seeds, "--until-failure")


@dataclass(frozen=True, slots=True)
class NamedTests:
    """One of these tests notices it: something that a simulated cluster cannot come to, or rarely."""

    names: tuple[str, ...]
    why: str

    def command(self) -> tuple[str, ...]:
        """Return what to run, behind the name of the interpreter."""
        return ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *self.names)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug of a kind that somebody has written before."""

    name: str
    #: What is wrong with it, as a sentence.
    story: str
    edits: tuple[Edit, ...]
    caught_by: Seeds | NamedTests = Seeds()

    def apply(self, root: Path = ROOT) -> None:
        """Plant the bug under ``root``.

        Raises:
            StaleEdit: see `Edit.apply`.
        """
        for edit in self.edits:
            edit.apply(root)

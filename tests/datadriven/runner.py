"""Runs scenario files: what is done to a core, and what comes of it, as text that people review.

A scenario is a sequence of blocks, separated by blank lines::

    # Why this is done.
    verb word word key=value
    optional body
    ----
    output

Each command is given to a handler, whose answer must equal the recorded output. With
``ZETCD_REWRITE=1`` in the environment the answers are recorded instead: read the difference before
you keep it, for the recorded output is the specification.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SEPARATOR = "----"


@dataclass(frozen=True)
class Command:
    """One block of a scenario."""

    verb: str
    words: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""
    #: Of the command, from 1.
    line: int = 0

    def number(self, name: str, default: int) -> int:
        """Return an option as a number."""
        return int(self.options.get(name, str(default)), 0)

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return an option as comma-separated numbers."""
        text = self.options.get(name, "")
        return tuple(int(part, 0) for part in text.split(",") if part)


Handler = Callable[[Command], str]


@dataclass
class Block:
    """A command with the text around it."""

    comment: list[str]
    source: list[str]
    command: Command
    output: str


def parse(text: str) -> list[Block]:
    """Return the blocks of a scenario; a trailing comment without a command is refused."""
    blocks: list[Block] = []
    lines = text.splitlines()
    at = 0
    comment: list[str] = []
    while at < len(lines):
        line = lines[at]
        if not line.strip() or line.startswith("#"):
            comment.append(line)
            at += 1
            continue
        end = lines.index(SEPARATOR, at) if SEPARATOR in lines[at:] else -1
        if end < 0:
            raise ValueError(f"line {at + 1}: a command without {SEPARATOR}")
        source = lines[at:end]
        out_end = end + 1
        while out_end < len(lines) and lines[out_end].strip():
            out_end += 1
        output = "\n".join(lines[end + 1 : out_end])
        blocks.append(Block(comment, source, _command(source, at + 1), output))
        comment = []
        at = out_end
    if any(line.strip() for line in comment):
        raise ValueError("a scenario ends with a command")
    return blocks


def _command(source: list[str], line: int) -> Command:
    """Return the command that begins with the first line of ``source``."""
    verb, *parts = source[0].split()
    words = tuple(part for part in parts if "=" not in part)
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    return Command(verb, words, options, "\n".join(source[1:]), line)


def is_rewriting() -> bool:
    """Return whether outputs are recorded instead of compared."""
    return os.environ.get("ZETCD_REWRITE") == "1"


def run(path: Path, handler: Handler) -> None:
    """Run one scenario file against ``handler``."""
    text = path.read_text(encoding="utf-8")
    blocks = parse(text)
    assert blocks, f"{path} has no commands"
    assert text.lstrip().startswith("#"), f"{path} must begin with a comment that states its intent"
    rewritten: list[str] = []
    for block in blocks:
        output = handler(block.command).rstrip("\n") or "ok"
        assert "\n\n" not in output, "an output ends at its first blank line"
        if not is_rewriting():
            where = f"{path.name}:{block.command.line}: {' '.join(block.source)}"
            assert output == block.output, f"{where}\n--- got\n{output}\n--- want\n{block.output}"
        rewritten += [*block.comment, *block.source, SEPARATOR, output]
    if is_rewriting():
        path.write_text("\n".join(rewritten) + "\n", encoding="utf-8")

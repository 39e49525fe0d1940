"""Responsible for what `zetcd etcd` prints about itself: usage, help and versions; pure."""

from __future__ import annotations

import textwrap
from typing import Final

from zetcd.launcher.flags import FLAGS, LEGACY_FLAGS, Flag, Kind, Treatment

USAGE: Final = """\
Usage:

  zetcd etcd [flags]
    Start a member, with etcd's flags.

  zetcd etcd --version
    Show the versions.

  zetcd etcd -h | --help
    Show what each flag does here.

  zetcd etcd --config-file
    Path to the server configuration file. Note that if a configuration file is provided, other
    command line flags and environment variables will be ignored."""

#: Columns of the help.
_COLUMNS: Final = 100
_SHORT: Final = {
    Treatment.ACTED_ON: "",
    Treatment.IGNORED: "Ignored with a warning: ",
    Treatment.REFUSED: "Refused: ",
}


def help_text() -> str:
    """Return every flag with what becomes of it."""
    lines: list[str] = []
    section = ""
    for flag in FLAGS.values():
        if flag.section != section:
            section = flag.section
            lines += ["", f"{section}:"]
        lines.append(f"  --{flag.name} {_shown_default(flag)}".rstrip())
        note = _SHORT[flag.treatment] + flag.note
        if note:
            lines += textwrap.wrap(
                note[0].upper() + note[1:] + ".",
                _COLUMNS,
                initial_indent="    ",
                subsequent_indent="    ",
            )
    lines += ["", "Accepted and without a meaning, as in etcd:"]
    lines += textwrap.wrap(
        ", ".join(f"--{name}" for name in LEGACY_FLAGS),
        _COLUMNS,
        initial_indent="  ",
        subsequent_indent="  ",
    )
    return "\n".join(lines[1:])


def _shown_default(flag: Flag) -> str:
    if flag.kind in (Kind.STRING, Kind.URLS, Kind.STRINGS):
        return f"'{flag.default}'"
    return f"'{flag.default}'" if flag.kind is Kind.BOOL else flag.default

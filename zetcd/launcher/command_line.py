"""Responsible for reading a command line the way Go's flag package does; pure.

One or two dashes, ``--flag=value`` or ``--flag value``; a boolean flag takes its value only after an
equals sign. The first argument that is no flag, or ``--``, ends the flags.
"""

from __future__ import annotations

from collections.abc import Sequence

from zetcd.launcher.flags import ACCEPTED, Flag, Kind
from zetcd.launcher.settings import Settings
from zetcd.launcher.values import Value, parse, parse_bool


class UsageError(Exception):
    """The command line is wrong: the text, then the usage, go to standard error, and the exit code is 2."""


class HelpWanted(Exception):
    """Somebody asked for help."""


def read_command_line(arguments: Sequence[str]) -> tuple[Settings, tuple[str, ...]]:
    """Return the flags that are set, and the arguments that are no flags.

    Raises:
        UsageError: a flag is unknown, or its value means nothing.
        HelpWanted: ``--help`` or ``-h``.
    """
    settings = Settings()
    rest = list(arguments)
    while rest and len(rest[0]) >= 2 and rest[0].startswith("-"):
        argument = rest.pop(0)
        if argument == "--":
            break
        name, value = _take_flag(argument, rest)
        settings.given.pop(name, None)
        settings.given[name] = value
    return settings, tuple(rest)


def _take_flag(argument: str, rest: list[str]) -> tuple[str, Value]:
    body = argument[2:] if argument.startswith("--") else argument[1:]
    if not body or body[0] in "-=":
        raise UsageError(f"bad flag syntax: {argument}")
    name, equals, text = body.partition("=")
    flag = ACCEPTED.get(name)
    if flag is None:
        if name in ("help", "h"):
            raise HelpWanted
        raise UsageError(f"flag provided but not defined: -{name}")
    if flag.kind is Kind.BOOL:
        return name, _boolean(name, text) if equals else True
    if not equals:
        if not rest:
            raise UsageError(f"flag needs an argument: -{name}")
        text = rest.pop(0)
    return name, _value(name, flag, text)


def _boolean(name: str, text: str) -> bool:
    try:
        return parse_bool(text)
    except ValueError as error:
        raise UsageError(f'invalid boolean value "{text}" for -{name}: {error}') from error


def _value(name: str, flag: Flag, text: str) -> Value:
    try:
        return parse(flag, text)
    except ValueError as error:
        raise UsageError(f'invalid value "{text}" for flag -{name}: {error}') from error

"""Responsible for reading etcd's variables: ``ETCD_`` and the flag in capitals with underscores; pure.

A flag on the command line goes before its variable, but to set both is fatal: one of them is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from zetcd.launcher.flags import ACCEPTED
from zetcd.launcher.settings import LauncherError, Settings
from zetcd.launcher.values import parse

PREFIX: Final = "ETCD_"
#: Read elsewhere, by etcd and its tools; no flags.
_NO_FLAGS: Final = ("ETCD_UNSUPPORTED_ARCH", "ETCD_VERIFY")


def variable_of(flag: str) -> str:
    """Return the variable of a flag."""
    return PREFIX + flag.upper().replace("-", "_")


class Shadowed(LauncherError):
    """A variable is set whose flag is on the command line."""

    def __init__(self, variable: str) -> None:
        """Name the variable."""
        super().__init__(
            "conflicting environment variable is shadowed by corresponding command-line flag "
            "(either unset environment variable or disable flag))"
        )
        self.variable = variable


def add_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Add what variables set to what the command line did; return the variables that were used.

    Raises:
        LauncherError: a value means nothing, or a flag has set the same.
    """
    on_command_line = {variable_of(name) for name in settings.given}
    names = {variable_of(name): name for name in ACCEPTED}
    used: dict[str, str] = {}
    for variable, name in sorted(names.items()):
        text = environment.get(variable, "")
        if not text or variable in on_command_line or name == "config-file":
            continue
        try:
            settings.given[name] = parse(ACCEPTED[name], text)
        except ValueError as error:
            raise LauncherError(f'invalid value "{text}" for {variable}: {error}') from error
        used[variable] = text
    for variable in environment:
        if variable in on_command_line:
            raise Shadowed(variable)
    return used


def unrecognized(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables that look like etcd's and are none."""
    known = {variable_of(name) for name in ACCEPTED}
    return tuple(
        sorted(
            variable
            for variable in environment
            if variable.startswith(PREFIX) and variable not in known and variable not in _NO_FLAGS
        )
    )

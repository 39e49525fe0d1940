"""Responsible for what a person has set, wherever it was written: flags, variables or a file; pure.

Names are those of etcd's flags, without aliases: an ``experimental-`` flag is noted under the name that
replaced it, or as a feature gate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zetcd.launcher.flags import (
    ACCEPTED,
    EXPERIMENTAL_GATES,
    EXPERIMENTAL_PREFIX,
    FLAGS,
    LEGACY_FLAGS,
)
from zetcd.launcher.values import Value, default_of


class LauncherError(Exception):
    """What was set cannot be used; the text is etcd's where etcd has one."""


@dataclass(slots=True)
class Settings:
    """Flags that were set, in the order in which they were."""

    #: By the name as it was written, which may be an alias.
    given: dict[str, Value] = field(default_factory=dict)
    #: The YAML file they come from; empty = command line and environment.
    file: str = ""
    #: Remarks about how they were set, for the log.
    warnings: list[str] = field(default_factory=list)

    def values(self) -> dict[str, Value]:
        """Return the flags that were set by the names that are not deprecated.

        Raises:
            LauncherError: a flag and its deprecated alias are both set.
        """
        values: dict[str, Value] = {}
        for name, value in self.given.items():
            if name in LEGACY_FLAGS or name not in ACCEPTED or _gate_of(name):
                continue
            known = ACCEPTED[name].name
            if known in values:
                raise LauncherError(
                    f"both --{EXPERIMENTAL_PREFIX}{known} and --{known} flags are set. Use only --{known}"
                )
            values[known] = value
        return values

    def value(self, name: str) -> Value:
        """Return what a flag is set to, or etcd's default."""
        values = self.values()
        return values[name] if name in values else default_of(FLAGS[name])

    def is_set(self, name: str) -> bool:
        """Say whether a flag was set at all."""
        return any(each in ACCEPTED and ACCEPTED[each].name == name for each in self.given)

    def gate_flags(self) -> dict[str, bool]:
        """Return the feature gates that deprecated flags of their own set."""
        return {
            gate: bool(value)
            for name, value in self.given.items()
            if (gate := _gate_of(name)) is not None
        }


def _gate_of(name: str) -> str | None:
    if not name.startswith(EXPERIMENTAL_PREFIX):
        return None
    return EXPERIMENTAL_GATES.get(name.removeprefix(EXPERIMENTAL_PREFIX))

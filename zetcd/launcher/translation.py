"""Responsible for turning what was set as for etcd into a configuration of zetcd; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zetcd.config import format_duration
from zetcd.launcher.checks import initial_cluster_of, urls_of
from zetcd.launcher.config_file import ALLOWED_CN
from zetcd.launcher.feature_gates import read_gates, remarks
from zetcd.launcher.flags import (
    EXPERIMENTAL_GATES,
    EXPERIMENTAL_PREFIX,
    FLAGS,
    LEGACY_FLAGS,
    Flag,
    Kind,
    Treatment,
)
from zetcd.launcher.settings import LauncherError, Settings
from zetcd.launcher.values import Value, default_of

#: Flags whose 0 stands for the default.
_ZERO_IS_DEFAULT: Final = (
    "compaction-batch-limit",
    "compaction-sleep-interval",
    "watch-progress-notify-interval",
)
#: Levels of zap that zetcd has no line of.
_LEVELS: Final = {"dpanic": "error", "panic": "error", "fatal": "error"}
#: Where zetcd writes its log; systemd reads standard error.
_OUTPUTS: Final = {"default": "stderr", "systemd/journal": "stderr"}
#: Always said, because etcd's default is not zetcd's.
_ALWAYS: Final = (
    "listen-peer-urls",
    "listen-client-urls",
    "initial-advertise-peer-urls",
    "advertise-client-urls",
)

Table = dict[str, object]


@dataclass(frozen=True, slots=True)
class Translation:
    """What `zetcd.config.config_from_table` reads, and what should be said about it."""

    table: Table
    warnings: tuple[str, ...]


def translate(settings: Settings) -> Translation:
    """Return the configuration of what was set.

    Raises:
        LauncherError: something was asked for that would be dangerous to ignore.
    """
    values = settings.values()
    _refuse(values)
    name = str(settings.value("name"))
    table: Table = {
        "data-dir": f"{name}.etcd",
        **{each: list(urls_of(settings, each)) for each in _ALWAYS},
        "gateway": {"native-processes": 0},
    }
    for flag_name, value in values.items():
        flag = FLAGS.get(flag_name)
        if flag is not None and flag.key and value not in ("", ()):
            _put(table, flag, value)
    table["initial-cluster"] = initial_cluster_of(settings)
    table["logger"] = "zap"
    if ALLOWED_CN in settings.given:
        _at(table, "client-transport-security.allowed-cn", settings.given[ALLOWED_CN])
    gates = read_gates(str(settings.value("feature-gates")), settings.gate_flags())
    warnings = (*settings.warnings, *_ignored(settings, values), *remarks(gates))
    return Translation(table, warnings)


def _refuse(values: dict[str, Value]) -> None:
    refused = [
        f"--{name}: {FLAGS[name].note}"
        for name, value in values.items()
        if name in FLAGS
        and FLAGS[name].treatment is Treatment.REFUSED
        and value != default_of(FLAGS[name])
    ]
    if refused:
        raise LauncherError("not implemented by zetcd: " + "; ".join(refused))


def _ignored(settings: Settings, values: dict[str, Value]) -> list[str]:
    warnings = [
        f"--{name} is ignored: {FLAGS[name].note}"
        for name, value in values.items()
        if name in FLAGS
        and FLAGS[name].treatment is Treatment.IGNORED
        and value != default_of(FLAGS[name])
    ]
    for name in settings.given:
        if name in LEGACY_FLAGS:
            warnings.append(f"flag is no longer supported and is ignored: --{name}")
        elif name.startswith(EXPERIMENTAL_PREFIX):
            plain = name.removeprefix(EXPERIMENTAL_PREFIX)
            gate = EXPERIMENTAL_GATES.get(plain)
            instead = f"--feature-gates={gate}=true" if gate else f"--{plain}"
            warnings.append(
                f"--{name} is deprecated in 3.6 and will be decommissioned in 3.7. Use '{instead}' instead."
            )
    return warnings


def _put(table: Table, flag: Flag, value: Value) -> None:
    if flag.name in _ZERO_IS_DEFAULT and not value:
        return
    if flag.kind is Kind.DURATION:
        assert isinstance(value, float)
        _at(table, flag.key, format_duration(value) if value >= 0 else f"{value}s")
    elif flag.name == "log-outputs":
        assert isinstance(value, tuple)
        outputs = [_OUTPUTS.get(each, each) for each in value]
        _at(table, flag.key, list(dict.fromkeys(outputs)))
    elif flag.name == "log-level":
        _at(table, flag.key, _LEVELS.get(str(value), value))
    else:
        _at(table, flag.key, list(value) if isinstance(value, tuple) else value)


def _at(table: Table, key: str, value: object) -> None:
    section, dot, inner = key.partition(".")
    if not dot:
        table[section] = value
        return
    into = table.setdefault(section, {})
    assert isinstance(into, dict)
    into[inner] = list(value) if isinstance(value, tuple) else value

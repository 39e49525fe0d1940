"""Responsible for doing what etcd does with its arguments, up to the end of the process."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from zetcd import __version__, telemetry
from zetcd.config import Config, ConfigError, config_from_table
from zetcd.ctl.go_text import os_error_text
from zetcd.errors import ExitCode, require_asserts
from zetcd.launcher.checks import check
from zetcd.launcher.command_line import HelpWanted, UsageError, read_command_line
from zetcd.launcher.config_file import read_config_file
from zetcd.launcher.environment import Shadowed, add_environment, unrecognized, variable_of
from zetcd.launcher.settings import LauncherError, Settings
from zetcd.launcher.translation import translate
from zetcd.launcher.usage import USAGE, help_text
from zetcd.version import API_VERSION

#: etcd's exit codes.
_FAILED: Final = 1
_USAGE: Final = 2
#: Programs of etcd's that begin with the first argument.
_SUBCOMMANDS: Final = ("gateway", "grpc-proxy")
#: The kernel does not end process 1 by a signal.
_INIT_PID: Final = 1


def run_as_etcd(arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Do what etcd does with these arguments and variables; ends the process."""
    require_asserts()
    if arguments and arguments[0] in _SUBCOMMANDS:
        _complain(f"zetcd etcd {arguments[0]} is not implemented")
        sys.exit(_FAILED)
    try:
        settings, rest = read_command_line(arguments)
    except HelpWanted:
        _complain(USAGE)
        sys.stdout.write(help_text() + "\n")
        sys.exit(ExitCode.OK)
    except UsageError as error:
        _complain(f"{error}\n{USAGE}")
        sys.exit(_USAGE)
    if not rest and settings.given.get("version"):
        _print_versions()
        sys.exit(ExitCode.OK)
    telemetry.configure_process(logger="zap")
    config = _configure(settings, rest, environment)
    _run(config, environment.get("NOTIFY_SOCKET", ""))


def _configure(settings: Settings, rest: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Return the configuration, or end the process as etcd does when flags cannot be verified."""
    log = telemetry.get_logger()
    try:
        settings = _gather(settings, rest, environment)
        check(settings)
        translation = translate(settings)
        config = config_from_table(translation.table)
    except Shadowed as error:
        log.critical(str(error), **{"environment-variable": error.variable})
        sys.exit(_FAILED)
    except (LauncherError, ConfigError) as error:
        log.warning("failed to verify flags", error=str(error))
        sys.exit(_FAILED)
    except OSError as error:
        log.warning("failed to verify flags", error=os_error_text(error, "open"))
        sys.exit(_FAILED)
    for warning in translation.warnings:
        log.warning(warning)
    if not settings.is_set("data-dir"):
        log.warning("'data-dir' was empty; using default", **{"data-dir": config.data_dir})
    return config


def _gather(settings: Settings, rest: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return everything that was set, from the one place or the two that count."""
    log = telemetry.get_logger()
    if rest:
        raise LauncherError(f'"{rest[0]}" is not a valid flag')
    file = settings.given.get("config-file") or environment.get(variable_of("config-file"))
    if file:
        found = read_config_file(str(file), Path(str(file)).read_text(encoding="utf-8"))
        log.info(
            "loaded server configuration, other configuration command line flags and environment "
            "variables will be ignored if provided",
            path=str(file),
        )
        return found
    for variable, value in add_environment(settings, environment).items():
        log.info(
            "recognized and used environment variable",
            **{"variable-name": variable, "variable-value": value},
        )
    for variable in unrecognized(environment):
        log.warning("unrecognized environment variable", **{"environment-variable": variable})
    return settings


def _run(config: Config, notify_socket: str) -> NoReturn:
    from zetcd.supervision import run_node  # noqa: PLC0415 - help and complaints come at once

    ending = run_node(config, notify_socket=notify_socket)
    if ending.code is ExitCode.REMOVED:
        # As etcd: nothing failed, and a service manager that restarts what failed lets it rest.
        sys.exit(ExitCode.OK)
    if ending.code is not ExitCode.OK:
        sys.exit(_FAILED)
    if ending.signal is not None and os.getpid() != _INIT_PID:
        # As etcd: whoever waits for this process learns that the signal ended it.
        signal.signal(ending.signal, signal.SIG_DFL)
        os.kill(os.getpid(), ending.signal)
    sys.exit(ExitCode.OK)


def _print_versions() -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    sys.stdout.write(
        f"etcd Version: {API_VERSION}\n"
        f"Git SHA: zetcd-{__version__}\n"
        f"Go Version: none, Python {platform.python_version()}\n"
        f"Go OS/Arch: {sys.platform}/{machine}\n"
    )


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")

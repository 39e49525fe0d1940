"""Responsible for the commands about zetcdctl itself: version, options, completion."""

from __future__ import annotations

from typing import Final

import click

from zetcd import __version__
from zetcd.ctl.cli import command, emit, global_options
from zetcd.ctl.exits import CtlError, bad_arguments
from zetcd.version import API_MINOR

_SHELLS: Final = ("bash", "zsh", "fish")


@command("version", short_help="Prints the version")
def version() -> None:
    """Print the version of zetcdctl and of the API."""
    emit(f"zetcdctl version: {__version__}\nAPI version: {API_MINOR}\n".encode())


@command("options", short_help="Lists the global flags")
@click.pass_context
def options(context: click.Context) -> None:
    """List the flags that every command takes."""
    formatter = context.make_formatter()
    rows = [
        (record[0], f"{record[1]}")
        for option in global_options(with_environment=True)
        for record in (option.get_help_record(context),)
        if record is not None
    ]
    formatter.write("The following options can be passed to any command:\n\n")
    formatter.write_dl(rows)
    emit(formatter.getvalue().encode())


@command("completion", short_help="Generates a completion script for a shell")
@click.argument("arguments", nargs=-1, metavar="SHELL")
def completion(arguments: tuple[str, ...]) -> None:
    """Print the completion script for bash, zsh or fish; source it."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - needed here only

    if len(arguments) != 1:
        raise bad_arguments(f"completion command needs 1 argument, one of {', '.join(_SHELLS)}")
    shell = arguments[0]
    found = get_completion_class(shell) if shell in _SHELLS else None
    if found is None:
        raise CtlError(f"completion for {shell}: not implemented yet")
    context = click.get_current_context().find_root()
    emit(found(context.command, {}, "zetcdctl", "_ZETCDCTL_COMPLETE").source().encode() + b"\n")

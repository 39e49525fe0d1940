"""Responsible for `zetcd etcd` as a command of `zetcd`; imports nothing before it is asked for."""

from __future__ import annotations

import os

import click


class _Unparsed(click.Command):
    """A command that reads its arguments itself: etcd's flags are Go's, not click's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep everything."""
        ctx.params["arguments"] = tuple(args)
        return []


@click.command(
    "etcd", cls=_Unparsed, add_help_option=False, short_help="Run one node with etcd's flags."
)
def etcd_command(arguments: tuple[str, ...]) -> None:
    """Run one node with etcd's flags, variables or YAML file, until SIGTERM or SIGINT."""
    from zetcd.launcher.running import run_as_etcd  # noqa: PLC0415 - `zetcd --help` answers at once

    run_as_etcd(arguments, os.environ)

"""Responsible for the commands that etcdctl has and zetcdctl does not have yet: they say so."""

from __future__ import annotations

import click

from zetcd.ctl.exits import CtlError


def absent(name: str) -> click.Command:
    """Return a command that takes anything and does nothing but say that it is not there yet."""

    @click.command(
        name,
        short_help="Not implemented yet",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )
    def refuse() -> None:
        """Not implemented yet."""
        raise CtlError("not implemented yet")

    return refuse


auth = absent("auth")
downgrade = absent("downgrade")
make_mirror = absent("make-mirror")
role = absent("role")
user = absent("user")

"""Responsible for the command that gives free pages of members' stores back to their file systems."""

from __future__ import annotations

import sys
import time

import click

from zetcd.ctl.cli import Cli, command
from zetcd.ctl.endpoint import endpoints_of
from zetcd.ctl.go_text import duration_text
from zetcd.errors import ZetcdError


@command("defrag", short_help="Defragments the storage of the members with given endpoints")
@click.option("--cluster", is_flag=True, help="use all endpoints from the cluster member list")
@click.pass_obj
def defrag(cli: Cli, *, cluster: bool) -> None:
    """Defragment each endpoint's store, one after the other; none of them stops meanwhile."""
    cli.check()
    failures = 0
    for url in endpoints_of(cli, is_cluster=cluster):
        begun = time.monotonic()
        try:
            with cli.client_of(url) as client:
                client.defragment()
        except ZetcdError as error:
            failures += 1
            took = duration_text(time.monotonic() - begun)
            sys.stderr.write(f"Failed to defragment etcd member[{url}]. took {took}. ({error})\n")
        else:
            took = duration_text(time.monotonic() - begun)
            sys.stdout.write(f"Finished defragmenting etcd member[{url}]. took {took}\n")
    if failures:
        raise click.exceptions.Exit(1)

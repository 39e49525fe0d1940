"""Responsible for saving snapshots."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from zetcd.ctl.cli import Cli, command
from zetcd.ctl.exits import CtlError, bad_arguments


@click.group("snapshot", short_help="Manages etcd node snapshots")
def snapshot() -> None:
    """Save a member's store as an etcd snapshot file; zetcdutl and etcdutl restore it."""


@command("save", short_help="Stores a snapshot of the member's store in a file")
@click.argument("arguments", nargs=-1)
@click.pass_obj
def save(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Save to FILE, which appears under its name only when all of it is on the disk."""
    cli.check()
    if len(arguments) != 1:
        raise bad_arguments("snapshot save expects one argument")
    if len(cli.endpoints) != 1:
        raise CtlError("snapshot must be requested to one selected node, not multiple")
    path = Path(arguments[0])
    partial = path.with_name(f"{path.name}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            version = cli.client.save_snapshot(file.write)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    sys.stdout.write(f"Snapshot saved at {path}\n")
    if version:
        sys.stdout.write(f"Server version {version}\n")


snapshot.add_command(save)

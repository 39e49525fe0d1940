"""Responsible for the commands about leases."""

from __future__ import annotations

import click

from zetcd.ctl.cli import Cli, command, emit, parse_lease
from zetcd.ctl.exits import bad_arguments
from zetcd.ctl.go_text import parse_int
from zetcd.ctl.printer import Revoked, TimeToLive
from zetcd.errors import LeaseNotFound


@click.group("lease", short_help="Lease related commands")
def lease() -> None:
    """Grant, renew, revoke and list leases; ids are hexadecimal."""


def _only(arguments: tuple[str, ...], name: str) -> str:
    if len(arguments) != 1:
        raise bad_arguments(f"lease {name} command needs 1 argument")
    return arguments[0]


@command("grant", short_help="Creates leases")
@click.argument("arguments", nargs=-1, metavar="TTL")
@click.pass_obj
def grant(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Create a lease of TTL seconds."""
    cli.check()
    if len(arguments) != 1:
        raise bad_arguments("lease grant command needs TTL argument")
    try:
        ttl = parse_int(arguments[0])
    except ValueError as error:
        raise bad_arguments(f"bad TTL ({error})") from None
    cli.show(cli.client.lease_grant(ttl))


@command("revoke", short_help="Revokes leases")
@click.argument("arguments", nargs=-1, metavar="LEASE")
@click.pass_obj
def revoke(cli: Cli, arguments: tuple[str, ...]) -> None:
    """End a lease and delete its keys."""
    cli.check()
    lease_id = parse_lease(_only(arguments, "revoke"))
    cli.show(Revoked(lease_id, cli.client.lease_revoke(lease_id)))


@command("timetolive", short_help="Get lease information")
@click.argument("arguments", nargs=-1, metavar="LEASE")
@click.option("--keys", is_flag=True, help="get keys attached to this lease")
@click.pass_obj
def timetolive(cli: Cli, arguments: tuple[str, ...], *, keys: bool) -> None:
    """Show the remaining time of a lease."""
    cli.check()
    lease_id = parse_lease(_only(arguments, "timetolive"))
    cli.show(TimeToLive(cli.client.time_to_live(lease_id, keys=keys), keys))


@command("list", short_help="List all active leases")
@click.pass_obj
def list_leases(cli: Cli) -> None:
    """List the leases."""
    cli.check()
    cli.show(cli.client.leases())


@command("keep-alive", short_help="Keeps leases alive (renew)")
@click.argument("arguments", nargs=-1, metavar="LEASE")
@click.option("--once", is_flag=True, help="renew once and exit")
@click.pass_obj
def keep_alive(cli: Cli, arguments: tuple[str, ...], *, once: bool) -> None:
    """Renew a lease until it ends or the command is interrupted."""
    cli.check()
    lease_id = parse_lease(_only(arguments, "keep-alive"))
    if once:
        cli.show(cli.client.keep_alive_once(lease_id))
        return
    try:
        for renewal in cli.client.keep_alive(lease_id):
            cli.show(renewal)
    except LeaseNotFound:
        if cli.is_simple:
            emit(b"lease %016x expired or revoked.\n" % lease_id)


for each in (grant, revoke, timetolive, list_leases, keep_alive):
    lease.add_command(each)

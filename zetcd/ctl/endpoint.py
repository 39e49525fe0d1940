"""Responsible for the commands about endpoints: each is asked by itself, one after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, TypeVar

import click

from zetcd.client import Client
from zetcd.ctl.cli import Cli, command, number
from zetcd.ctl.exits import CtlError
from zetcd.ctl.printer import (
    Hash,
    HashList,
    Health,
    HealthList,
    Origin,
    Status,
    StatusList,
)
from zetcd.errors import PermissionDenied, ZetcdError

T = TypeVar("T")

#: The key that etcdctl reads to see whether an endpoint serves; it need not exist.
_HEALTH_KEY: Final = b"health"


@click.group("endpoint", short_help="Endpoint related commands")
def endpoint() -> None:
    """Ask each endpoint, or with --cluster each member, by itself."""


def endpoints_of(cli: Cli, *, is_cluster: bool) -> tuple[str, ...]:
    """Return the endpoints given, or those of all members."""
    if not is_cluster:
        return cli.endpoints
    members = cli.client.member_list().members
    return tuple(url for member in members for url in member.native_urls)


@command("health", short_help="Checks the healthiness of endpoints")
@click.option("--cluster", is_flag=True, help="use all endpoints from the cluster member list")
@click.pass_obj
def health(cli: Cli, *, cluster: bool) -> None:
    """Read through each endpoint as through the cluster."""
    cli.check()
    healths = tuple(_health(cli, each) for each in endpoints_of(cli, is_cluster=cluster))
    if cli.is_simple:
        # The healthy ones on stdout, the others on stderr, as etcdctl prints them.
        for each in healths:
            _show_health(cli, each)
    else:
        cli.show(HealthList(healths))
    if not all(each.is_healthy for each in healths):
        raise CtlError("unhealthy cluster")


def _health(cli: Cli, url: str) -> Health:
    begun = time.monotonic()
    error = ""
    try:
        with cli.client_of(url) as client:
            client.get(_HEALTH_KEY)
    except PermissionDenied:
        pass  # It was the cluster that refused, so it works.
    except ZetcdError as failure:
        error = str(failure)
    return Health(url, not error, time.monotonic() - begun, error)


def _show_health(cli: Cli, each: Health) -> None:
    if each.is_healthy:
        cli.show(HealthList((each,)))
    else:
        sys.stderr.write(f"{each.endpoint} is unhealthy: failed to commit proposal: {each.error}\n")


@command("status", short_help="Prints out the status of endpoints")
@click.option("--cluster", is_flag=True, help="use all endpoints from the cluster member list")
@click.pass_obj
def status(cli: Cli, *, cluster: bool) -> None:
    """Show version, size, leadership and log positions."""
    cli.check()
    urls = endpoints_of(cli, is_cluster=cluster)

    def ask(url: str, client: Client) -> Status:
        response = client.status()
        return Status(url, Origin(client.cluster_id, client.member_id), response)

    found, has_failed = _ask_each(cli, urls, "status", ask)
    cli.show(StatusList(tuple(found)))
    _end(has_failed)


@command("hashkv", short_help="Prints the KV history hash for each endpoint")
@click.option("--cluster", is_flag=True, help="use all endpoints from the cluster member list")
@click.option("--rev", type=number, default=0, help="maximum revision to hash (0: all)")
@click.pass_obj
def hashkv(cli: Cli, *, cluster: bool, rev: int) -> None:
    """Show the hash of the key-value history."""
    cli.check()
    urls = endpoints_of(cli, is_cluster=cluster)

    def ask(url: str, client: Client) -> Hash:
        response = client.hash_kv(rev)
        return Hash(url, Origin(client.cluster_id, client.member_id), response)

    found, has_failed = _ask_each(cli, urls, "hash", ask)
    cli.show(HashList(tuple(found)))
    _end(has_failed)


def _ask_each(
    cli: Cli, urls: tuple[str, ...], what: str, ask: Callable[[str, Client], T]
) -> tuple[list[T], bool]:
    """Ask every endpoint; those that do not answer are named on stderr."""
    found: list[T] = []
    has_failed = False
    for url in urls:
        try:
            with cli.client_of(url) as client:
                found.append(ask(url, client))
        except ZetcdError as error:
            has_failed = True
            sys.stderr.write(f"Failed to get the {what} of endpoint {url} ({error})\n")
    return found, has_failed


def _end(has_failed: bool) -> None:
    if has_failed:
        raise click.exceptions.Exit(1)


for each in (health, status, hashkv):
    endpoint.add_command(each)

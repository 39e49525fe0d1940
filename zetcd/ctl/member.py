"""Responsible for the commands about members and leadership."""

from __future__ import annotations

import click

from zetcd.client import Client
from zetcd.ctl.cli import Cli, command
from zetcd.ctl.exits import CtlError, bad_arguments
from zetcd.ctl.go_text import parse_uint
from zetcd.ctl.printer import LeaderMoved, MemberAdded, MemberChange
from zetcd.errors import ZetcdError


@click.group("member", short_help="Membership related commands")
def member() -> None:
    """List and change the members of the cluster."""


@command("list", short_help="Lists all members in the cluster")
@click.option("--consistency", default="l", help="linearizable (l) or serializable (s)")
@click.pass_obj
def list_members(cli: Cli, *, consistency: str) -> None:
    """List the members."""
    cli.check()
    if consistency not in ("l", "s"):
        raise bad_arguments(f'unknown consistency flag "{consistency}"')
    cli.show(cli.client.member_list(linearizable=consistency == "l"))


def _cluster_id(cli: Cli) -> int:
    return cli.origin.cluster_id


@command("add", short_help="Adds a member into the cluster")
@click.argument("arguments", nargs=-1, metavar="NAME")
@click.option("--peer-urls", default="", help="comma separated peer URLs of the new member")
@click.option("--learner", is_flag=True, help="add it as a learner, which gets the log and no vote")
@click.pass_obj
def add_member(cli: Cli, arguments: tuple[str, ...], *, peer_urls: str, learner: bool) -> None:
    """Add a member, and say what to start it with."""
    cli.check()
    if not arguments:
        raise bad_arguments("member name not provided")
    if len(arguments) > 1:
        urls = [each for each in arguments if each.lower().startswith(("http", "tcp"))]
        meant = "".join(f", did you mean --peer-urls={each}" for each in urls)
        raise bad_arguments(f"too many arguments{meant}")
    response = cli.client.member_add(_urls(peer_urls), is_learner=learner)
    cli.show(MemberAdded(arguments[0], peer_urls, _cluster_id(cli), response))


@command("remove", short_help="Removes a member from the cluster")
@click.argument("arguments", nargs=-1, metavar="MEMBER_ID")
@click.pass_obj
def remove_member(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Remove a member for good, given by its hexadecimal id."""
    cli.check()
    member_id = _member_id(arguments)
    response = cli.client.member_remove(member_id)
    cli.show(MemberChange(member_id, "removed from", _cluster_id(cli), response))


@command("update", short_help="Updates a member in the cluster")
@click.argument("arguments", nargs=-1, metavar="MEMBER_ID")
@click.option("--peer-urls", default="", help="comma separated peer URLs of the member")
@click.pass_obj
def update_member(cli: Cli, arguments: tuple[str, ...], *, peer_urls: str) -> None:
    """Tell the cluster where a member, given by its hexadecimal id, is reached."""
    cli.check()
    member_id = _member_id(arguments)
    response = cli.client.member_update(member_id, _urls(peer_urls))
    cli.show(MemberChange(member_id, "updated in", _cluster_id(cli), response))


@command("promote", short_help="Promotes a non-voting member in the cluster")
@click.argument("arguments", nargs=-1, metavar="MEMBER_ID")
@click.pass_obj
def promote_member(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Make a voter of a learner, given by its hexadecimal id."""
    cli.check()
    member_id = _member_id(arguments)
    response = cli.client.member_promote(member_id)
    cli.show(MemberChange(member_id, "promoted in", _cluster_id(cli), response))


def _urls(text: str) -> tuple[str, ...]:
    if not text:
        raise bad_arguments("member peer urls not provided")
    return tuple(each.strip() for each in text.split(","))


def _member_id(arguments: tuple[str, ...]) -> int:
    if len(arguments) != 1:
        raise bad_arguments("member ID is not provided")
    try:
        return parse_uint(arguments[0], 16)
    except ValueError as error:
        raise bad_arguments(f"bad member ID arg ({error}), expecting ID in Hex") from None


for each_command in (list_members, add_member, remove_member, update_member, promote_member):
    member.add_command(each_command)


@command("move-leader", short_help="Transfers leadership to another member")
@click.argument("arguments", nargs=-1, metavar="TRANSFEREE_MEMBER_ID")
@click.pass_obj
def move_leader(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Transfer leadership to a member, given by its hexadecimal id; must reach the leader."""
    cli.check()
    if len(arguments) != 1:
        raise bad_arguments("move-leader command needs 1 argument")
    try:
        target_id = parse_uint(arguments[0], 16)
    except ValueError as error:
        raise bad_arguments(f"bad member ID ({error}), expecting ID in Hex") from None
    for endpoint in cli.endpoints:
        with cli.client_of(endpoint) as client:
            leader_id = _leader_id(client)
            if leader_id and leader_id == client.member_id:
                client.move_leader(target_id)
                cli.show(LeaderMoved(leader_id, target_id))
                return
    raise bad_arguments(f"no leader endpoint given at [{' '.join(cli.endpoints)}]")


def _leader_id(client: Client) -> int:
    try:
        return client.status().leader
    except ZetcdError as error:
        raise CtlError(str(error)) from error

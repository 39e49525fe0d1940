"""Responsible for the commands about alarms."""

from __future__ import annotations

import click
from msgspec.structs import replace

from zetcd.ctl.cli import Cli, command
from zetcd.ctl.exits import bad_arguments
from zetcd.messages.cluster import AlarmMember


@click.group("alarm", short_help="Alarm related commands")
def alarm() -> None:
    """List the alarms that are on, or turn them off."""


@command("list", short_help="Lists all alarms")
@click.argument("arguments", nargs=-1)
@click.pass_obj
def list_alarms(cli: Cli, arguments: tuple[str, ...]) -> None:
    """List the alarms that are on."""
    cli.check()
    if arguments:
        raise bad_arguments("alarm list command accepts no arguments")
    cli.show(cli.client.alarm_list())


@command("disarm", short_help="Disarms all alarms")
@click.argument("arguments", nargs=-1)
@click.pass_obj
def disarm(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Turn every alarm off; prints those that were on."""
    cli.check()
    if arguments:
        raise bad_arguments("alarm disarm command accepts no arguments")
    response = cli.client.alarm_list()
    disarmed: list[AlarmMember] = []
    for each in response.alarms:
        changed = cli.client.alarm_disarm(each)
        disarmed += changed.alarms
        response = replace(response, header=changed.header)
    cli.show(replace(response, alarms=tuple(disarmed)))


for each in (list_alarms, disarm):
    alarm.add_command(each)

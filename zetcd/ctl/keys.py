"""Responsible for put, get, del and compaction, alone and as lines of a transaction."""

from __future__ import annotations

from typing import Final, TypedDict, Unpack

import click

from zetcd.client import FROM_KEY, prefix_end
from zetcd.ctl.cli import Cli, CtlCommand, command, emit, lease_id, number, raw_bytes, read_stdin
from zetcd.ctl.exits import bad_arguments
from zetcd.ctl.go_text import parse_int
from zetcd.ctl.simple import render_values
from zetcd.messages.kv import (
    CompactionResponse,
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    SortOrder,
    SortTarget,
)

_ORDERS: Final = {"": SortOrder.NONE, "ASCEND": SortOrder.ASCEND, "DESCEND": SortOrder.DESCEND}
_TARGETS: Final = {
    "": SortTarget.KEY,
    "CREATE": SortTarget.CREATE,
    "KEY": SortTarget.KEY,
    "MODIFY": SortTarget.MOD,
    "VALUE": SortTarget.VALUE,
    "VERSION": SortTarget.VERSION,
}


# --- put --------------------------------------------------------------------------------------------


class PutFlags(TypedDict):
    """Parameters of put."""

    arguments: tuple[bytes, ...]
    lease: int
    prev_kv: bool
    ignore_value: bool
    ignore_lease: bool


def put_request(stdin: bytes | None, **flags: Unpack[PutFlags]) -> PutRequest:
    """Return the request of a put; ``stdin`` is the value if none is given, None = there is none."""
    arguments = flags["arguments"]
    if not 1 <= len(arguments) <= 2:
        raise bad_arguments("put command needs 1 argument and input from stdin or 2 arguments")
    value = arguments[1] if len(arguments) == 2 else stdin
    if flags["ignore_value"]:
        value = arguments[1] if len(arguments) == 2 else b""
    if value is None:
        raise bad_arguments("put command needs 1 argument and input from stdin or 2 arguments")
    return PutRequest(
        arguments[0],
        value,
        flags["lease"],
        flags["prev_kv"],
        flags["ignore_value"],
        flags["ignore_lease"],
    )


@command("put", short_help="Puts the given key into the store")
@click.argument("arguments", nargs=-1, type=raw_bytes, metavar="KEY [VALUE]")
@click.option("--lease", type=lease_id, default=0, help="lease ID (in hexadecimal) to attach")
@click.option("--prev-kv", is_flag=True, help="return the previous key-value pair")
@click.option("--ignore-value", is_flag=True, help="update the key using its current value")
@click.option("--ignore-lease", is_flag=True, help="update the key using its current lease")
@click.pass_obj
def put(cli: Cli, **flags: Unpack[PutFlags]) -> None:
    """Write a key; without a value, stdin is the value."""
    cli.check()
    needs_stdin = len(flags["arguments"]) == 1 and not flags["ignore_value"]
    request = put_request(read_stdin() if needs_stdin else None, **flags)
    cli.show(cli.client.call(request, PutResponse))


# --- get --------------------------------------------------------------------------------------------


class GetFlags(TypedDict):
    """Parameters of get that a transaction takes too."""

    arguments: tuple[bytes, ...]
    consistency: str
    order: str
    sort_by: str
    limit: int
    prefix: bool
    from_key: bool
    rev: int
    keys_only: bool
    count_only: bool
    print_value_only: bool
    min_create_rev: int
    max_create_rev: int
    min_mod_rev: int
    max_mod_rev: int


def get_request(**flags: Unpack[GetFlags]) -> RangeRequest:
    """Return the request of a get."""
    if flags["prefix"] and flags["from_key"]:
        raise bad_arguments(
            "`--prefix` and `--from-key` cannot be set at the same time, choose one"
        )
    if flags["keys_only"] and flags["count_only"]:
        raise bad_arguments(
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one"
        )
    if flags["consistency"] not in ("l", "s"):
        raise bad_arguments(f'unknown consistency flag "{flags["consistency"]}"')
    order = _ORDERS.get(flags["order"].upper())
    if order is None:
        raise bad_arguments(f"bad sort order {flags['order']}")
    target = _TARGETS.get(flags["sort_by"].upper())
    if target is None:
        raise bad_arguments(f"bad sort target {flags['sort_by']}")
    key, range_end = key_range(
        flags["arguments"],
        "get command needs one argument as key and an optional argument as range_end",
        is_prefix=flags["prefix"],
        is_from_key=flags["from_key"],
    )
    return RangeRequest(
        key,
        range_end,
        flags["limit"],
        flags["rev"],
        order,
        target,
        flags["consistency"] == "s",
        flags["keys_only"],
        flags["count_only"],
        flags["min_mod_rev"],
        flags["max_mod_rev"],
        flags["min_create_rev"],
        flags["max_create_rev"],
    )


def key_range(
    arguments: tuple[bytes, ...], usage: str, *, is_prefix: bool, is_from_key: bool
) -> tuple[bytes, bytes]:
    """Return key and range_end of what was asked for; an empty key stands for the first one."""
    if not 1 <= len(arguments) <= 2:
        raise bad_arguments(usage)
    if len(arguments) == 2:
        if is_prefix or is_from_key:
            raise bad_arguments(
                "too many arguments, only accept one argument when `--prefix` or `--from-key` is set"
            )
        return arguments
    key = arguments[0]
    if is_prefix:
        return (key, prefix_end(key)) if key else (b"\0", FROM_KEY)
    if is_from_key:
        return key or b"\0", FROM_KEY
    return key, b""


@command("get", short_help="Gets the key or a range of keys")
@click.argument("arguments", nargs=-1, type=raw_bytes, metavar="KEY [RANGE_END]")
@click.option("--consistency", default="l", help="linearizable (l) or serializable (s)")
@click.option("--order", default="", help="order of results: ASCEND or DESCEND")
@click.option("--sort-by", default="", help="sort target: CREATE, KEY, MODIFY, VALUE or VERSION")
@click.option("--limit", type=number, default=0, help="maximum number of results")
@click.option("--prefix", is_flag=True, help="get keys with matching prefix")
@click.option("--from-key", is_flag=True, help="get keys that are >= the given key")
@click.option("--rev", type=number, default=0, help="revision to read at")
@click.option("--keys-only", is_flag=True, help="get only the keys")
@click.option("--count-only", is_flag=True, help="get only the count")
@click.option("--print-value-only", is_flag=True, help="only write values")
@click.option("--min-create-rev", type=number, default=0, help="minimum create revision")
@click.option("--max-create-rev", type=number, default=0, help="maximum create revision")
@click.option("--min-mod-rev", type=number, default=0, help="minimum modification revision")
@click.option("--max-mod-rev", type=number, default=0, help="maximum modification revision")
@click.pass_obj
def get(cli: Cli, **flags: Unpack[GetFlags]) -> None:
    """Read a key, the keys from KEY to RANGE_END, or those of a prefix."""
    cli.check()
    request = get_request(**flags)
    if flags["count_only"] and cli.flags.write_out not in ("fields", "json"):
        raise bad_arguments("--count-only is only for `--write-out=fields`")
    if flags["print_value_only"] and not cli.is_simple:
        raise bad_arguments("print-value-only is only for `--write-out=simple`")
    response = cli.client.call(request, RangeResponse)
    if flags["print_value_only"]:
        emit(render_values(response, cli.flags.hex))
    else:
        cli.show(response)


# --- del --------------------------------------------------------------------------------------------


class DeleteFlags(TypedDict):
    """Parameters of del."""

    arguments: tuple[bytes, ...]
    prefix: bool
    from_key: bool
    range: bool
    prev_kv: bool


def delete_request(**flags: Unpack[DeleteFlags]) -> DeleteRangeRequest:
    """Return the request of a deletion."""
    if flags["prefix"] and flags["from_key"]:
        raise bad_arguments(
            "`--prefix` and `--from-key` cannot be set at the same time, choose one"
        )
    key, range_end = key_range(
        flags["arguments"],
        "del command needs one argument as key and an optional argument as range_end",
        is_prefix=flags["prefix"],
        is_from_key=flags["from_key"],
    )
    return DeleteRangeRequest(key, range_end, flags["prev_kv"])


@command("del", short_help="Removes the specified key or range of keys")
@click.argument("arguments", nargs=-1, type=raw_bytes, metavar="KEY [RANGE_END]")
@click.option("--prefix", is_flag=True, help="delete keys with matching prefix")
@click.option("--from-key", is_flag=True, help="delete keys that are >= the given key")
@click.option("--range", is_flag=True, help="delete range of keys")
@click.option("--prev-kv", is_flag=True, help="return the deleted key-value pairs")
@click.pass_obj
def delete(cli: Cli, **flags: Unpack[DeleteFlags]) -> None:
    """Delete a key, the keys from KEY to RANGE_END, or those of a prefix."""
    cli.check()
    cli.show(cli.client.call(delete_request(**flags), DeleteRangeResponse))


# --- compaction -------------------------------------------------------------------------------------


@command("compaction", short_help="Compacts the event history")
@click.argument("arguments", nargs=-1, metavar="REVISION")
@click.option("--physical", is_flag=True, help="wait until all old revisions are removed")
@click.pass_obj
def compaction(cli: Cli, arguments: tuple[str, ...], *, physical: bool) -> None:
    """Drop the history before REVISION."""
    cli.check()
    if len(arguments) != 1:
        raise bad_arguments("compaction command needs 1 argument")
    try:
        revision = parse_int(arguments[0])
    except ValueError as error:
        raise bad_arguments(f"bad revision ({error})") from None
    response: CompactionResponse = cli.client.compact(revision, physical=physical)
    if cli.is_simple:
        emit(b"compacted revision %d\n" % revision)
    else:
        cli.show(response)


#: Commands that may be lines of a transaction.
PARSERS: Final[dict[str, CtlCommand]] = {"put": put, "get": get, "del": delete}

r"""Responsible for the lines of an interactive transaction, as etcdctl reads them.

>>> compare = parse_compare('mod("k") > "0"')
>>> compare.target.name, compare.result.name, compare.key, compare.operand
('MOD', 'GREATER', b'k', 0)
>>> split_line("put k \"a b\" 'c \"d'")
['put', 'k', 'a b', 'c "d']
"""

from __future__ import annotations

import re
from typing import Final, cast

import click

from zetcd.ctl.exits import CtlError, Exit
from zetcd.ctl.go_text import parse_int, unquote
from zetcd.ctl.keys import (
    PARSERS,
    DeleteFlags,
    GetFlags,
    PutFlags,
    delete_request,
    get_request,
    put_request,
)
from zetcd.messages.kv import Compare, CompareResult, CompareTarget, RequestOp

_LITERAL: Final = r'"(?:[^"\\]|\\.)*"|`[^`]*`'
_COMPARE: Final = re.compile(
    rf"\s*(?P<target>[^(\s]*)\s*\(\s*(?P<key>{_LITERAL})\s*\)"
    rf"\s*(?P<relation>[^\s\"`]+)\s*(?P<operand>{_LITERAL})\s*"
)
_WORD: Final = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"']\S*)""")
_TARGETS: Final = {
    "ver": CompareTarget.VERSION,
    "version": CompareTarget.VERSION,
    "c": CompareTarget.CREATE,
    "create": CompareTarget.CREATE,
    "m": CompareTarget.MOD,
    "mod": CompareTarget.MOD,
    "val": CompareTarget.VALUE,
    "value": CompareTarget.VALUE,
    "lease": CompareTarget.LEASE,
}
_RELATIONS: Final = {
    "=": CompareResult.EQUAL,
    "!=": CompareResult.NOT_EQUAL,
    ">": CompareResult.GREATER,
    "<": CompareResult.LESS,
}


def invalid(message: str) -> CtlError:
    """Return the error of input that makes no sense."""
    return CtlError(message, Exit.INVALID_INPUT)


def parse_compare(line: str) -> Compare:
    """Return the condition of a line such as ``value("k") = "x"``.

    Raises:
        CtlError: it is none.
    """
    match = _COMPARE.fullmatch(line)
    if match is None:
        raise invalid(f"malformed comparison: {line}")
    target = _TARGETS.get(match["target"])
    if target is None:
        raise invalid(f"malformed comparison: {line} (unknown target {match['target']})")
    relation = _RELATIONS.get(match["relation"])
    if relation is None:
        raise invalid(f"malformed comparison: {line} (unknown relation {match['relation']})")
    try:
        key, operand = unquote(match["key"]), unquote(match["operand"])
        if target is CompareTarget.VALUE:
            return Compare(relation, target, key, operand)
        # etcdctl prints lease ids in hexadecimal, and reads them so.
        base = 16 if target is CompareTarget.LEASE else 10
        return Compare(relation, target, key, parse_int(operand.decode(), base))
    except ValueError as error:
        raise invalid(f"invalid txn compare request: {line} ({error})") from None


def split_line(line: str) -> list[str]:
    """Return the words of a line; quotes hold a word together, double quotes may hold escapes.

    Raises:
        CtlError: a quote is not closed.
    """
    words = []
    position = 0
    while line[position:].strip():
        match = _WORD.match(line, position)
        if match is None:
            raise invalid(f"unbalanced quotes: {line}")
        word = match[1]
        if word[0] == '"':
            try:
                word = unquote(word).decode("utf-8", "surrogateescape")
            except ValueError as error:
                raise invalid(str(error)) from None
        elif word[0] == "'":
            word = word[1:-1]
        words.append(word)
        position = match.end()
    return words


def parse_operation(line: str) -> RequestOp:
    """Return the operation of a line such as ``put k v --lease=1f``.

    Raises:
        CtlError: it is none.
    """
    words = split_line(line)
    parser = PARSERS.get(words[0]) if words else None
    if parser is None:
        raise invalid(f"invalid txn request: {line}")
    try:
        context = parser.make_context(words[0], words[1:], obj=None)
        if words[0] == "put":
            return put_request(None, **cast(PutFlags, context.params))
        if words[0] == "get":
            return get_request(**cast(GetFlags, context.params))
        return delete_request(**cast(DeleteFlags, context.params))
    except click.ClickException as error:
        raise invalid(f"invalid txn request: {line} ({error.format_message()})") from None
    except CtlError as error:
        raise invalid(f"invalid txn request: {line} ({error})") from None

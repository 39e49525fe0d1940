from __future__ import annotations

import pytest

from zetcd.ctl.exits import CtlError, Exit
from zetcd.ctl.txn import PROMPTS, read_txn
from zetcd.ctl.txn_syntax import parse_compare, parse_operation, split_line
from zetcd.messages.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    SortOrder,
    SortTarget,
)

EQUAL, GREATER, LESS = CompareResult.EQUAL, CompareResult.GREATER, CompareResult.LESS


@pytest.mark.parametrize(
    ("line", "compare"),
    [
        ('mod("k") > "0"', Compare(GREATER, CompareTarget.MOD, b"k", 0)),
        ('m("k") < "-1"', Compare(LESS, CompareTarget.MOD, b"k", -1)),
        ('create("k") = "5"', Compare(EQUAL, CompareTarget.CREATE, b"k", 5)),
        ('c("k")="5"', Compare(EQUAL, CompareTarget.CREATE, b"k", 5)),
        ('ver("k") != "1"', Compare(CompareResult.NOT_EQUAL, CompareTarget.VERSION, b"k", 1)),
        ('version("k") = "1"', Compare(EQUAL, CompareTarget.VERSION, b"k", 1)),
        ('value("a b") = "x\\n\\xff"', Compare(EQUAL, CompareTarget.VALUE, b"a b", b"x\n\xff")),
        ('val(")") = "("', Compare(EQUAL, CompareTarget.VALUE, b")", b"(")),
        ('lease("k") = "1f"', Compare(EQUAL, CompareTarget.LEASE, b"k", 0x1F)),
        ("  value( `k` )  =  `v` ", Compare(EQUAL, CompareTarget.VALUE, b"k", b"v")),
    ],
)
def test_a_condition_is_read(line: str, compare: Compare) -> None:
    assert parse_compare(line) == compare


@pytest.mark.parametrize(
    "line",
    [
        "mod",
        'mod("k")',
        'mod("k") >',
        "mod(k) > 0",
        'mod("k") >= "0"',
        'age("k") > "0"',
        'mod("k") > "zero"',
        'mod("k") > "99999999999999999999"',
        'value("k") = "\\q"',
        'value("k") = "v" and more',
    ],
)
def test_a_malformed_condition_is_refused(line: str) -> None:
    with pytest.raises(CtlError) as caught:
        parse_compare(line)
    assert caught.value.code == Exit.INVALID_INPUT
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  put  k   v ", ["put", "k", "v"]),
        ('put "a b" \'c "d\'', ["put", "a b", 'c "d']),
        (r'put "a\"b\n"', ["put", 'a"b\n']),
        ("put k --lease=1f", ["put", "k", "--lease=1f"]),
    ],
)
def test_a_line_is_split_into_words(line: str, words: list[str]) -> None:
    assert split_line(line) == words


@pytest.mark.parametrize("line", ['put "k', "put 'k", r'put "\q"'])
def test_a_line_with_an_open_quote_is_refused(line: str) -> None:
    with pytest.raises(CtlError):
        split_line(line)


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        ("put k v", PutRequest(b"k", b"v")),
        ("put k 'a b' --lease=1f --prev-kv", PutRequest(b"k", b"a b", 0x1F, prev_kv=True)),
        (r'put "\xff" v', PutRequest(b"\xff", b"v")),
        ("put k --ignore-value", PutRequest(b"k", ignore_value=True)),
        ("get k", RangeRequest(b"k")),
        ("get k --prefix --limit=2 --rev 5", RangeRequest(b"k", b"l", 2, 5)),
        (
            "get a z --order=descend --sort-by=modify",
            RangeRequest(b"a", b"z", sort_order=SortOrder.DESCEND, sort_target=SortTarget.MOD),
        ),
        ("get --from-key ''", RangeRequest(b"\0", b"\0")),
        (
            "get k --consistency=s --keys-only",
            RangeRequest(b"k", serializable=True, keys_only=True),
        ),
        ("del k --prefix --prev-kv", DeleteRangeRequest(b"k", b"l", prev_kv=True)),
        ("del a z", DeleteRangeRequest(b"a", b"z")),
    ],
)
def test_an_operation_is_read_with_the_flags_of_its_command(
    line: str, operation: RequestOp
) -> None:
    assert parse_operation(line) == operation


@pytest.mark.parametrize(
    "line",
    [
        "compact 5",
        "put",
        "put k",
        "put a b c",
        "get",
        "get a b c",
        "get a --order=up",
        "get a --nope",
        "get a --rev=99999999999999999999",
        "put a b --lease=fffffffffffffffff",
        "del --prefix a b",
    ],
)
def test_a_malformed_operation_is_refused(line: str) -> None:
    with pytest.raises(CtlError) as caught:
        parse_operation(line)
    assert caught.value.code == Exit.INVALID_INPUT


def test_three_sections_are_read_up_to_their_empty_lines() -> None:
    prompts: list[str] = []
    lines = ['mod("k") > "0"\n', "\n", "put k v\n", "get k\n", "\r\n", "del k\n"]
    request = read_txn(lines, prompts.append)
    assert tuple(prompts) == PROMPTS
    assert len(request.compare) == 1
    assert request.success == (PutRequest(b"k", b"v"), RangeRequest(b"k"))
    assert request.failure == (DeleteRangeRequest(b"k"),)


def test_sections_may_be_empty_or_missing() -> None:
    assert read_txn(["\n", "put k v\n"], lambda _: None).success == (PutRequest(b"k", b"v"),)
    assert read_txn([], lambda _: None).compare == ()

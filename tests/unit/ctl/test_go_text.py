from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zetcd.ctl.go_text import (
    duration_text,
    os_error_text,
    parse_duration,
    parse_int,
    parse_uint,
    quote,
    size_text,
    unquote,
)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        (b"plain", '"plain"'),
        (b'a"b\\c', r'"a\"b\\c"'),
        (b"\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        (b"\x00\x1f\x7f", r'"\x00\x1f\x7f"'),
        ("Grüße ☃ 😀".encode(), '"Grüße ☃ 😀"'),
        (b"\xff\xc3", r'"\xff\xc3"'),
        ("\u00a0\u200b\u2028".encode(), r'"\u00a0\u200b\u2028"'),
        ("\U000e0001".encode(), r'"\U000e0001"'),
        (b"'", '"\'"'),
    ],
)
def test_bytes_are_quoted_as_go_does(value: bytes, quoted: str) -> None:
    assert quote(value) == quoted


@given(st.binary())
def test_what_was_quoted_can_be_read_again(value: bytes) -> None:
    assert unquote(quote(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [(r'"\101\x41\u0041\U00000041"', b"AAAA"), ('`a\\n"`', b'a\\n"'), (r'"\'"', b"'"), ('""', b"")],
)
def test_literals_of_every_kind_are_read(text: str, value: bytes) -> None:
    assert unquote(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"',
        "a",
        '"a',
        "'a'",
        '"a"b"',
        r'"\q"',
        r'"\x1"',
        r'"\777"',
        r'"\ud800"',
        '"a\nb"',
        "`a`b`",
    ],
)
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unquote(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("3us", 3e-6),
        (".5s", 0.5),
    ],
)
def test_durations_are_read_as_go_does(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "5 s", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0015, "1.5ms"),
        (0.000002, "2µs"),
        (1.25, "1.25s"),
        (60, "1m0s"),
        (3725.5, "1h2m5.5s"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (9, "9 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (20_480, "20 kB"),
        (2_147_483_648, "2.1 GB"),
    ],
)
def test_sizes_are_written_as_etcdctl_does(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("text", "base", "number"),
    [
        ("0", 10, 0),
        ("+7", 10, 7),
        ("-9223372036854775808", 10, -(1 << 63)),
        ("7fffffffffffffff", 16, (1 << 63) - 1),
    ],
)
def test_signed_numbers_are_read(text: str, base: int, number: int) -> None:
    assert parse_int(text, base) == number


@pytest.mark.parametrize("text", ["", "x", "0x1", "1_0", " 1", "1\n", "\u0661", "1.0", "--1"])
def test_what_go_does_not_take_for_a_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_int(text)


@pytest.mark.parametrize("text", [str(1 << 63), str(-(1 << 63) - 1), "9" * 5000])
def test_numbers_beyond_64_bits_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="value out of range"):
        parse_int(text)


def test_unsigned_numbers_have_64_bits_and_no_sign() -> None:
    assert parse_uint("ffffffffffffffff", 16) == (1 << 64) - 1
    for text in ("10000000000000000", "-1", "+1"):
        with pytest.raises(ValueError, match="ParseUint"):
            parse_uint(text, 16)


@pytest.mark.parametrize("file", ["a/b", b"a/b", Path("a/b")])
def test_errors_of_the_system_name_call_and_file(file: str | bytes | Path) -> None:
    error = OSError(errno.EACCES, os.strerror(errno.EACCES), file)
    assert os_error_text(error, "open") == "open a/b: permission denied"
    assert os_error_text(error) == "a/b: permission denied"


def test_errors_of_the_system_may_know_less() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os_error_text(full, "write") == "write: no space left on device"
    assert os_error_text(full) == "no space left on device"
    assert os_error_text(OSError("there is no room"), "write") == "there is no room"

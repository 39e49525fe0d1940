r"""Responsible for text as Go's library writes and reads it: strings, numbers, durations, sizes, errors.

>>> quote(b"a\n\xff\x00"), unquote('"a\\n\\xff\\x00"')
('"a\\n\\xff\\x00"', b'a\n\xff\x00')
"""

from __future__ import annotations

import os
import re
from typing import Final

_SHORT: Final = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}
_LETTERS: Final = {
    "a": 7,
    "b": 8,
    "f": 12,
    "n": 10,
    "r": 13,
    "t": 9,
    "v": 11,
    "\\": 92,
    "'": 39,
    '"': 34,
}
_ESCAPE: Final = re.compile(
    r"""\\(?:(?P<letter>[abfnrtv\\'"])|x(?P<hex>[0-9A-Fa-f]{2})|(?P<octal>[0-7]{3})"""
    r"""|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8}))"""
)
_NUMBER: Final = {10: re.compile(r"[+-]?[0-9]+"), 16: re.compile(r"[+-]?[0-9A-Fa-f]+")}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
#: Digits of a number that may have leading zeros.
_DIGITS_MAX: Final = 100
_SIZES: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def text_bytes(text: str) -> bytes:
    """Return the bytes that a piece of the command line or of the input stands for."""
    return text.encode("utf-8", "surrogateescape")


def quote(value: bytes | str) -> str:
    """Return ``value`` as Go's ``%q`` prints it."""
    text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(character: str) -> str:
    short = _SHORT.get(character)
    if short is not None:
        return short
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # A byte that is no part of any UTF-8 character.
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unquote(text: str) -> bytes:
    """Return the value of a Go string literal, in double quotes or back quotes.

    Raises:
        ValueError: it is none.
    """
    if len(text) < 2 or text[0] != text[-1] or text[0] not in '"`':
        raise ValueError(f"not a quoted string: {text}")
    inner = text[1:-1]
    if text[0] == "`":
        if "`" in inner:
            raise ValueError(f"not a quoted string: {text}")
        return text_bytes(inner)
    value = bytearray()
    position = 0
    while position < len(inner):
        character = inner[position]
        if character == "\\":
            match = _ESCAPE.match(inner, position)
            if match is None:
                raise ValueError(f"unknown escape sequence in {text}")
            value += _unescaped(match)
            position = match.end()
            continue
        if character in '"\n':
            raise ValueError(f"not a quoted string: {text}")
        value += text_bytes(character)
        position += 1
    return bytes(value)


def _unescaped(match: re.Match[str]) -> bytes:
    if match["letter"]:
        return bytes((_LETTERS[match["letter"]],))
    if match["hex"]:
        return bytes((int(match["hex"], 16),))
    if match["octal"]:
        value = int(match["octal"], 8)
        if value > 255:
            raise ValueError(f"{match[0]} is no byte")
        return bytes((value,))
    code = int(match["short"] or match["long"], 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"{match[0]} is no character")
    return chr(code).encode()


def parse_int(text: str, base: int = 10) -> int:
    """Return a signed 64-bit number.

    Raises:
        ValueError: it is none; in the words of Go's ``strconv.ParseInt``.
    """
    return _parsed("ParseInt", text, base, low=-(1 << 63), high=(1 << 63) - 1)


def parse_uint(text: str, base: int = 10) -> int:
    """Return an unsigned 64-bit number, as `parse_int` does a signed one."""
    return _parsed("ParseUint", text, base, low=0, high=(1 << 64) - 1)


def _parsed(function: str, text: str, base: int, *, low: int, high: int) -> int:
    # Python's int would also take blanks, underscores and digits of other scripts.
    reason = "invalid syntax"
    if _NUMBER[base].fullmatch(text) and not (low == 0 and text[0] in "+-"):
        # Longer ones are out of range, and int refuses thousands of digits in its own words.
        number = int(text, base) if len(text) <= _DIGITS_MAX else high + 1
        if low <= number <= high:
            return number
        reason = "value out of range"
    raise ValueError(f"strconv.{function}: parsing {quote(text)}: {reason}")


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration such as ``1m30s``.

    Raises:
        ValueError: it is none.
    """
    parts = _DURATION.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"invalid duration {quote(text)}")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def duration_text(seconds: float) -> str:
    """Return a duration as Go prints it, for example ``1.5ms`` or ``2m3.5s``."""
    nanoseconds = round(seconds * 1e9)
    if nanoseconds < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if nanoseconds >= size:
                return f"{_trimmed(nanoseconds / size)}{unit}"
        return "0s"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_trimmed(rest / 1e9)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _trimmed(number: float) -> str:
    text = f"{number:.9f}".rstrip("0").rstrip(".")
    return text or "0"


def size_text(size: int) -> str:
    """Return a number of bytes as etcdctl prints it, for example ``20 kB``."""
    if size < 10:
        return f"{size} B"
    value, power = float(size), 0
    while value >= 1000 and power < len(_SIZES) - 1:
        value /= 1000
        power += 1
    value = int(value * 10 + 0.5) / 10
    return f"{value:.0f} {_SIZES[power]}" if value >= 10 else f"{value:.1f} {_SIZES[power]}"


def os_error_text(error: OSError, call: str = "") -> str:
    """Return an error of the system as Go's ``os`` words it: ``open x: no such file or directory``.

    Args:
        error: What happened; its file is named if it has one.
        call: The system call that failed; empty: it is not known, and not named.
    """
    if error.strerror is None:
        return str(error)
    file = error.filename
    name = os.fsdecode(file) if isinstance(file, str | bytes | os.PathLike) else ""
    what = " ".join(filter(None, (call, name)))
    reason = error.strerror.lower()
    return f"{what}: {reason}" if what else reason

"""Responsible for the values of flags: Go's notation to Python's values, with Go's and etcd's complaints; pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from zetcd.launcher.flags import Flag, Kind

#: A value of a flag: text, number, truth, seconds, or a list.
Value = str | bool | int | float | tuple[str, ...]

_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")
_NANOSECONDS: Final = 1e-9
_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION: Final = re.compile(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_DURATION_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_INTEGER: Final = re.compile(r"[+-]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]*|0[bB][01_]+|[1-9][0-9_]*)")
_INT_MAX: Final = 2**63 - 1
_UINT_MAX: Final = 2**64 - 1
_UINT32_MAX: Final = 2**32 - 1


def parse(flag: Flag, text: str) -> Value:
    """Return the value that ``text`` means.

    Raises:
        ValueError: it means nothing; the text is what Go's flag package says of it.
    """
    value = _PARSERS[flag.kind](text)
    if flag.choices and value not in flag.choices:
        raise ValueError("invalid value")
    return value


def default_of(flag: Flag) -> Value:
    """Return etcd's default as a value."""
    if flag.kind in (Kind.URLS, Kind.STRINGS) and not flag.default:
        return ()
    return parse(flag, flag.default)


def parse_bool(text: str) -> bool:
    """Return the truth of a text as Go sees it."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("parse error")


def parse_duration(text: str) -> float:
    """Return the seconds of a duration in Go's notation."""
    if text in ("0", "+0", "-0"):
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("parse error")
    seconds = sum(float(amount) * _UNITS[unit] for amount, unit in _DURATION_PART.findall(found[2]))
    return float(-seconds if found[1] == "-" else seconds)


def seconds_of_nanoseconds(count: int) -> float:
    """Return the seconds of a duration as a YAML file has it."""
    return count * _NANOSECONDS


def _parse_integer(text: str, low: int, high: int) -> int:
    if not _INTEGER.fullmatch(text) or (low == 0 and text[:1] in "+-"):
        raise ValueError("parse error")
    try:
        # Go reads a leading zero as octal, Python wants 0o.
        is_octal = re.fullmatch(r"[+-]?0[0-7_]+", text) is not None
        value = int(text, 8 if is_octal else 0)
    except ValueError:
        raise ValueError("parse error") from None
    if not low <= value <= high:
        raise ValueError("value out of range")
    return value


def _parse_strings(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def parse_urls(text: str) -> tuple[str, ...]:
    """Return the URLs of a list with commas, sorted and each once, as etcd has them.

    Raises:
        ValueError: one is not a URL that etcd takes, in etcd's words.
    """
    if not text:
        return ()
    urls = [each.strip() for each in text.split(",")]
    for url in urls:
        check_url(url)
    return tuple(sorted(dict.fromkeys(urls)))


def check_url(url: str) -> None:
    """Refuse what is not ``scheme://host:port``, or the path of a socket."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("http", "https", "unix", "unixs"):
        raise ValueError(f"URL scheme must be http, https, unix, or unixs: {url}")
    if scheme in ("unix", "unixs"):
        if not rest:
            raise ValueError(f'URL address does not have the form "host:port": {url}')
        return
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if port is None or ":" not in parts.netloc:
        raise ValueError(f'URL address does not have the form "host:port": {url}')
    if parts.path not in ("", "/"):
        raise ValueError(f"URL must not contain a path: {url}")


_PARSERS: Final[dict[Kind, Callable[[str], Value]]] = {
    Kind.STRING: str,
    Kind.BOOL: parse_bool,
    Kind.INT: lambda text: _parse_integer(text, -_INT_MAX - 1, _INT_MAX),
    Kind.UINT: lambda text: _parse_integer(text, 0, _UINT_MAX),
    Kind.UINT32: lambda text: _parse_integer(text, 0, _UINT32_MAX),
    Kind.DURATION: parse_duration,
    Kind.URLS: parse_urls,
    Kind.STRINGS: _parse_strings,
}

"""Responsible for how one setting is declared, limited, read from TOML and written back.

Knows nothing of any particular setting: the tree in `sections` and `tree` is data for this module.
A setting is an attribute of a frozen dataclass; its TOML key is the attribute with hyphens.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, Final, Protocol, TypeVar, cast

from zetcd.errors import Problem

T = TypeVar("T")


class Section(Protocol):
    """A frozen dataclass whose fields are all settings."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting may be, and what it is for."""

    #: Unit and reason in a few words; shown when the value breaks the rule.
    why: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    #: Seconds in memory, text such as ``"1h30m"`` in TOML.
    is_duration: bool = False
    #: A text that may be written as a whole number too.
    accepts_number: bool = False

    def limit(self) -> str:
        """Return the limit as text for people."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        show = format_duration if self.is_duration else _number
        if self.low is not None and self.high is not None:
            return f"between {show(self.low)} and {show(self.high)}"
        return f"at least {show(self.low)}" if self.low is not None else "a value"


def setting(  # noqa: PLR0913 - one keyword per column of a rule
    default: T,
    why: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    is_duration: bool = False,
    accepts_number: bool = False,
) -> T:
    """Declare a setting: its default, its unit and reason, and its limits (both ends included)."""
    rule = Rule(why, low, high, choices, is_duration, accepts_number)
    # To the type checker the value of the attribute is its default.
    declared: Any = field(default=default, metadata={"rule": rule})
    return cast(T, declared)


def key_of(attribute: str) -> str:
    """Return the TOML key of an attribute."""
    return attribute.replace("_", "-")


# --- durations --------------------------------------------------------------------------------

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Return the seconds of a text such as ``100ms``, ``5m`` or ``1h30m``; ``0`` needs no unit.

    Raises:
        ValueError: the text is not a duration.
    """
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration")
    parts = _DURATION_PART.findall(text)
    return float(sum(float(amount) * _UNITS[unit] for amount, unit in parts))


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads as ``seconds``."""
    if seconds == 0:
        return "0"
    for unit in ("h", "m", "s", "ms", "us"):
        amount = round(seconds / _UNITS[unit], 6)
        if amount >= 1 and amount == int(amount):
            return f"{int(amount)}{unit}"
    return f"{_number(round(seconds, 9))}s"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


# --- reading ----------------------------------------------------------------------------------


def read_section(
    kind: type[S], table: Mapping[str, object], prefix: str, problems: list[Problem]
) -> dict[str, object]:
    """Return the attributes of ``kind`` that ``table`` sets, each of the right type.

    What is unknown or of a wrong type is left out and reported in ``problems``; limits are not
    looked at here (`check_section`). Values that are tables are the caller's.
    """
    known = {key_of(each.name): each for each in fields(kind) if "rule" in each.metadata}
    values: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            continue
        declared = known.get(key)
        if declared is None:
            problems.append(unknown_key(key, value, known, prefix))
            continue
        try:
            values[declared.name] = _convert(value, declared)
        except ValueError as error:
            problems.append(Problem(prefix + key, shown(value), str(error), _example(declared)))
    return values


def unknown_key(key: str, value: object, known: Iterable[str], prefix: str = "") -> Problem:
    """Return the problem of a key that nobody knows, with the known key that looks most like it.

    ``prefix`` names the section of both; it does not count as a likeness.
    """
    # A suggestion that differs in an underscore or in case alone must always be found.
    candidates = {each.lower(): each for each in known}
    close = difflib.get_close_matches(key.replace("_", "-").lower(), list(candidates), n=1)
    mend = f'did you mean "{prefix}{candidates[close[0]]}"?' if close else "remove it"
    return Problem(
        prefix + key, "" if isinstance(value, dict) else shown(value), "unknown key", mend
    )


def shown(value: object) -> str:
    """Return a value as TOML would write it, cut to what fits a line."""
    text = _toml(value) if isinstance(value, (bool, int, float, str, list, tuple)) else repr(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


#: Characters of a wrong value shown in a problem.
_SHOWN_MAX: Final = 120


def _rule(declared: Field[Any]) -> Rule:
    return cast(Rule, declared.metadata["rule"])


def _convert(value: object, declared: Field[Any]) -> object:
    """Return ``value`` as the type of the setting's default; ValueError says what it should be."""
    default: object = declared.default
    assert default is not MISSING
    if _rule(declared).is_duration:
        return _convert_duration(value)
    if isinstance(default, tuple):
        return _convert_list(value)
    if isinstance(default, bool):
        return _expect(value, bool, "true or false")
    if isinstance(default, int):
        return _expect(value, int, "a whole number")
    if isinstance(default, float):
        return float(cast(float, _expect(value, (int, float), "a number")))
    if _rule(declared).accepts_number and type(value) is int:
        return str(value)
    return _expect(value, str, "a text in quotes")


def _expect(value: object, kind: type | tuple[type, ...], what: str) -> object:
    is_wrong_bool = isinstance(value, bool) and kind is not bool
    if is_wrong_bool or not isinstance(value, kind):
        raise ValueError(f"must be {what}")
    return value


def _convert_duration(value: object) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    if value == 0 and not isinstance(value, bool):
        return 0.0
    raise ValueError("must be a text with a unit")


def _convert_list(value: object) -> tuple[str, ...]:
    """Accept a list of texts or, as etcd does, one text with commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise ValueError("must be a list of texts")


def _example(declared: Field[Any]) -> str:
    value: object = declared.default
    if isinstance(value, float) and _rule(declared).is_duration:
        value = format_duration(value)
    return f"for example {key_of(declared.name)} = {_toml(value)}"


# --- checking and writing -----------------------------------------------------------------------


def check_section(section: Section, prefix: str = "") -> list[Problem]:
    """Return a problem for each setting beyond its limits."""
    problems = []
    for declared in fields(section):
        rule = declared.metadata.get("rule")
        if not isinstance(rule, Rule):
            continue
        value = getattr(section, declared.name)
        if not _is_within(rule, value):
            text = f'"{format_duration(value)}"' if rule.is_duration else shown(value)
            why = f"must be {rule.limit()}" + (f" ({rule.why})" if rule.why else "")
            problems.append(Problem(prefix + key_of(declared.name), text, why, _example(declared)))
    return problems


def _is_within(rule: Rule, value: object) -> bool:
    if rule.choices:
        return value in rule.choices
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return not (
        (rule.low is not None and value < rule.low) or (rule.high is not None and value > rule.high)
    )


def write_section(section: Section, *, is_whole: bool) -> list[str]:
    """Return ``key = value`` lines: every setting, or only those that differ from their default."""
    lines = []
    for declared in fields(section):
        rule = declared.metadata.get("rule")
        value = getattr(section, declared.name)
        if not isinstance(rule, Rule) or (value == declared.default and not is_whole):
            continue
        text = _toml(format_duration(value) if rule.is_duration else value)
        lines.append(f"{key_of(declared.name)} = {text}")
    return lines


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escape(character) for character in value) + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return repr(value)


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if ord(character) < 0x20 or ord(character) == 0x7F:
        return f"\\u{ord(character):04x}"
    return character

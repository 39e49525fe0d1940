"""Responsible for Prometheus' text format, version 0.0.4, from the figures of all actors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

from zetcd.messages.node import Figure
from zetcd.metrics.definitions import DEFINITIONS, Definition, Kind

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]
#: Values by labels; of a histogram: the sum, and the counts.
_Series = dict[Labels, tuple[float, tuple[int, ...]]]

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposition(figures: Iterable[Figure]) -> bytes:
    """Return the text; figures of one name with the same labels are added up."""
    series: dict[str, _Series] = {}
    for figure in figures:
        # A figure that is not defined comes from another version of an actor, during a restart.
        if figure.name in DEFINITIONS:
            _add(series.setdefault(figure.name, {}), figure)
    lines: list[str] = []
    for name, definition in DEFINITIONS.items():
        found = series.get(name)
        if found:
            lines += (f"# HELP {name} {definition.help}", f"# TYPE {name} {definition.kind.value}")
            for labels, (value, counts) in sorted(found.items()):
                lines += _sample(definition, labels, value, counts)
    return ("\n".join(lines) + "\n").encode()


def _add(series: _Series, figure: Figure) -> None:
    value, counts = series.get(figure.labels, (0.0, (0,) * len(figure.counts)))
    added = tuple(left + right for left, right in zip(counts, figure.counts, strict=True))
    series[figure.labels] = (value + figure.value, added)


def _sample(
    definition: Definition, labels: Labels, value: float, counts: tuple[int, ...]
) -> list[str]:
    name = definition.name
    pairs = dict(zip(definition.labels, labels, strict=True))
    if definition.kind is not Kind.HISTOGRAM:
        return [f"{name}{_braces(pairs)} {number(value)}"]
    bounds = (*map(number, definition.buckets), "+Inf")
    totals = tuple(accumulate(counts))
    lines = [
        f"{name}_bucket{_braces(pairs | {'le': bound})} {total}"
        for bound, total in zip(bounds, totals, strict=True)
    ]
    return [
        *lines,
        f"{name}_sum{_braces(pairs)} {number(value)}",
        f"{name}_count{_braces(pairs)} {totals[-1]}",
    ]


def _braces(pairs: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs.items())
    return f"{{{inside}}}" if inside else ""


def number(value: float) -> str:
    """Return a number as short as it can be read back."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)

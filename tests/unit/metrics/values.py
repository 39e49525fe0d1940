"""Looks into figures."""

from __future__ import annotations

from collections.abc import Iterable

from zetcd.messages.node import Figure


def value_of(figures: Iterable[Figure], name: str, *labels: str) -> float:
    """Return the value of the only figure with this name and these labels."""
    (found,) = (each for each in figures if each.name == name and each.labels == labels)
    return found.value


def count_of(figures: Iterable[Figure], name: str, *labels: str) -> int:
    """Return how much a histogram has observed."""
    (found,) = (each for each in figures if each.name == name and each.labels == labels)
    return sum(found.counts)

"""Responsible for turning counts into what is sent; a name that is not defined is a defect."""

from __future__ import annotations

from zetcd.messages.node import Figure
from zetcd.metrics.definitions import DEFINITIONS, Kind
from zetcd.metrics.histogram import Histogram


def figure(name: str, value: float, *labels: str) -> Figure:
    """Return a counter or a gauge."""
    definition = DEFINITIONS[name]
    assert definition.kind is not Kind.HISTOGRAM
    assert len(labels) == len(definition.labels), name
    return Figure(name, float(value), labels)


def histogram_figure(name: str, histogram: Histogram, *labels: str) -> Figure:
    """Return a histogram."""
    definition = DEFINITIONS[name]
    assert len(histogram.counts) == len(definition.buckets) + 1, name
    assert len(labels) == len(definition.labels), name
    return Figure(name, float(histogram.sum), labels, tuple(histogram.counts))

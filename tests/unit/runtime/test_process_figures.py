"""Figures of a process: of this one they are plausible, of a dead one they stay what they were."""

from __future__ import annotations

import os
import time

import pytest

from zetcd.runtime.process_figures import Figures, ProcessFigures


def test_figures_of_this_process() -> None:
    now = time.monotonic()
    figures = ProcessFigures(os.getpid(), now - 10).sample(now)
    assert figures.rss_bytes > 1 << 20
    assert figures.fds >= 3
    assert figures.threads >= 1
    assert figures.cpu_percent == pytest.approx(figures.cpu_seconds * 10)


def test_the_percentage_is_that_of_the_time_between_two_samples() -> None:
    figures = ProcessFigures(os.getpid(), 0.0)
    first = figures.sample(1.0)
    second = figures.sample(1_000_001.0)
    assert second.cpu_seconds >= first.cpu_seconds
    assert second.cpu_percent < 0.1


def test_samples_too_close_to_each_other_are_the_same() -> None:
    figures = ProcessFigures(os.getpid(), 0.0)
    assert figures.sample(0.1) == Figures()
    assert figures.sample(1.0) is figures.sample(1.1)


def test_a_process_that_is_gone_keeps_its_last_figures() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert ProcessFigures(child, 0.0).sample(10.0) == Figures()

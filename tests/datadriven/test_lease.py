"""Scenarios of `zetcd.lease` inside the state machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datadriven.runner import run
from tests.datadriven.state_machine_text import Scenario

SCENARIOS = sorted((Path(__file__).parents[1] / "testdata" / "lease").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    run(path, Scenario().handle)


def test_there_are_scenarios() -> None:
    assert SCENARIOS

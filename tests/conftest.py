"""Responsible for what all tests share: Hypothesis profiles, options, order of the suites."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Deadlines would fail on a busy machine and say nothing about the code.
_SHARED = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=50, **_SHARED)  # type: ignore[arg-type]
settings.register_profile("ci", max_examples=200, **_SHARED)  # type: ignore[arg-type]
settings.register_profile("nightly", max_examples=5_000, **_SHARED)  # type: ignore[arg-type]
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

#: The cheap suites first, so that a mistake shows early.
_SUITES = ("tidy", "unit", "datadriven", "property", "simulation", "integration")
_ROOT = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of our own."""
    group = parser.getgroup("zetcd")
    group.addoption("--rewrite", action="store_true", help="write the golden files anew")
    group.addoption("--seed", type=int, default=None, help="seed of the simulation to replay")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the suites in the order of `_SUITES`; the order within a suite stays.

    What needs minutes of building is left out unless clients are asked for (``-m clients``).
    """
    if "clients" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("built")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("built")]
    items.sort(key=lambda item: _suite_position(item.path))


def _suite_position(path: Path) -> int:
    suite = path.relative_to(_ROOT).parts[0] if path.is_relative_to(_ROOT) else ""
    return _SUITES.index(suite) if suite in _SUITES else len(_SUITES)


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Say whether golden files are to be written anew."""
    return bool(request.config.getoption("--rewrite"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int | None:
    """Return the seed to replay; None = every seed of the suite."""
    chosen = request.config.getoption("--seed")
    return None if chosen is None else int(chosen)

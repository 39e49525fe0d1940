"""Whole clusters from seeds: every promise holds with faults, and service returns without them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.cluster import run_seed
from tests.simulation.quiet import quiet_log

pytestmark = pytest.mark.simulation

ROOT = Path(__file__).parents[2]
REGRESSIONS = Path(__file__).with_name("regressions.txt")
#: Seeds in groups, so that progress shows; large enough that every kind of fault is in each.
_GROUP = 30
_GROUPS = 10
_FIRST = 1
_KINDS = (
    "change",
    "checkpoint",
    "chunk",
    "compacted",
    "crash",
    "cut",
    "died",
    "fetched",
    "lost",
    "marked",
    "node crash",
    "pause",
    "power loss",
    "restore",
    "slow disk",
    "snare",
    "stopped",
    "unknown",
    "watch resumed",
)


def regressions() -> list[int]:
    """Return the seeds that once failed."""
    lines = REGRESSIONS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def run(seed: int) -> dict[str, int]:
    """Run one seed; a failure names the command that replays it."""
    try:
        with quiet_log():
            result = run_seed(seed)
    except BaseException as error:
        error.add_note(f"replay: make sim SEED={seed}")
        raise
    return {**result.counts, **result.operations}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", range(_GROUPS))
def test_promises_hold(group: int, seed: int | None) -> None:
    """No invariant breaks; and the seeds were worth running."""
    if seed is not None:
        if group == 0:
            run(seed)
        return
    totals: dict[str, int] = {}
    for number in range(_FIRST + group * _GROUP, _FIRST + (group + 1) * _GROUP):
        for kind, count in run(number).items():
            totals[kind] = totals.get(kind, 0) + count
    assert totals["ok"] > 50 * _GROUP
    for kind in _KINDS:
        assert totals.get(kind), f"no {kind} in any of these seeds"


@pytest.mark.parametrize("number", regressions())
def test_seeds_that_once_failed_pass(number: int) -> None:
    run(number)


def digest_in_new_process(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--digest"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[1]


def test_the_same_seed_gives_the_same_run_whatever_the_hash_seed() -> None:
    with quiet_log():
        here = run_seed(7).digest
        assert run_seed(7).digest == here
        assert run_seed(8).digest != here
    assert digest_in_new_process(7, "1") == digest_in_new_process(7, "2") == here

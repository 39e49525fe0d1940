"""Responsible for one trial: plant a bug in a copy of the code, run who has to notice it, judge the outcome."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from tests.mutants.mutant import ROOT, Mutant, Seeds, StaleEdit

#: What a copy needs to run simulator and tests.
_FOLDERS: Final = ("zetcd", "tests")
_FILES: Final = ("pyproject.toml",)
#: Seconds of CPU that a trial may use, and of time that it may take; a bug that makes the code hang has not
#: been noticed by anything.
TRIAL_CPU_SECONDS_MAX: Final = 180
TRIAL_SECONDS_MAX: Final = 1_200.0
#: An edit that makes nonsense of the code shows nothing about those who ought to notice.
_NONSENSE: Final = (
    "SyntaxError",
    "NameError",
    "ImportError",
    "ModuleNotFoundError",
    "UnboundLocal",
)
_FAILED_SEED: Final = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)
_FAILED_TEST: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Verdict(Enum):
    """What became of a planted bug."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    #: The edit does not apply, or what it makes is not a program, or it hangs.
    VOID = "VOID"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one trial."""

    mutant: Mutant
    verdict: Verdict
    #: Which invariant or test, or why the trial is void.
    by: str
    #: Seeds that were run; 0 = tests were.
    seeds: int
    seconds: float


class _Maker(Protocol):
    """Makes the outcome of the trial under way."""

    def __call__(self, verdict: Verdict, by: str, seeds: int = 0) -> Outcome: ...


class Workshop:
    """A copy of the code, in which one bug after the other is planted."""

    def __init__(self, root: Path) -> None:
        """Copy what is needed to ``root``."""
        self.root = root
        for folder in _FOLDERS:
            shutil.copytree(
                ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in _FILES:
            shutil.copy(ROOT / name, root / name)

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Let the copy have the bug for a while."""
        # From the copy, not from the original: that may have changed since.
        sound = {
            self.root / edit.path: (self.root / edit.path).read_text() for edit in mutant.edits
        }
        try:
            mutant.apply(self.root)
            yield
        finally:
            for path, text in sound.items():
                path.write_text(text)

    def run(self, arguments: tuple[str, ...]) -> tuple[int, str]:
        """Run Python in the copy; return exit code and output.

        Raises:
            subprocess.TimeoutExpired: it took too long, and was killed with all that it started.
        """
        with subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.root,
            # The copy, not what is installed; no bytecode, whose age in seconds hides an edit.
            env={**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            resource.prlimit(
                process.pid, resource.RLIMIT_CPU, (TRIAL_CPU_SECONDS_MAX, TRIAL_CPU_SECONDS_MAX)
            )
            try:
                output, _ = process.communicate(timeout=TRIAL_SECONDS_MAX)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, output


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Make a copy of the code for a while."""
    with tempfile.TemporaryDirectory(prefix="zetcd-mutants-") as folder:
        made = Workshop(Path(folder))
        code, output = made.run(("-c", "import zetcd; print(zetcd.__file__)"))
        assert code == 0, output
        assert Path(output.strip()).is_relative_to(made.root), f"the copy is not used: {output}"
        yield made


def try_mutant(mutant: Mutant, place: Workshop) -> Outcome:
    """Plant the bug and run who has to notice it."""
    started = time.monotonic()

    def outcome(verdict: Verdict, by: str, seeds: int = 0) -> Outcome:
        return Outcome(mutant, verdict, by, seeds, time.monotonic() - started)

    try:
        with place.planted(mutant):
            code, output = place.run(mutant.caught_by.command())
    except StaleEdit as error:
        return outcome(Verdict.VOID, str(error))
    except subprocess.TimeoutExpired:
        return outcome(Verdict.VOID, f"hangs: no end after {TRIAL_SECONDS_MAX:.0f} s")
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return outcome(Verdict.VOID, f"hangs: no end after {TRIAL_CPU_SECONDS_MAX} s of CPU")
    if isinstance(mutant.caught_by, Seeds):
        return _judge_seeds(mutant.caught_by, code, output, outcome)
    return _judge_tests(code, output, outcome)


def _judge_seeds(seeds: Seeds, code: int, output: str, outcome: _Maker) -> Outcome:
    failed = _FAILED_SEED.search(output)
    if code == 0:
        return outcome(Verdict.SURVIVED, "nobody", seeds.count)
    if failed is None:
        return outcome(Verdict.VOID, _last_line(output))
    count = int(failed[1]) - seeds.first + 1
    return outcome(_sense_of(output), _first_words(failed[2]), count)


def _judge_tests(code: int, output: str, outcome: _Maker) -> Outcome:
    failed = _FAILED_TEST.search(output)
    if code == 0:
        return outcome(Verdict.SURVIVED, "nobody")
    if code != 1 or failed is None:
        return outcome(Verdict.VOID, _last_line(output))
    return outcome(_sense_of(output), failed[1].removeprefix("tests/"))


def _sense_of(output: str) -> Verdict:
    """Say whether the failure shows anything."""
    is_nonsense = re.search(rf"^(?:E +)?({'|'.join(_NONSENSE)})\b.*:", output, re.MULTILINE)
    return Verdict.VOID if is_nonsense else Verdict.CAUGHT


def _first_words(text: str) -> str:
    """Return the name of the invariant, or what an assertion says."""
    kind, _, rest = text.partition(": ")
    return rest.split(":")[0] if kind == "Violation" else f"{kind}: {rest}"


def _last_line(output: str) -> str:
    return (output.strip().splitlines() or ["no output"])[-1]

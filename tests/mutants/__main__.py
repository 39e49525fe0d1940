"""Command line of the planted bugs: plant each, run who has to notice it, show the table.

python -m tests.mutants                       all of them
python -m tests.mutants --match "fdatasync"   those whose name this pattern is found in
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.trial import Outcome, Verdict, Workshop, try_mutant, workshop

_WIDTH_BY = 64


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--match", default="", help="only mutants whose name has this pattern")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    return parser.parse_args()


def run_trials(mutants: Sequence[Mutant], jobs: int) -> list[Outcome]:
    """Try every mutant, several at a time, each job in a copy of its own; in the given order."""
    free: SimpleQueue[Workshop] = SimpleQueue()
    outcomes: dict[str, Outcome] = {}

    def one(mutant: Mutant) -> Outcome:
        place = free.get()
        try:
            return try_mutant(mutant, place)
        finally:
            free.put(place)

    def with_copies(left: int) -> None:
        if left:
            with workshop() as place:
                free.put(place)
                with_copies(left - 1)
            return
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(one, mutant) for mutant in mutants]
            for number, future in enumerate(as_completed(futures), 1):
                outcome = future.result()
                outcomes[outcome.mutant.name] = outcome
                print(f"[{number}/{len(mutants)}] {_row(outcome)}", flush=True)

    with_copies(jobs)
    return [outcomes[mutant.name] for mutant in mutants]


def _row(outcome: Outcome) -> str:
    seeds = f"{outcome.seeds} seeds" if outcome.seeds else "tests"
    by = " ".join(outcome.by.split())[:_WIDTH_BY]
    name = outcome.mutant.name
    verdict = outcome.verdict.value
    return f"{name:<42} {verdict:<9} {by:<{_WIDTH_BY}} {seeds:>9} {outcome.seconds:6.1f} s"


def main() -> int:
    """Run the trials; return 1 unless every mutant was caught."""
    arguments = _arguments()
    mutants = [mutant for mutant in MUTANTS if re.search(arguments.match, mutant.name)]
    started = time.monotonic()
    outcomes = run_trials(mutants, max(1, min(arguments.jobs, len(mutants))))
    print(f"\n{'mutant':<42} {'verdict':<9} {'by':<{_WIDTH_BY}} {'after':>9}")
    for outcome in outcomes:
        print(_row(outcome))
    missed = [each for each in outcomes if each.verdict is not Verdict.CAUGHT]
    seconds = time.monotonic() - started
    print(f"\n{len(outcomes) - len(missed)} of {len(outcomes)} caught in {seconds:.0f} s")
    for outcome in missed:
        print(f"{outcome.verdict.value}: {outcome.mutant.name}: {outcome.mutant.story}")
    return 1 if missed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())

"""Command line of the simulator: run seeds, print what failed and how to see it again.

python -m tests.simulation --seed 7 --count 100      seeds 7 to 106
python -m tests.simulation --seed 42 --trace         one seed, event by event
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.simulation.cluster import Result, run_seed
from tests.simulation.quiet import quiet_log

#: In a long run, a line is printed after so many seeds.
_PROGRESS_SEEDS = 250


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, default=1, help="number of seeds")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--digest", action="store_true", help="print the digest of each run")
    parser.add_argument("--until-failure", action="store_true", help="stop at the first failure")
    return parser.parse_args()


def main() -> int:
    """Run the seeds; return 1 if any failed."""
    arguments = _arguments()
    failed: list[int] = []
    totals: dict[str, int] = {}
    slowest = 0.0
    started = time.monotonic()
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        try:
            with quiet_log():
                result = run_seed(seed, is_traced=arguments.trace)
        except Exception as error:  # noqa: BLE001 - every failure of a run is reported with its seed
            traceback.print_exc()
            print(f"\nseed {seed} failed; replay: make sim SEED={seed}", flush=True)
            failed.append(seed)
            if arguments.until_failure:
                print(f"seed {seed}: {type(error).__name__}: {error}")
                break
            continue
        slowest = max(slowest, result.recovery_seconds)
        _add(totals, result)
        done = seed - arguments.seed + 1
        if done % _PROGRESS_SEEDS == 0:
            seconds = time.monotonic() - started
            print(f"{done} of {arguments.count} seeds, {seconds:.0f} s", flush=True)
        if arguments.digest:
            print(seed, result.digest)
        if arguments.count == 1:
            print(result)
    seconds = time.monotonic() - started
    print(
        f"{arguments.count} seeds in {seconds:.1f} s, slowest recovery {slowest:.1f} s, failed {failed}"
    )
    print(", ".join(f"{key} {count}" for key, count in sorted(totals.items())))
    return 1 if failed else 0


def _add(totals: dict[str, int], result: Result) -> None:
    for counts in (result.operations, result.counts, {"terms": result.leaders}):
        for key, count in counts.items():
            totals[key] = totals.get(key, 0) + count


if __name__ == "__main__":
    sys.exit(main())

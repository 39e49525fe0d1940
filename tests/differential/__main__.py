"""Command line of the comparison with etcd.

python -m tests.differential                          the run of `make test`
python -m tests.differential --count 100000 --seed 7  a long one
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench.peers.build import BuildUnavailable
from tests.differential.known import KNOWN
from tests.differential.run import run


def main() -> int:
    """Run; return 1 if anything differs that is not known."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=3_200, help="number of requests")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="zetcd-differential-") as directory:
            report = run(arguments.seed, arguments.count, Path(directory))
    except BuildUnavailable as error:
        print(error, file=sys.stderr)
        return 2
    for difference in report.differences:
        print(difference, end="\n\n")
    print(f"{report.requests} requests in {time.monotonic() - started:.1f} s")
    print("methods:", dict(report.counts.most_common()))
    print("codes:  ", dict(report.codes.most_common()))
    for known in KNOWN:
        print(f"known {report.known[known.name]:6} times: {known.name}: {known.reason}")
    print(f"{len(report.differences)} differences that are not known")
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())

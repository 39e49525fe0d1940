"""The same requests to zetcd and to a real etcd 3.6: the same answers, but for the known differences."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers.build import BuildUnavailable, build_program
from tests.differential.known import KNOWN
from tests.differential.run import run

# Building etcd takes minutes where it was never built.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(2400)]

SEED = 1
COUNT = 3_200


def test_zetcd_answers_as_etcd_does(tmp_path: Path) -> None:
    try:
        build_program("etcd")
    except BuildUnavailable as error:
        pytest.skip(f"no etcd to compare with: {error}")
    report = run(SEED, COUNT, tmp_path)
    assert not report.differences, "\n\n".join(report.differences)
    assert report.requests >= COUNT
    # Every kind of answer was really compared.
    assert {"OK", "INVALID_ARGUMENT", "OUT_OF_RANGE", "NOT_FOUND", "UNIMPLEMENTED"} <= set(
        report.codes
    )
    assert report.counts["Dialogue"] > 100
    # A difference that is gone must leave the table, and what is in it must be met.
    assert [known.name for known in KNOWN if not report.known[known.name]] == []

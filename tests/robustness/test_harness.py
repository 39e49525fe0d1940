"""The rounds themselves can fail, and can show nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.robustness.arena import ArenaSetting
from tests.robustness.faults.fault import Fault, Stage
from tests.robustness.faults.power import PowerLoss
from tests.robustness.round import Verdict, run_round

pytestmark = [pytest.mark.robustness, pytest.mark.integration, pytest.mark.timeout(300)]


class _Nothing(Fault):
    """Hurts nobody."""

    name = "nothing"

    def inject(self, stage: Stage) -> None:
        stage.hold(0.1)


class _Missing(_Nothing):
    """Cannot be done anywhere."""

    def missing(self) -> str:
        return "a time machine"


class _PowerLossWithoutSync(PowerLoss):
    """A cluster that acknowledges what is on no disk."""

    def setting(self, directory: Path) -> ArenaSetting:
        setting = super().setting(directory)
        return dataclasses.replace(setting, extra="unsafe-no-fsync = true\n" + setting.extra)


def test_a_round_in_which_nothing_happens_is_void(tmp_path: Path) -> None:
    report = run_round(_Nothing(), 1, tmp_path)
    assert (report.verdict, report.reason) == (Verdict.VOID, "the fault did not strike")
    assert not report.violations


def test_a_fault_that_this_machine_cannot_make_is_not_available(tmp_path: Path) -> None:
    report = run_round(_Missing(), 1, tmp_path)
    assert (report.verdict, report.reason) == (Verdict.NOT_AVAILABLE, "a time machine")


def test_a_cluster_that_does_not_sync_its_log_fails_when_the_power_goes(tmp_path: Path) -> None:
    report = run_round(_PowerLossWithoutSync("all"), 1, tmp_path)
    if report.verdict is Verdict.NOT_AVAILABLE:
        pytest.skip(f"not available: {report.reason}")
    assert report.verdict is Verdict.FAILED
    print("\n".join(report.violations))

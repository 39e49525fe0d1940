"""Periodic compaction keeps the history of a period: when, at which revision, and on whom."""

from __future__ import annotations

import pytest

from zetcd.compactor import PeriodicCompactor, Standing
from zetcd.compactor.periodic import COMPACT_INTERVAL_SECONDS_MAX, SAMPLES_PER_INTERVAL
from zetcd.scalars import Revision

HOUR = 3600.0
#: One write a second, beginning at time 0 with revision 1.
START = 1000.0


class Run:
    """Drives one compactor; whatever it proposes happens, unless ``loses``."""

    def __init__(self, period: float, *, is_leading: bool = True) -> None:
        self.compactor = PeriodicCompactor(period, START)
        self.is_leading = is_leading
        self.loses = False
        self.compact_revision: Revision = 0
        #: (seconds since the start, revision) of each proposal.
        self.proposed: list[tuple[float, Revision]] = []

    def until(self, seconds: float) -> Run:
        while self.compactor.next_at - START <= seconds:
            now = self.compactor.next_at
            standing = Standing(1 + int(now - START), self.compact_revision, self.is_leading)
            revision = self.compactor.look(standing, now)
            assert self.compactor.next_at > now
            if revision is not None:
                self.proposed.append((now - START, revision))
                if not self.loses:
                    self.compact_revision = revision
        return self


@pytest.mark.parametrize("period", [60.0, 600.0, HOUR])
def test_a_period_of_up_to_an_hour_compacts_once_each_period(period: float) -> None:
    run = Run(period).until(3 * period)
    assert [revision for _, revision in run.proposed] == [1, 1 + period, 1 + 2 * period]
    assert [at for at, _ in run.proposed] == pytest.approx([period, 2 * period, 3 * period])


def test_a_longer_period_compacts_each_hour_after_the_first_whole_one() -> None:
    run = Run(5 * HOUR).until(8 * HOUR)
    assert run.proposed == [(hours * HOUR, 1 + (hours - 5) * HOUR) for hours in (5, 6, 7, 8)]


def test_samples_are_a_tenth_of_the_interval_apart() -> None:
    assert Run(60.0).until(0).compactor.next_at == START + 60 / SAMPLES_PER_INTERVAL
    slow = Run(24 * HOUR).until(0)
    assert slow.compactor.next_at == START + COMPACT_INTERVAL_SECONDS_MAX / SAMPLES_PER_INTERVAL


def test_a_lost_proposal_is_made_again_at_the_next_sample() -> None:
    run = Run(100.0)
    run.loses = True
    run.until(115)
    run.loses = False
    run.until(215)
    # Each time with the revision of a period ago; the next one not before its time.
    assert run.proposed == [(100.0, 1), (110.0, 11), (120.0, 21)]
    assert run.until(220).proposed[3:] == [(220.0, 121)]


def test_only_the_leader_compacts_and_a_new_one_knows_the_past() -> None:
    run = Run(100.0, is_leading=False).until(455)
    assert not run.proposed
    run.is_leading = True
    assert run.until(460).proposed == [(460.0, 361)]


def test_nothing_new_is_not_compacted_again() -> None:
    compactor, now = PeriodicCompactor(100.0, START), START
    proposed, compact_revision = [], 0
    while now < START + 1000:
        now = compactor.next_at
        revision = compactor.look(Standing(7, compact_revision, is_leading=True), now)
        if revision is not None:
            proposed.append(revision)
            compact_revision = revision
    assert proposed == [7]


def test_a_client_that_was_faster_counts_as_done() -> None:
    run = Run(100.0)
    run.compact_revision = 50
    run.until(205)
    # At 100 s revision 1 was compacted already; the next is due a period later.
    assert run.proposed == [(200.0, 101)]

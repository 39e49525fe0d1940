"""Compaction by revision keeps a number of revisions."""

from __future__ import annotations

from zetcd.compactor import RevisionCompactor, Standing
from zetcd.compactor.revision import INTERVAL_SECONDS

START = 50.0


def test_it_looks_each_five_minutes_and_keeps_what_it_was_told() -> None:
    compactor = RevisionCompactor(1000, START)
    assert compactor.next_at == START + INTERVAL_SECONDS
    now = compactor.next_at
    assert compactor.look(Standing(1000, 0, is_leading=True), now) is None
    assert compactor.next_at == now + INTERVAL_SECONDS
    assert compactor.look(Standing(1001, 0, is_leading=True), now) == 1
    assert compactor.look(Standing(5000, 1, is_leading=True), now) == 4000


def test_a_lost_proposal_is_made_again_and_a_done_one_is_not() -> None:
    compactor = RevisionCompactor(10, START)
    assert compactor.look(Standing(100, 0, is_leading=True), START) == 90
    assert compactor.look(Standing(100, 0, is_leading=True), START) == 90
    assert compactor.look(Standing(100, 90, is_leading=True), START) is None


def test_only_the_leader_compacts() -> None:
    compactor = RevisionCompactor(10, START)
    assert compactor.look(Standing(100, 0, is_leading=False), START) is None

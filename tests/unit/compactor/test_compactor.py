"""Both modes have the same face."""

from __future__ import annotations

import pytest

from zetcd.compactor import Compactor, PeriodicCompactor, RevisionCompactor, Standing


@pytest.mark.parametrize("compactor", [PeriodicCompactor(60.0, 5.0), RevisionCompactor(10, 5.0)])
def test_a_look_moves_the_next_one(compactor: Compactor) -> None:
    at = compactor.next_at
    assert at >= 5.0
    assert compactor.look(Standing(1, 0, is_leading=True), at) is None
    assert compactor.next_at > at

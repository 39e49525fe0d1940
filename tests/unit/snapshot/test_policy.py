"""When a checkpoint is due: the table of the module, its edges, and what it costs over a long time."""

from __future__ import annotations

import random

import pytest

from zetcd.snapshot.policy import LogGrowth, PolicyOptions, is_due

MIB = 1 << 20
OPTIONS = PolicyOptions(entries_min=10_000, log_bytes_min=64 * MIB, log_bytes_max=1024 * MIB)


@pytest.mark.parametrize(
    ("entries", "log_mib", "live_mib", "due"),
    [
        (9_999, 200, 100, False),
        (10_000, 60, 1, False),
        (10_000, 64, 1, True),
        (10_000, 70, 1, True),
        (50_000, 300, 1024, False),
        (50_000, 512, 1024, True),
        (2_000, 1024, 1, True),
        (2_000, 1126, 1024, True),
        (2_000, 1126, 4096, False),
    ],
)
def test_entries_and_bytes_decide(entries: int, log_mib: int, live_mib: int, *, due: bool) -> None:
    growth = LogGrowth(500 + entries, 500, log_mib * MIB, 500, live_mib * MIB)
    assert is_due(growth, OPTIONS) is due


def test_nothing_new_is_never_due() -> None:
    """However much log there is: votes and marks need bytes too."""
    assert not is_due(LogGrowth(500, 500, 1 << 50, 500, 1), OPTIONS)


def test_the_first_checkpoint_counts_from_the_beginning() -> None:
    assert is_due(LogGrowth(10_000, 0, 64 * MIB), OPTIONS)


def test_a_marked_checkpoint_without_its_file_is_replaced_at_once() -> None:
    """The log may begin behind it: until there is another one, nothing can be restored."""
    assert is_due(LogGrowth(501, 500, 0, 0, 0), OPTIONS)
    assert is_due(LogGrowth(500, 500, 0, 400, 10), OPTIONS)
    assert not is_due(LogGrowth(499, 500, 0, 400, 10), OPTIONS)


@pytest.mark.parametrize("seed", range(20))
def test_log_and_checkpoints_write_at_most_three_times_the_log(seed: int) -> None:
    """For stores that grow, shrink and stay, with entries of any size."""
    rng = random.Random(seed)
    index = marked = log_bytes = since_mark = checkpoints = 0
    store_bytes = 0
    for _ in range(20_000):
        entries, size = rng.randint(1, 200), rng.randint(100, 4 * MIB)
        index, log_bytes, since_mark = index + entries, log_bytes + size, since_mark + size
        # A store grows by what is written at most; compaction may shrink it.
        store_bytes = max(0, store_bytes + rng.choice((size, size // 2, 0, -size)))
        if is_due(LogGrowth(index, marked, since_mark, marked, store_bytes), OPTIONS):
            checkpoints += store_bytes
            marked, since_mark = index, 0
    assert checkpoints > 0
    assert log_bytes + checkpoints <= 3 * log_bytes

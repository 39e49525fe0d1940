import pytest

from zetcd.raft.quorum import VoteResult, committed_index, has_majority, majority, vote_result


@pytest.mark.parametrize(("count", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_majority(count: int, needed: int) -> None:
    """More than half."""
    assert majority(count) == needed


@pytest.mark.parametrize(
    ("indexes", "committed"),
    [([], 0), ([7], 7), ([7, 3], 3), ([9, 5, 2], 5), ([9, 9, 0], 9), ([1, 2, 3, 4], 2)],
)
def test_committed_index(indexes: list[int], committed: int) -> None:
    """The highest index on a majority."""
    assert committed_index(indexes) == committed


def test_vote_result() -> None:
    """Decided as soon as either side has, or cannot be denied, a majority."""
    voters = (1, 2, 3, 4)
    assert vote_result(voters, {1: True, 2: True}) is VoteResult.PENDING
    assert vote_result(voters, {1: True, 2: True, 3: True}) is VoteResult.WON
    assert vote_result(voters, {1: False, 2: False}) is VoteResult.LOST
    assert vote_result(voters, {1: True, 9: True, 8: True}) is VoteResult.PENDING
    assert vote_result((), {}) is VoteResult.LOST


def test_nobody_is_never_a_majority() -> None:
    """A membership that is not known yet decides nothing."""
    assert not has_majority((), {1, 2, 3})
    assert has_majority((1, 2, 3), {1, 3})
    assert not has_majority((1, 2, 3), {1, 4})

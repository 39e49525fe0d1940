from hypothesis import given
from hypothesis import strategies as st

from zetcd.raft.quorum import VoteResult, committed_index, has_majority, vote_result

INDEXES = st.lists(st.integers(0, 50), max_size=9)
VOTERS = st.sets(st.integers(1, 9), max_size=7)


@given(INDEXES)
def test_committed_index_is_the_highest_on_a_majority(indexes: list[int]) -> None:
    """Against counting for every candidate."""
    candidates = [
        index for index in indexes if sum(1 for m in indexes if m >= index) * 2 > len(indexes)
    ]
    assert committed_index(list(indexes)) == max(candidates, default=0)


@given(VOTERS, st.dictionaries(st.integers(1, 12), st.booleans(), max_size=10))
def test_vote_result_is_what_the_missing_votes_cannot_change(
    voters: set[int], votes: dict[int, bool]
) -> None:
    """Against trying both outcomes for those who have not answered."""
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    missing = sum(1 for voter in voters if voter not in votes)
    wins_now = granted * 2 > len(voters)
    can_win = (granted + missing) * 2 > len(voters)
    expected = VoteResult.WON if wins_now else VoteResult.PENDING if can_win else VoteResult.LOST
    assert vote_result(sorted(voters), votes) is expected


@given(VOTERS, VOTERS, VOTERS)
def test_two_majorities_share_a_member(voters: set[int], one: set[int], other: set[int]) -> None:
    """What everything rests on."""
    if has_majority(sorted(voters), one) and has_majority(sorted(voters), other):
        assert one & other & voters


@given(VOTERS, st.integers(1, 12), VOTERS, VOTERS)
def test_majorities_of_neighbouring_memberships_share_a_member(
    voters: set[int], changed: int, one: set[int], other: set[int]
) -> None:
    """Thesis §4.1, Figure 4.3: adding or removing one voter keeps majorities overlapping."""
    after = voters ^ {changed}
    if has_majority(sorted(voters), one) and has_majority(sorted(after), other):
        assert (one & voters) & (other & after) or not voters or not after

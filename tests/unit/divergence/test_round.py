"""A round asks until everybody has answered or is given up; who is given up was not compared."""

from __future__ import annotations

import pytest

from zetcd.divergence import Outcome, Round
from zetcd.divergence.round import (
    BEHIND_SECONDS_MAX,
    REPEAT_SECONDS,
    ROUND_SECONDS_MAX,
    SILENT_SECONDS_MAX,
)
from zetcd.messages.cluster import Member
from zetcd.messages.node import HashAnswer, HashProgress

MEMBERS = (Member(3), Member(1), Member(2), Member(4, is_learner=True))
ROUND_ID = 77
DONE, WORKING = HashProgress.DONE, HashProgress.WORKING


def begun() -> Round:
    return Round(1, ROUND_ID, 900, MEMBERS, now=10.0)


def answer(
    sender: int, value: int = 0xD1, progress: HashProgress = DONE, compact: int = 5
) -> HashAnswer:
    return HashAnswer(sender, 1, ROUND_ID, progress, value, compact)


def asked(round_: Round, now: float) -> list[int]:
    return [query.to for query in round_.queries(now)]


def test_everybody_is_asked_and_asked_again_until_it_has_answered() -> None:
    round_ = begun()
    queries = round_.queries(10.0)
    assert [query.to for query in queries] == [1, 2, 3, 4]
    assert {(q.sender, q.round_id, q.revision) for q in queries} == {(1, ROUND_ID, 900)}
    assert asked(round_, 10.5) == []
    assert round_.wake_at() == 10.0 + REPEAT_SECONDS
    round_.step(answer(2), 10.6)
    round_.step(answer(3, progress=WORKING), 10.6)
    assert asked(round_, 11.0) == [1, 3, 4]
    assert round_.result() is None


def test_equal_hashes_of_all_pass() -> None:
    round_ = begun()
    for sender in (1, 2, 3, 4):
        round_.step(answer(sender), 11.0)
    result = round_.result()
    assert result is not None
    assert result.is_passed
    assert (result.revision, result.compared_count, result.failures) == (900, 4, ())


def test_a_member_that_is_silent_is_given_up_and_the_round_is_not_passed() -> None:
    round_ = begun()
    for sender in (1, 2, 4):
        round_.step(answer(sender), 11.0)
    round_.queries(10.0 + SILENT_SECONDS_MAX - 0.1)
    assert round_.result() is None
    assert asked(round_, 10.0 + SILENT_SECONDS_MAX) == []
    result = round_.result()
    assert result is not None
    assert not result.is_passed
    assert result.comparison.outcome is Outcome.EQUAL
    assert result.failures == ((3, "it did not answer for 15 s"),)
    assert not result.deserves_repetition


def test_the_others_are_compared_without_the_one_that_is_away() -> None:
    round_ = begun()
    for sender, value in ((1, 1), (2, 1), (4, 2)):
        round_.step(answer(sender, value), 11.0)
    round_.queries(10.0 + SILENT_SECONDS_MAX)
    result = round_.result()
    assert result is not None
    assert result.comparison.suspects == (4,)


def drive(progress: HashProgress, seconds: float) -> Round:
    """Return a round in which member 3 answers every query with ``progress``."""
    round_, now = begun(), 10.0
    while now <= 10.0 + seconds:
        for query in round_.queries(now):
            round_.step(answer(query.to, progress=progress if query.to == 3 else DONE), now)
        now += REPEAT_SECONDS
    return round_


@pytest.mark.parametrize(
    ("progress", "seconds", "reason"),
    [
        (HashProgress.BEHIND, BEHIND_SECONDS_MAX, "behind revision 900"),
        (HashProgress.WORKING, ROUND_SECONDS_MAX, "not done after"),
    ],
)
def test_who_never_gets_there_is_given_up(
    progress: HashProgress, seconds: float, reason: str
) -> None:
    assert drive(progress, seconds - 2).result() is None
    result = drive(progress, seconds + 2).result()
    assert result is not None
    assert not result.is_passed
    assert reason in result.failures[0][1]


def test_being_behind_for_a_while_is_forgotten() -> None:
    round_ = drive(HashProgress.BEHIND, BEHIND_SECONDS_MAX - 2)
    now = 10.0 + BEHIND_SECONDS_MAX - 1
    round_.step(answer(3, progress=WORKING), now)
    round_.step(answer(3, progress=HashProgress.BEHIND), now + 2)
    round_.queries(now + 3)
    assert round_.result() is None


def test_a_compaction_in_between_deserves_another_try() -> None:
    round_ = begun()
    for sender in (1, 2, 4):
        round_.step(answer(sender), 11.0)
    round_.step(answer(3, progress=HashProgress.COMPACTED), 11.0)
    result = round_.result()
    assert result is not None
    assert result.deserves_repetition
    assert not result.is_passed


def test_hashes_of_different_compactions_deserve_another_try() -> None:
    round_ = begun()
    for sender in (1, 2, 3, 4):
        round_.step(answer(sender, compact=5 if sender < 3 else 6), 11.0)
    result = round_.result()
    assert result is not None
    assert result.deserves_repetition
    assert not result.is_passed


def test_answers_to_other_rounds_of_strangers_and_second_ones_are_ignored() -> None:
    round_ = begun()
    round_.step(HashAnswer(2, 1, ROUND_ID - 1, DONE, 1, 5), 11.0)
    round_.step(answer(99), 11.0)
    round_.step(answer(3), 11.0)
    round_.step(answer(3, value=0xBAD), 11.0)
    for sender in (1, 2, 4):
        round_.step(answer(sender), 12.0)
    result = round_.result()
    assert result is not None
    assert result.is_passed

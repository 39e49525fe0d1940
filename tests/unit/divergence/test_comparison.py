"""Who is wrong follows from what most voters hold; without most, nobody knows."""

from __future__ import annotations

import pytest

from zetcd.divergence import Comparison, MemberHash, Outcome, compare_hashes

VOTERS = (1, 2, 3)
EQUAL = Comparison(Outcome.EQUAL)


def different(*suspects: int) -> Comparison:
    return Comparison(Outcome.DIFFERENT, suspects)


def hashes(*values: tuple[int, int] | tuple[int, int, int]) -> list[MemberHash]:
    return [MemberHash(each[0], each[1], each[2] if len(each) > 2 else 5) for each in values]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], EQUAL),
        ([(1, 7)], EQUAL),
        ([(1, 7), (2, 7), (3, 7)], EQUAL),
        ([(1, 7), (2, 7), (3, 8)], different(3)),
        ([(1, 8), (2, 7), (3, 7)], different(1)),
        ([(1, 7), (2, 8), (3, 9)], different(0)),
        # One of two that answered is wrong, and nobody can say which.
        ([(1, 7), (3, 8)], different(0)),
        # A learner is compared but has no vote.
        ([(1, 7), (2, 7), (9, 8)], different(9)),
        ([(1, 7), (9, 8), (8, 8)], different(0)),
        # Hashes of different compactions say nothing about each other, those of one still do.
        ([(1, 7, 4), (2, 8, 5)], Comparison(Outcome.INCOMPARABLE)),
        ([(1, 7, 4), (2, 7, 5)], Comparison(Outcome.INCOMPARABLE)),
        ([(1, 7, 4), (2, 7, 4), (3, 9, 5)], Comparison(Outcome.INCOMPARABLE)),
        ([(1, 7, 4), (2, 7, 4), (9, 9, 4), (3, 9, 5)], different(9)),
    ],
)
def test_comparison(answers: list[tuple[int, int]], expected: Comparison) -> None:
    assert compare_hashes(hashes(*answers), VOTERS) == expected


def test_half_of_the_voters_are_not_most() -> None:
    answers = hashes((1, 7), (2, 7), (3, 8), (4, 8))
    assert compare_hashes(answers, (1, 2, 3, 4)) == different(0)

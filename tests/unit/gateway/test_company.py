"""Whom a proposal waits for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zetcd.gateway.company import GATHER_SECONDS, Company

NOW = 100.0


def follow(company: Company, answers: int, arrivals: int, now: float) -> None:
    """Let so many requests follow so many answers before the window closes."""
    company.answered(answers)
    for _ in range(arrivals):
        company.arrived()
        company.is_expected(arrivals, now)
    company.is_expected(arrivals, now + GATHER_SECONDS)


def test_without_answers_nobody_is_expected() -> None:
    company = Company()
    company.arrived()
    assert company.leave_at(1) == 0
    assert not company.is_expected(1, NOW)


def test_the_only_client_is_its_own_company() -> None:
    company = Company()
    company.answered(1)
    assert company.is_expected(0, NOW)
    company.arrived()
    assert not company.is_expected(1, NOW)


def test_the_first_of_many_waits_for_the_others() -> None:
    company = Company()
    company.answered(3)
    waited = []
    for waiting in range(1, 4):
        company.arrived()
        waited.append(company.is_expected(waiting, NOW))
    assert waited == [True, True, False]


def test_it_says_when_they_leave_without_being_asked_to() -> None:
    """A gateway does not look at its queue for every request that comes."""
    company = Company()
    company.answered(3)
    company.arrived()
    assert company.leave_at(1) == 0  # nobody has said yet when the window began
    assert company.is_expected(1, NOW)
    assert company.leave_at(1) == NOW + GATHER_SECONDS
    company.arrived()
    company.arrived()
    assert company.leave_at(3) == 0


def test_it_waits_no_longer_than_the_window() -> None:
    company = Company()
    company.answered(3)
    company.arrived()
    assert company.is_expected(1, NOW)
    assert company.leave_at(1) == NOW + GATHER_SECONDS
    company.answered(5)
    assert company.is_expected(1, NOW + GATHER_SECONDS / 2)
    assert company.leave_at(1) == NOW + GATHER_SECONDS
    assert not company.is_expected(1, company.leave_at(1))


def test_it_learns_that_nobody_follows_and_that_they_follow_again() -> None:
    company = Company()
    for turn in range(10):
        follow(company, 10, 0, NOW + turn)
    company.answered(10)
    company.arrived()
    assert not company.is_expected(1, NOW + 20)
    company.is_expected(1, NOW + 21)
    for turn in range(10):
        follow(company, 10, 10, NOW + 30 + turn)
    company.answered(10)
    company.arrived()
    assert company.is_expected(1, NOW + 50)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 0.01))))
def test_nobody_is_held_longer_than_a_window_after_answers(
    turns: list[tuple[int, int, float]],
) -> None:
    company, now, asked_to_wait_since = Company(), NOW, float("inf")
    for answers, arrivals, seconds in turns:
        now += seconds
        if answers:
            company.answered(answers)
        for _ in range(arrivals):
            company.arrived()
        if company.is_expected(arrivals, now):
            asked_to_wait_since = min(asked_to_wait_since, now)
            assert now - asked_to_wait_since < GATHER_SECONDS
            assert now < company.leave_at(arrivals) <= now + GATHER_SECONDS
        else:
            asked_to_wait_since = float("inf")

from __future__ import annotations

from zetcd.gateway.lease_ids import LEASE_ID_MAX, LeaseIDs


def test_ids_are_positive_and_differ_over_members_incarnations_and_time() -> None:
    seen: set[int] = set()
    for node_id in (1, 2, 2**64 - 1):
        for incarnation in (1, 2, 2**31):
            ids = LeaseIDs(node_id, incarnation)
            seen.update(ids.take() for _ in range(1_000))
    assert len(seen) == 9_000
    assert all(0 < each <= LEASE_ID_MAX for each in seen)


def test_ids_are_a_function_of_what_they_are_made_of() -> None:
    assert LeaseIDs(7, 3).take() == LeaseIDs(7, 3).take()

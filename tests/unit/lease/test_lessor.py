"""Leases live, are renewed, expire on the leader only and never early."""

from __future__ import annotations

import pytest

from zetcd.errors import InvalidArgument, LeaseExist, LeaseNotFound, LeaseTTLTooLarge
from zetcd.lease import Lease, Lessor, LessorOptions, Renewal, TimeToLive, ttl_seconds_min
from zetcd.lease.lessor import TTL_SECONDS_MAX
from zetcd.messages.lease import LeaseCheckpoint

OPTIONS = LessorOptions(
    ttl_seconds_min=2,
    checkpoint_interval_seconds=100.0,
    expire_retry_seconds=3.0,
    expirations_per_second_max=3,
)


@pytest.fixture
def leader() -> Lessor:
    lessor = Lessor(OPTIONS)
    lessor.promote(0.0, 0.0)
    return lessor


def test_the_minimum_outlives_an_election() -> None:
    assert ttl_seconds_min(1.0) == 2
    assert ttl_seconds_min(2.0) == 3
    assert ttl_seconds_min(0.1) == 1


def test_a_short_ttl_is_raised_silently(leader: Lessor) -> None:
    assert leader.grant(7, -5, 0.0).granted_ttl == 2
    assert leader.grant(8, 3, 0.0).granted_ttl == 3


def test_grants_that_are_refused(leader: Lessor) -> None:
    leader.grant(7, 60, 0.0)
    with pytest.raises(LeaseExist):
        leader.grant(7, 60, 0.0)
    with pytest.raises(LeaseTTLTooLarge):
        leader.grant(8, TTL_SECONDS_MAX + 1, 0.0)
    for lease_id in (0, 2**63, -(2**63) - 1):
        with pytest.raises(InvalidArgument):
            leader.grant(lease_id, 60, 0.0)
    leader.grant(8, TTL_SECONDS_MAX, 0.0)
    leader.check()


def test_a_lease_expires_at_its_time_and_not_before(leader: Lessor) -> None:
    leader.grant(7, 10, 0.0)
    assert leader.next_due() == 10.0
    assert leader.expired(9.999, 10) == []
    assert leader.time_to_live(7, 9.5) == TimeToLive(0, 10)
    assert leader.expired(10.0, 10) == [7]
    leader.check()


def test_a_keep_alive_starts_the_ttl_anew(leader: Lessor) -> None:
    leader.grant(7, 10, 0.0)
    assert leader.renew(7, 8.0) == Renewal(10)
    assert leader.expired(17.9, 10) == []
    assert leader.time_to_live(7, 9.0) == TimeToLive(9, 10)
    assert leader.expired(18.0, 10) == [7]


def test_what_has_expired_cannot_be_renewed(leader: Lessor) -> None:
    leader.grant(7, 10, 0.0)
    # Even before `expired` has been asked.
    assert leader.renew(7, 10.0) == Renewal(0)
    leader.expired(10.0, 10)
    assert leader.renew(7, 10.0) == Renewal(0)
    assert leader.time_to_live(7, 10.0) == TimeToLive(-1, 0)


def test_an_unknown_lease_is_answered_not_refused(leader: Lessor) -> None:
    assert leader.renew(9, 0.0) == Renewal(0)
    assert leader.time_to_live(9, 0.0) == TimeToLive(-1, 0)
    with pytest.raises(LeaseNotFound):
        leader.revoke(9)


def test_a_revocation_that_got_lost_is_handed_out_again(leader: Lessor) -> None:
    leader.grant(7, 10, 0.0)
    assert leader.expired(10.0, 10) == [7]
    assert leader.expired(12.9, 10) == []
    assert leader.expired(13.0, 10) == [7]
    leader.revoke(7)
    assert leader.expired(99.0, 10) == []
    leader.check()


def test_a_pile_is_handed_out_in_portions(leader: Lessor) -> None:
    for lease_id in range(1, 6):
        leader.grant(lease_id, 10, 0.0)
    assert leader.expired(10.0, 2) == [1, 2]
    assert leader.expired(10.0, 2) == [3, 4]
    assert leader.expired(10.0, 2) == [5]


def test_nothing_runs_on_a_follower() -> None:
    lessor = Lessor(OPTIONS)
    lessor.grant(7, 10, 0.0)
    assert lessor.expired(1000.0, 10) == []
    assert lessor.next_due() is None
    with pytest.raises(AssertionError):
        lessor.renew(7, 0.0)
    lessor.check()


def test_a_new_leader_extends_what_may_not_have_been_renewed() -> None:
    lessor = Lessor(OPTIONS)
    lessor.restore([Lease(7, 10), Lease(8, 50, 20)])
    lessor.promote(100.0, 1.0)
    lessor.check()
    assert lessor.expired(110.9, 10) == []
    assert lessor.expired(111.0, 10) == [7]
    lessor.revoke(7)
    assert lessor.expired(120.9, 10) == []
    assert lessor.expired(121.0, 10) == [8]


def test_losing_leadership_forgets_expiries(leader: Lessor) -> None:
    leader.grant(7, 10, 0.0)
    leader.expired(10.0, 10)
    leader.demote()
    leader.check()
    leader.promote(20.0, 0.0)
    assert leader.renew(7, 20.0) == Renewal(10)


def test_a_pile_is_spread_at_promotion_and_nothing_comes_early() -> None:
    lessor = Lessor(OPTIONS)
    lessor.restore([Lease(lease_id, 10) for lease_id in range(1, 8)] + [Lease(8, 30)])
    lessor.promote(0.0, 0.0)
    lessor.check()
    # Three in a second.
    assert lessor.expired(9.99, 99) == []
    assert lessor.expired(10.99, 99) == [1, 2, 3]
    assert lessor.expired(11.99, 99) == [4, 5, 6]
    assert lessor.expired(12.99, 99) == [7]
    assert lessor.expired(29.99, 99) == [1, 2, 3, 4, 5, 6, 7]
    assert 8 in lessor.expired(30.0, 99)


def test_long_leases_are_checkpointed_every_interval_rounded_up(leader: Lessor) -> None:
    leader.grant(7, 1000, 0.5)
    leader.grant(8, 100, 0.5)
    assert leader.checkpoints_due(100.4, 10) == ()
    assert leader.checkpoints_due(100.75, 10) == (LeaseCheckpoint(7, 900),)
    assert leader.checkpoints_due(200.7, 10) == ()
    assert leader.checkpoints_due(200.75, 10) == (LeaseCheckpoint(7, 800),)


def test_a_checkpoint_counts_for_the_next_leader_only(leader: Lessor) -> None:
    leader.grant(7, 1000, 0.0)
    leader.checkpoint(7, 900)
    assert leader.time_to_live(7, 0.0).ttl == 1000
    leader.demote()
    leader.promote(500.0, 0.0)
    assert leader.time_to_live(7, 500.0).ttl == 900
    assert leader.checkpoint(99, 5) is None
    leader.check()


def test_a_renewal_after_a_checkpoint_waits_for_its_end(leader: Lessor) -> None:
    leader.grant(7, 1000, 0.0)
    # On its way through the log is as bad as applied.
    leader.checkpoints_due(100.0, 10)
    assert leader.renew(7, 101.0) == Renewal(1000, needs_checkpoint=True)
    leader.checkpoint(7, 900)
    assert leader.renew(7, 102.0) == Renewal(1000, needs_checkpoint=True)
    assert not leader.is_uncheckpointed(7)
    leader.checkpoint(7, 0)
    assert leader.is_uncheckpointed(7)
    assert leader.renew(7, 103.0) == Renewal(1000)


def test_the_list_is_sorted_by_ttl_then_id(leader: Lessor) -> None:
    for lease_id, ttl in ((5, 10), (9, 5), (3, 10)):
        leader.grant(lease_id, ttl, 0.0)
    assert leader.lease_ids() == (9, 3, 5)

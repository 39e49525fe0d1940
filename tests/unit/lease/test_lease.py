"""What a new leader gives a lease."""

from zetcd.lease.lease import Lease


def test_a_new_leader_counts_from_the_checkpoint_if_there_is_one() -> None:
    assert Lease(7, 60).ttl_after_promotion == 60
    assert Lease(7, 60, 12).ttl_after_promotion == 12


def test_a_loaded_lease_does_not_run() -> None:
    lease = Lease(7, 60)
    assert lease.expiry is None
    assert not lease.is_expiring

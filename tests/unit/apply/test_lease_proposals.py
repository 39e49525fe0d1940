"""What the leader's lessor proposes, in bounded portions."""

from zetcd.apply.lease_proposals import LeaseProposalLimits, lease_proposals
from zetcd.lease import Lessor, LessorOptions
from zetcd.messages.lease import LeaseCheckpoint, LeaseCheckpointRequest, LeaseExpireRequest

LIMITS = LeaseProposalLimits(expire_max=5, expire_batch=2, checkpoint_max=1)


def test_a_pile_becomes_small_proposals_with_the_term() -> None:
    lessor = Lessor()
    lessor.promote(0.0, 0.0)
    for lease_id in range(1, 8):
        lessor.grant(lease_id, 10, 0.0)
    assert lease_proposals(lessor, term=4, now=9.0, limits=LIMITS) == ()
    assert lease_proposals(lessor, term=4, now=10.0, limits=LIMITS) == (
        LeaseExpireRequest((1, 2), 4),
        LeaseExpireRequest((3, 4), 4),
        LeaseExpireRequest((5,), 4),
    )
    assert lease_proposals(lessor, term=4, now=10.0, limits=LIMITS) == (
        LeaseExpireRequest((6, 7), 4),
    )


def test_checkpoints_are_proposed_too() -> None:
    lessor = Lessor(LessorOptions(checkpoint_interval_seconds=100.0))
    lessor.promote(0.0, 0.0)
    lessor.grant(1, 1000, 0.0)
    lessor.grant(2, 1000, 0.0)
    for lease_id in (1, 2):
        assert lease_proposals(lessor, term=4, now=100.0, limits=LIMITS) == (
            LeaseCheckpointRequest((LeaseCheckpoint(lease_id, 900),), 4),
        )


def test_a_follower_proposes_nothing() -> None:
    lessor = Lessor()
    lessor.grant(1, 2, 0.0)
    assert lease_proposals(lessor, term=4, now=99.0, limits=LIMITS) == ()

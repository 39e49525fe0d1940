import pytest

from zetcd.messages.raft import ConfState, HardState, SnapshotMetadata
from zetcd.messages.storage import ApplyState, WalState
from zetcd.raft.options import RaftOptions, RaftStart


def test_defaults_hold() -> None:
    """etcd's ten to one between election and heartbeat."""
    options = RaftOptions(node_id=1)
    assert options.election_ticks == 10 * options.heartbeat_ticks
    assert options.pre_vote
    assert options.check_quorum


def test_every_problem_is_named_at_once() -> None:
    """So that a configuration is mended in one go."""
    with pytest.raises(ValueError, match=r"node_id.*election_ticks") as caught:
        RaftOptions(node_id=0, election_ticks=1)
    assert str(caught.value).count(";") == 1


def test_start_joins_the_two_handshakes() -> None:
    """The log is the wal's, the membership is apply's."""
    snapshot = SnapshotMetadata(0, 0, ConfState())
    wal = WalState(HardState(2, 1, 1), snapshot, 0, (), ())
    start = RaftStart.of(wal, ApplyState(4, 2, ConfState((1, 2))))
    assert start.hard_state.term == 2
    assert (start.applied_index, start.applied_term) == (4, 2)
    assert start.conf_state.voters == (1, 2)

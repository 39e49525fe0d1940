from zetcd.raft.inflights import Inflights
from zetcd.raft.progress import Progress, ProgressState


def progress_of(next_index: int = 5) -> Progress:
    window = Inflights(messages_max=2, bytes_max=100)
    return Progress(next_index=next_index, is_learner=False, inflights=window)


def test_starts_probing() -> None:
    """Nothing is known; one message may go."""
    progress = progress_of()
    assert progress.state is ProgressState.PROBE
    assert not progress.is_paused
    progress.is_probe_sent = True
    assert progress.is_paused


def test_probe_accepted_becomes_replicate() -> None:
    """The next entries follow what matches."""
    progress = progress_of()
    assert progress.maybe_update(7)
    progress.become_replicate()
    assert (progress.match_index, progress.next_index) == (7, 8)
    progress.check()


def test_old_answers_do_not_move_back() -> None:
    """Answers overtake each other; the highest counts."""
    progress = progress_of()
    assert progress.maybe_update(7)
    assert not progress.maybe_update(6)
    assert not progress.maybe_update(7)
    assert progress.match_index == 7


def test_probe_refused_uses_the_hint() -> None:
    """The next probe follows the hint, between what matches and what was refused."""
    progress = progress_of(10)
    assert progress.maybe_decrease_to(9, 4)
    assert progress.next_index == 5
    assert progress.maybe_decrease_to(4, 8)
    assert progress.next_index == 4
    progress.match_index = 2
    assert progress.maybe_decrease_to(3, 0)
    assert progress.next_index == 3
    progress.check()


def test_probe_ignores_stale_refusal() -> None:
    """Only the refusal of the probe under way counts."""
    progress = progress_of(10)
    progress.is_probe_sent = True
    assert not progress.maybe_decrease_to(5, 1)
    assert progress.is_probe_sent


def test_replicate_ignores_refusal_below_match() -> None:
    """What is known to match cannot be refused."""
    progress = progress_of()
    progress.maybe_update(7)
    progress.become_replicate()
    progress.next_index = 12
    assert not progress.maybe_decrease_to(7, 3)
    assert progress.next_index == 12
    assert progress.maybe_decrease_to(9, 8)
    assert progress.next_index == 8


def test_replicate_pauses_on_full_window() -> None:
    """And goes on when an answer frees it."""
    progress = progress_of()
    progress.maybe_update(4)
    progress.become_replicate()
    progress.inflights.add(5, 1)
    progress.inflights.add(6, 1)
    assert progress.is_paused
    progress.inflights.free_le(5)
    assert not progress.is_paused


def test_snapshot_pauses_and_is_probed_behind() -> None:
    """After the transfer the first place to try is behind the snapshot."""
    progress = progress_of()
    progress.become_snapshot(20)
    assert progress.is_paused
    assert not progress.maybe_decrease_to(20, 1)
    progress.check()
    progress.become_probe()
    assert progress.next_index == 21
    assert progress.pending_snapshot == 0


def test_failed_snapshot_is_probed_from_match() -> None:
    """The transfer failed: the peer has no more than before."""
    progress = progress_of()
    progress.maybe_update(3)
    progress.become_snapshot(20)
    progress.pending_snapshot = 0
    progress.become_probe()
    assert progress.next_index == 4


def test_a_new_state_forgets_the_old_one() -> None:
    """No window, no outstanding read survives."""
    progress = progress_of()
    progress.maybe_update(4)
    progress.become_replicate()
    progress.inflights.add(5, 1)
    progress.log_read_low = 5
    assert progress.is_paused
    progress.become_probe()
    assert progress.log_read_low == 0
    assert len(progress.inflights) == 0
    progress.check()

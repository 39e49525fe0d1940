import pytest

from zetcd.raft.inflights import Inflights


def window(messages_max: int = 3, bytes_max: int = 100) -> Inflights:
    return Inflights(messages_max=messages_max, bytes_max=bytes_max)


def test_full_by_messages() -> None:
    """A window of three takes three messages."""
    inflights = window()
    for index in (1, 2, 3):
        assert not inflights.is_full
        inflights.add(index, 1)
    assert inflights.is_full
    with pytest.raises(AssertionError, match="full"):
        inflights.add(4, 1)


def test_full_by_bytes() -> None:
    """One message larger than the window is taken; nothing after it."""
    inflights = window()
    inflights.add(5, 500)
    assert (inflights.is_full, inflights.bytes_total) == (True, 500)
    inflights.free_le(5)
    assert (inflights.is_full, inflights.bytes_total) == (False, 0)


def test_free_le_frees_whole_messages() -> None:
    """A message is free when its last entry is."""
    inflights = window()
    inflights.add(3, 10)
    inflights.add(6, 20)
    inflights.free_le(2)
    assert len(inflights) == 2
    inflights.free_le(5)
    assert len(inflights) == 1
    assert inflights.bytes_total == 20
    inflights.check()


def test_indexes_must_ascend() -> None:
    """What was sent later ends later."""
    inflights = window()
    inflights.add(3, 1)
    with pytest.raises(AssertionError, match="ascend"):
        inflights.add(3, 1)


def test_reset() -> None:
    """Nothing is left."""
    inflights = window()
    inflights.add(3, 10)
    inflights.reset()
    assert len(inflights) == 0
    assert inflights.bytes_total == 0

import pytest

from tests.unit.raft.nodes import entries, entry
from zetcd.raft.log_tail import ENTRY_OVERHEAD_BYTES, LogTail, entries_bytes, limit_bytes


def tail_of() -> LogTail:
    return LogTail(entries(1, 1, 2, 2, first=5), next_index=9)


def test_slice() -> None:
    """Half-open, and only of what is held."""
    tail = tail_of()
    assert [one.index for one in tail.slice(6, 8)] == [6, 7]
    assert tail.slice(9, 9) == []
    with pytest.raises(AssertionError, match="held"):
        tail.slice(4, 6)


def test_append_follows() -> None:
    """A gap is a defect."""
    tail = tail_of()
    more = entries(3, first=9)
    tail.append(more, entries_bytes(more))
    assert tail.next_index == 10
    with pytest.raises(AssertionError, match="follow"):
        tail.append(entries(3, first=12), 1)
    tail.check()


def test_truncate_from() -> None:
    """Even to before what is held."""
    tail = tail_of()
    tail.truncate_from(7)
    assert tail.next_index == 7
    tail.check()
    tail.truncate_from(3)
    assert (tail.first_index, tail.next_index, tail.bytes_total) == (3, 3, 0)


def test_trim_keeps_what_it_must() -> None:
    """Nothing behind the given index goes, however large the rest."""
    tail = tail_of()
    tail.trim(0, through=6)
    assert tail.first_index == 7
    tail.check()
    tail.trim(2 * ENTRY_OVERHEAD_BYTES, through=8)
    assert tail.first_index == 7


def test_drop_before() -> None:
    """Compaction may go up to the end."""
    tail = tail_of()
    tail.drop_before(9)
    assert (tail.first_index, tail.next_index, tail.bytes_total) == (9, 9, 0)
    tail.drop_before(2)
    assert tail.first_index == 9


def test_limit_bytes_takes_at_least_one() -> None:
    """A large entry passes alone."""
    large = [entry(1, 1, b"x" * 100), entry(2, 1, b"x")]
    assert limit_bytes(large, 10) == large[:1]
    assert limit_bytes(large, 1000) == large
    assert limit_bytes([], 10) == []

import pytest

from zetcd.messages.storage import TermRun
from zetcd.raft.term_runs import TermRuns


def runs_of() -> TermRuns:
    """11..13 have term 2, 14 and 15 term 5, from 16 on term 6."""
    return TermRuns((TermRun(11, 2), TermRun(14, 5), TermRun(16, 6)))


def test_term_at() -> None:
    """Each index has the term of its run."""
    runs = runs_of()
    assert [runs.term_at(index) for index in range(11, 18)] == [2, 2, 2, 5, 5, 6, 6]
    with pytest.raises(AssertionError):
        runs.term_at(10)


def test_append_extends_or_begins_a_run() -> None:
    """Terms never decrease."""
    runs = runs_of()
    runs.append(17, 6)
    runs.append(18, 9)
    assert runs.firsts == [11, 14, 16, 18]
    with pytest.raises(AssertionError, match="decrease"):
        runs.append(19, 8)
    runs.check()


def test_truncate_from() -> None:
    """Runs that begin at or behind the index go; one that contains it stays."""
    runs = runs_of()
    runs.truncate_from(15)
    assert runs.firsts == [11, 14]
    runs.truncate_from(14)
    assert runs.firsts == [11]


def test_drop_before() -> None:
    """The first run begins where the log does."""
    runs = runs_of()
    runs.drop_before(12)
    assert runs.firsts == [12, 14, 16]
    runs.drop_before(16)
    assert runs.firsts == [16]
    runs.drop_before(3)
    assert runs.firsts == [16]
    runs.check()


def test_last_at_most() -> None:
    """Whole runs of newer terms are skipped."""
    runs = runs_of()
    assert runs.last_at_most(17, 6) == 17
    assert runs.last_at_most(17, 5) == 15
    assert runs.last_at_most(17, 4) == 13
    assert runs.last_at_most(12, 9) == 12
    assert runs.last_at_most(17, 1) == 10

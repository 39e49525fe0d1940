"""Two calls never share what they hand out."""

from zetcd.apply.output import ApplyOutput


def test_outputs_are_independent_and_start_empty() -> None:
    first, second = ApplyOutput(), ApplyOutput()
    first.compactions.append(3)
    first.counts.errors += 1
    assert second == ApplyOutput()

"""The planted bugs of `make mutants` fit the code as it is, so that the list cannot rot unnoticed."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import ROOT, Edit, Mutant, NamedTests, Seeds, StaleEdit

MUTANTS_MIN = 40


def copy_of_edited(mutant: Mutant, root: Path) -> list[Path]:
    paths = list(dict.fromkeys(edit.path for edit in mutant.edits))
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    return [root / path for path in paths]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_applies_and_is_a_program(mutant: Mutant, tmp_path: Path) -> None:
    files = copy_of_edited(mutant, tmp_path)
    before = [ast.dump(ast.parse(file.read_text())) for file in files]
    mutant.apply(tmp_path)
    after = [ast.dump(ast.parse(file.read_text())) for file in files]
    assert all(old != new for old, new in zip(before, after, strict=True)), (
        "an edit changes nothing"
    )


@pytest.mark.parametrize(
    "mutant",
    [each for each in MUTANTS if isinstance(each.caught_by, NamedTests)],
    ids=lambda m: m.name,
)
def test_every_test_that_must_catch_one_exists(mutant: Mutant) -> None:
    assert isinstance(mutant.caught_by, NamedTests)
    for name in mutant.caught_by.names:
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), path
        assert not function or re.search(rf"def {function}\b", (ROOT / path).read_text()), name


def test_names_tell_mutants_apart() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= MUTANTS_MIN
    assert sum(isinstance(mutant.caught_by, Seeds) for mutant in MUTANTS) >= MUTANTS_MIN // 2


@pytest.mark.parametrize("text", ["two two", "none"])
def test_a_stale_edit_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(text)
    with pytest.raises(StaleEdit):
        Edit("file.py", "two", "three").apply(tmp_path)

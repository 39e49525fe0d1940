"""What may be compiled (docs/decisions/0090-compiled-wheels.md); integration/test_compiled.py shows that it works."""

from __future__ import annotations

import importlib
import os
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

import zetcd
from hatch_build import chosen
from zetcd.compiled import is_compiled

ROOT = Path(__file__).parents[2]


def compiled_modules() -> set[str]:
    """Return the names of the modules that `make wheel` compiles."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    sources = chosen(ROOT, hook["compile"], hook["compile-except"])
    return {source.removesuffix(".py").replace("/", ".") for source in sources}


def classes_of_zetcd() -> Iterator[type]:
    """Yield every class that a module of zetcd defines."""
    for info in pkgutil.walk_packages(zetcd.__path__, "zetcd."):
        if info.name.endswith("__main__"):
            continue
        for each in vars(importlib.import_module(info.name)).values():
            if isinstance(each, type) and each.__module__ == info.name:
                yield each


def is_protocol(kind: type) -> bool:
    """Whether a class only describes others: such a one is interpreted in any case."""
    return bool(getattr(kind, "_is_protocol", False))


def test_no_interpreted_class_inherits_from_a_compiled_one() -> None:
    """It could be defined, and would raise TypeError when the first object of it is made."""
    compiled = compiled_modules()
    assert "zetcd.raft.raft" in compiled
    wrong = {
        (each.__module__, each.__name__, base.__name__)
        for each in classes_of_zetcd()
        if each.__module__ not in compiled
        for base in each.__mro__[1:]
        if base.__module__ in compiled and not is_protocol(base)
    }
    assert not wrong


def test_fields_of_messages_in_compiled_modules_have_plain_types() -> None:
    """mypyc keeps of annotations what is a class, and writes `type` for the rest: msgspec would decode anything."""
    compiled = compiled_modules()
    wrong = {
        (each.__module__, each.__name__, name)
        for each in classes_of_zetcd()
        if each.__module__ in compiled and issubclass(each, msgspec.Struct)
        for name in each.__annotations__
        if not isinstance(get_type_hints(each)[name], type)
    }
    assert not wrong


def test_the_modules_are_what_the_environment_says_that_they_are() -> None:
    """So that a run meant for compiled modules cannot use the sources by mistake."""
    assert is_compiled() == (os.environ.get("ZETCD_IS_COMPILED", "0") == "1")


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    (tmp_path / "b.py").touch()
    assert chosen(tmp_path, ["{a,b}.py"], ["b.py"]) == ["a.py"]
    with pytest.raises(RuntimeError, match=r"nothing matches c\.py"):
        chosen(tmp_path, ["*.py", "{a,c}.py"], [])

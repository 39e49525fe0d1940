"""Style as a test: what the tools of the trade do not check, and the tools themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from zetcd.errors import BY_NUMBER
from zetcd.messages.codec import TAGS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "zetcd"
#: Packages that decide and never wait.
CORES = (
    "raft",
    "mvcc",
    "lease",
    "watch",
    "wal",
    "auth",
    "apply",
    "divergence",
    "compactor",
    "bolt",
    "etcd_snapshot",
    "membership",
)

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800

#: Words that name nothing.
BANNED_WORDS = {"manager", "managers", "util", "utils", "helper", "helpers", "misc"}
#: In names of classes and modules, "data" says nothing either; the data directory is etcd's term.
BANNED_NOUNS = BANNED_WORDS | {"data"}

#: Core files without a test file of their own, each with the reason.
TESTED_ELSEWHERE: dict[str, str] = {}

#: Without what protoc makes.
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if not path.stem.endswith("_pb2"))
ALL_PYTHON = sorted(
    path
    for folder in ("zetcd", "tests", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts and not path.stem.endswith("_pb2")
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def is_core(path: Path) -> bool:
    return path.is_relative_to(PACKAGE) and path.relative_to(PACKAGE).parts[0] in CORES


# --- size --------------------------------------------------------------------------------------


def test_no_function_is_longer_than_its_limit() -> None:
    too_long = [
        f"{relative(path)}:{node.lineno} {node.name} has {lines} lines"
        for path in ALL_PYTHON
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not too_long, "\n".join(too_long)


def test_no_file_is_longer_than_its_limit() -> None:
    too_long = [
        f"{relative(path)} has {lines} lines"
        for path in ALL_PYTHON
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    ]
    assert not too_long, "\n".join(too_long)


# --- docstrings --------------------------------------------------------------------------------


def public_definitions(
    body: list[ast.stmt],
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node.body)


def is_row(node: ast.AST) -> bool:
    """A class whose body is ``...`` is a row of the error catalogue; its text explains it."""
    return (
        isinstance(node, ast.ClassDef)
        and len(node.body) == 1
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
        and node.body[0].value.value is ...
    )


def is_overload(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in decorators)


def test_every_module_says_what_it_is_responsible_for() -> None:
    silent = [relative(path) for path in SOURCES if not ast.get_docstring(tree_of(path))]
    assert not silent, "\n".join(silent)


def test_every_public_class_and_function_has_a_docstring() -> None:
    silent = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in public_definitions(tree_of(path).body)
        if not ast.get_docstring(node) and not is_row(node) and not is_overload(node)
    ]
    assert not silent, "\n".join(silent)


def test_every_package_opens_with_an_essay_that_is_honest() -> None:
    essays = {
        relative(path): ast.get_docstring(tree_of(path)) or ""
        for path in sorted(PACKAGE.glob("*/__init__.py"))
    }
    without = [name for name, essay in essays.items() if "Not implemented" not in essay]
    assert not without, "no 'Not implemented' in:\n" + "\n".join(without)


# --- names -------------------------------------------------------------------------------------


def words_of(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return {word for word in spaced.lower().split("_") if word}


def test_no_name_uses_a_word_that_says_nothing() -> None:
    bad = [relative(path) for path in SOURCES if words_of(path.stem) & BANNED_NOUNS]
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                banned = words_of(node.name.replace("DataDir", "")) & BANNED_NOUNS
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                banned = words_of(node.name) & BANNED_WORDS
            else:
                continue
            bad += [f"{relative(path)}:{node.lineno} {node.name}" for _ in banned]
    assert not bad, "\n".join(bad)


# --- determinism: nothing iterates over a set --------------------------------------------------


def is_set_type(annotation: ast.expr | None) -> bool:
    if annotation is None:
        return False
    return (
        re.match(r"(set|frozenset|Set|FrozenSet|AbstractSet)\b", ast.unparse(annotation))
        is not None
    )


def is_set_value(node: ast.expr | None) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("set", "frozenset")
    )


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def names_of_sets(tree: ast.Module) -> set[str]:
    """Return the variables, attributes and arguments of a module that are known to be sets."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and is_set_type(node.annotation):
            names.add(name_of(node.target))
        elif isinstance(node, ast.Assign) and is_set_value(node.value):
            names.update(name_of(target) for target in node.targets)
        elif isinstance(node, ast.arg) and is_set_type(node.annotation):
            names.add(node.arg)
    return names - {""}


def iterated(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield every expression that is gone through in its own order."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.For, ast.comprehension)):
            yield node.iter
        elif isinstance(node, ast.Starred):
            yield node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("list", "tuple", "iter", "enumerate", "map", "filter", "zip")
        ):
            yield from node.args


def set_iterations(tree: ast.Module) -> list[int]:
    """Return the lines on which a set is iterated over."""
    sets = names_of_sets(tree)
    return [node.lineno for node in iterated(tree) if is_set_value(node) or name_of(node) in sets]


def test_no_core_iterates_over_a_set() -> None:
    found = [
        f"{relative(path)}:{line}"
        for path in SOURCES
        if is_core(path)
        for line in set_iterations(tree_of(path))
    ]
    assert not found, "sort first:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "for each in {1, 2}: pass",
        "votes: set[int] = other\nfor each in votes: pass",
        "class A:\n def f(self):\n  self.x = set()\n  return [y for y in self.x]",
        "def f(x: frozenset[int]): return tuple(x)",
    ],
)
def test_the_check_for_set_iteration_sees(code: str) -> None:
    assert set_iterations(ast.parse(code))


def test_the_check_for_set_iteration_accepts_sorting() -> None:
    assert not set_iterations(ast.parse("x = {1, 2}\nfor each in sorted(x): pass\n1 in x"))


# --- registries --------------------------------------------------------------------------------


def test_every_message_tag_belongs_to_one_class() -> None:
    # A second owner of a tag already fails at import; this shows that the registry is not empty.
    assert len(TAGS) == len(set(TAGS.values()))
    assert len(TAGS) > 40


def test_every_error_number_belongs_to_one_class() -> None:
    assert len(BY_NUMBER) == len(set(BY_NUMBER.values()))
    assert all(error.number == number for number, error in BY_NUMBER.items())


def test_every_core_file_has_its_test_file() -> None:
    missing = []
    for path in SOURCES:
        if not is_core(path) or path.name == "__init__.py":
            continue
        core, name = path.relative_to(PACKAGE).parts[0], path.stem
        own = ROOT / "tests" / "unit" / core / f"test_{name}.py"
        if not own.exists() and relative(path) not in TESTED_ELSEWHERE:
            missing.append(f"{relative(path)} needs {relative(own)}")
    assert not missing, "\n".join(missing)


def test_the_list_of_files_tested_elsewhere_is_not_stale() -> None:
    stale = [name for name in TESTED_ELSEWHERE if not (ROOT / name).exists()]
    assert not stale


# --- the repository as a whole -----------------------------------------------------------------

#: Paths of somebody's machine, and the ends of package registries.
FOREIGN = re.compile(r"(?<![\w.])/(?:work|home/\w+|root|Users/\w+)/|index-url|files\.pythonhosted")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".lock", ".yaml", ".yml", ".json", ".cfg", ""}


def text_files() -> Iterator[Path]:
    folders = [ROOT / name for name in ("zetcd", "tests", "bench", "docs", "examples", ".ci")]
    for folder in folders:
        yield from (
            path for path in folder.rglob("*") if path.suffix in TEXT_SUFFIXES and path.is_file()
        )
    yield from (path for path in ROOT.iterdir() if path.suffix in TEXT_SUFFIXES and path.is_file())


def test_no_file_names_a_path_of_one_machine() -> None:
    # The Makefile passes an option of the package tool, this file holds the pattern, and a work tree
    # beside the repository has a file that points to it.
    exempt = {Path(__file__), ROOT / "Makefile", ROOT / ".git"}
    found = [
        f"{relative(path)}:{number}"
        for path in sorted(text_files())
        if path not in exempt
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert not found, "\n".join(found)


# --- the tools ---------------------------------------------------------------------------------

CODE = [folder for folder in ("zetcd", "tests", "bench") if any((ROOT / folder).rglob("*.py"))]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", *CODE], id="ruff-check"),
        pytest.param(["ruff", "format", "--check", *CODE], id="ruff-format"),
        pytest.param(["mypy", *CODE], id="mypy"),
        pytest.param(["lint-imports", "--no-cache"], id="lint-imports"),
    ],
)
def test_tool_has_nothing_to_say(command: list[str]) -> None:
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]

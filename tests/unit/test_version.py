"""Versions of etcd are said in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from zetcd import version
from zetcd.version import API_MINOR, API_VERSION, CLUSTER_VERSION, STORAGE_VERSION, minor_of

PACKAGE = Path(version.__file__).parent
#: A text that is one of them, and nothing else.
VERSION = re.compile(r"3\.\d+(\.\d+)?")


def test_no_other_file_says_a_version_of_etcd() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value!r}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "version.py" and not path.stem.endswith("_pb2")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and VERSION.fullmatch(node.value)
    ]
    assert found == []


def test_versions_of_api_cluster_and_store_are_those_of_one_etcd() -> None:
    assert (API_VERSION, API_MINOR) == ("3.6.14", "3.6")
    assert (CLUSTER_VERSION, STORAGE_VERSION) == ("3.6.0", "3.6.0")
    assert minor_of(API_VERSION) == minor_of(CLUSTER_VERSION)


@pytest.mark.parametrize("text", ["", "3.6", "3.6.x", "3.6.0.1", "v3.6.0", "3.6.\u0661", "3..1"])
def test_what_is_no_version_has_no_minor(text: str) -> None:
    assert minor_of(text) is None

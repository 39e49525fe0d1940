"""Responsible for knowing whether this zetcd is a compiled one: a wheel of `make wheel`."""

from __future__ import annotations

from importlib.util import find_spec


def is_compiled() -> bool:
    """Return whether the busiest modules are machine code; they all are, or none is."""
    found = find_spec("zetcd.raft.raft")
    assert found is not None
    assert found.origin is not None
    return not found.origin.endswith(".py")


def kind_of_modules() -> str:
    """Return what the busiest modules are, for people."""
    return "compiled" if is_compiled() else "interpreted"

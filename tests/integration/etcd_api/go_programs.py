"""Programs of Go, built once, or the reason why a test cannot have one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers.build import BuildUnavailable, build_program


def program(name: str) -> Path:
    """Return a program of `bench.peers.build`; the test is skipped where it cannot be built."""
    try:
        return build_program(name)
    except BuildUnavailable as error:
        pytest.skip(f"{name} cannot be built: {error}")

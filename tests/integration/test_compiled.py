"""The compiled wheel is made, and does what the sources do: their tests, on real clusters too, run on it."""

from __future__ import annotations

import faulthandler
import os
import shutil
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests.bounded import run_bounded

ROOT = Path(__file__).parents[2]
#: Two minutes to compile on two slow cores, two for the tests, and twice that for bad days.
TIMEOUT_SECONDS = 900


def can_compile() -> bool:
    """Whether there is a C compiler, and what it needs of Python."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    return header.exists() and shutil.which("cc") is not None


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS + 60)
def test_the_tests_of_what_is_compiled_pass_on_the_compiled_wheel() -> None:
    can_install = os.getuid() == 0 and shutil.which("apt-get") is not None
    if not (can_compile() or can_install):
        pytest.skip("there is no C compiler, or no headers of Python, and none can be installed")
    # It takes longer than what else would be taken for a hang.
    faulthandler.cancel_dump_traceback_later()
    # Not within this test's own directory: paths of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix="zetcd-") as directory:
        options = f"PYTEST=-q -p no:cacheprovider --basetemp={directory}/inner"
        code, said = run_bounded(["make", "test-compiled", options], ROOT, TIMEOUT_SECONDS)
    if code != 0 and not can_compile():
        pytest.skip(f"a C compiler cannot be had here: {said[-300:]}")
    assert code == 0, said[-10_000:]
    assert " passed" in said

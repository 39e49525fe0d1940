"""The compiled wheel is made, and does what the sources do: their tests, on real clusters too, run on it."""

from __future__ import annotations

import faulthandler
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Two minutes to compile on two slow cores, two for the tests, and twice that for bad days.
TIMEOUT_SECONDS = 900


def can_compile() -> bool:
    """Whether there is a C compiler, and what it needs of Python."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    return header.exists() and shutil.which("cc") is not None


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_the_tests_of_what_is_compiled_pass_on_the_compiled_wheel(tmp_path: Path) -> None:
    can_install = os.getuid() == 0 and shutil.which("apt-get") is not None
    if not (can_compile() or can_install):
        pytest.skip("there is no C compiler, or no headers of Python, and none can be installed")
    # It takes longer than what else would be taken for a hang.
    faulthandler.cancel_dump_traceback_later()
    options = f"PYTEST=-q -p no:cacheprovider --basetemp={tmp_path / 'inner'}"
    done = subprocess.run(
        ["make", "test-compiled", options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    if done.returncode and not can_compile():
        pytest.skip(f"a C compiler cannot be had here: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout

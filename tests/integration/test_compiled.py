"""The compiled wheel is made, and does what the sources do: their tests, on real clusters too, run on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Two minutes to compile on two slow cores, two for the tests, and twice that for bad days.
TIMEOUT_SECONDS = 900


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_the_tests_of_what_is_compiled_pass_on_the_compiled_wheel(tmp_path: Path) -> None:
    has_headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    can_install = os.getuid() == 0 and shutil.which("apt-get") is not None
    if not can_install and not (has_headers and shutil.which("cc")):
        pytest.skip("there is no C compiler, or no headers of Python, and none can be installed")
    options = f"PYTEST=-q -p no:cacheprovider --basetemp={tmp_path / 'inner'}"
    done = subprocess.run(
        ["make", "test-compiled", options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout

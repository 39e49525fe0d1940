"""Responsible for row 9: clocks that jump, with libfaketime."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.robustness.arena import ArenaSetting
from tests.robustness.faults.fault import Fault, Stage

#: Where Debian and Fedora put the library.
_LIBRARIES: Final = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1")
_JUMPED_SECONDS: Final = 2.5


def _library() -> str:
    found = [str(path) for pattern in _LIBRARIES for path in Path("/").glob(pattern[1:])]
    return found[0] if found else ""


class ClockJump(Fault):
    """The clock of every member jumps, forth and back, or every second anew."""

    row = 9

    def __init__(self, what: str, offsets: tuple[str, ...], *, is_monotonic_too: bool) -> None:
        """``offsets`` are those of libfaketime, one after the other."""
        kind = "both clocks" if is_monotonic_too else "wall clock"
        self.name = f"{kind}: {what}"
        self._offsets = offsets
        self._is_monotonic_too = is_monotonic_too
        if is_monotonic_too:
            # Time-to-live is measured with the clock that jumps: no kernel has such a one.
            self.exempt = ("leases",)
        self._file = Path()

    def missing(self) -> str:
        return "" if _library() else "libfaketime is not installed"

    def setting(self, directory: Path) -> ArenaSetting:
        self._file = directory / "clock"
        self._set("+0")
        environment = {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # Shared memory of a parent would be inherited by forks and never freed.
            "FAKETIME_DISABLE_SHM": "1",
        }
        if not self._is_monotonic_too:
            environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
        return ArenaSetting(environment=environment)

    def _set(self, offset: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.rename(self._file)

    def inject(self, stage: Stage) -> None:
        term = stage.arena.highest_term()
        for offset in self._offsets:
            self._set(offset)
            stage.strikes += 1
            stage.hold(_JUMPED_SECONDS if len(self._offsets) < 5 else 1.0)
        elections = stage.arena.highest_term() - term
        if not self._is_monotonic_too:
            stage.expect(elections == 0, f"{elections} elections by jumps of the wall clock")

    def heal(self, stage: Stage) -> None:
        self._set("+0")

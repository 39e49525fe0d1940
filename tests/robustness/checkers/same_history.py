"""Responsible for members being equal: their hashes of the history up to one revision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zetcd.scalars import Revision


def check_hashes(hashes: Mapping[str, int | None], revision: Revision) -> Iterator[str]:
    """Yield if members differ, or if one did not answer: no comparison is no agreement."""
    silent = sorted(name for name, value in hashes.items() if value is None)
    if silent:
        yield f"no hash of revision {revision} from {', '.join(silent)}"
    known = {name: value for name, value in hashes.items() if value is not None}
    if len(set(known.values())) > 1:
        shown = ", ".join(f"{name}: {value:08x}" for name, value in sorted(known.items()))
        yield f"members differ at revision {revision}: {shown}"

"""Responsible for the version of the etcd API that is served, which clients and joining members decide by."""

from __future__ import annotations

from typing import Final

#: Clients decide by it what they may use.
API_VERSION: Final = "3.6.14"


def minor_of(version: str) -> tuple[int, int] | None:
    """Return the first two numbers of ``major.minor.patch``; None: it is no version."""
    parts = version.split(".")
    if len(parts) != 3 or not all(each.isascii() and each.isdigit() for each in parts):
        return None
    return int(parts[0]), int(parts[1])

"""Responsible for revisions: for one client at one member they never decrease."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from tests.robustness.history import Operation
from zetcd.scalars import Revision


def check_monotonic(
    operations: Sequence[Operation], forgetful: Container[str] = ()
) -> Iterator[str]:
    """Yield every answer that went back behind an earlier one.

    A client asks one thing at a time, so its operations follow each other. A member in ``forgetful``
    has lost power: its serializable reads may begin again further back, as they promise no more than
    some state of the past.
    """
    last: dict[tuple[int, str, bool], Revision] = {}
    for operation in operations:
        if not operation.is_ok or not (operation.is_read or operation.is_mutation):
            continue
        if operation.is_serializable and operation.member in forgetful:
            continue
        who = (operation.client, operation.member, operation.is_serializable)
        revision = operation.revision
        if revision < last.get(who, 0):
            yield (
                f"client {operation.client} was at revision {last[who]} of {operation.member}, "
                f"and then at {revision}: {operation.request}"
            )
        last[who] = max(last.get(who, 0), revision)
        if operation.is_serializable:
            continue
        # What a member confirmed or read from a quorum, it has itself: it cannot go behind it.
        local = (operation.client, operation.member, True)
        last[local] = max(last.get(local, 0), revision)

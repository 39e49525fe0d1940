"""Responsible for noticing that certificates were renewed while a process runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

import structlog

from zetcd.runtime.tls import WatchedFiles

T = TypeVar("T")

#: How often files of certificates are looked at.
RENEWAL_INTERVAL_SECONDS: Final = 1.0


async def renewals(files: WatchedFiles, read: Callable[[], T]) -> AsyncIterator[T]:
    """Yield what ``read`` makes of the files, each time they have changed and can be used."""
    log = structlog.get_logger()
    while True:
        await asyncio.sleep(RENEWAL_INTERVAL_SECONDS)
        if not files.have_changed():
            continue
        try:
            found = read()
        except (OSError, ValueError) as error:
            # Half of them is written: the next change brings the rest.
            log.warning("certificates cannot be used, the old ones stay", error=str(error))
            continue
        yield found
        log.info("certificates were read again", files=files.paths)

"""Responsible for what ``grpc_server_*`` reports of one method: counts, and how long calls take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from zetcd.errors import Code
from zetcd.metrics import Histogram


class HandlingTimes:
    """Seconds from the headers of calls to their ends; only where ``metrics = "extensive"``."""

    __slots__ = ("clock", "histogram")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without calls; ``clock`` returns monotonic seconds."""
        self.clock = clock
        self.histogram = Histogram.of("grpc_server_handling_seconds")


@dataclass(slots=True, eq=False)
class MethodFigures:
    """What is counted of a method; written by the transports only."""

    started: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    #: Ended calls by status code.
    handled: list[int] = field(default_factory=lambda: [0] * len(Code))
    #: None: times are not measured.
    times: HandlingTimes | None = None

    def begin(self) -> float:
        """Count a call that begins; returns what its `end` must be given."""
        self.started += 1
        return 0.0 if self.times is None else self.times.clock()

    def end(self, code: Code, began_at: float) -> None:
        """Count the end of a call."""
        self.handled[code] += 1
        if self.times is not None:
            self.times.histogram.observe(self.times.clock() - began_at)

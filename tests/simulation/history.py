"""Responsible for what the clients did and saw: the input of the linearizability check."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from zetcd.messages.base import Message
from zetcd.messages.kv import RangeResponse
from zetcd.messages.node import Proposal


class Outcome(Enum):
    """How an operation ended for its client."""

    PENDING = "pending"
    OK = "ok"
    #: Not done, and it never will be.
    REFUSED = "refused"
    #: No answer: it may have happened, may happen later, or never.
    UNKNOWN = "unknown"


@dataclass(slots=True, eq=False)
class Operation:
    """A batch of mutations, or a linearizable read of all keys."""

    client: int
    node: str
    #: World steps; what returned before another was invoked must come before it.
    invoked: int
    #: Empty: a read.
    requests: tuple[Proposal, ...] = ()
    returned: int | None = None
    outcome: Outcome = Outcome.PENDING
    #: One per request.
    responses: tuple[Message, ...] = ()
    read: RangeResponse | None = None


@dataclass(slots=True)
class History:
    """Every operation, in the order of invocation."""

    operations: list[Operation] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how many operations had which outcome."""
        return {
            each.value: sum(operation.outcome is each for operation in self.operations)
            for each in Outcome
        }

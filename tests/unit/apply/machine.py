"""An applier over the memory backend, with requests in and decoded answers out."""

from __future__ import annotations

from zetcd.apply import Applier, ApplierOptions, ApplyOutput, Identity, initialise
from zetcd.lease import Lessor, LessorOptions
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody, UnaryResponse
from zetcd.messages.cluster import Member
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.node import ActorRole, Origin, Proposal, ProposalBatch
from zetcd.messages.raft import ConfChange, EntryType, LogEntry
from zetcd.mvcc.backend import Backend
from zetcd.runtime.memory_backend import MemoryBackend

NODE_ID = 1
OTHER_NODE_ID = 2
MEMBERS = (Member(1, "one"), Member(2, "two"), Member(3, "three", is_learner=True))
_RESPONSES = UnionDecoder(UnaryResponse | ErrorBody)


class Machine:
    """Applies one entry per call."""

    def __init__(self, backend: Backend | None = None) -> None:
        self.backend: Backend = backend or MemoryBackend()
        self.options = LessorOptions(ttl_seconds_min=2, checkpoint_interval_seconds=100.0)
        initialise(self.backend, Identity(9, NODE_ID), MEMBERS)
        self.index = 0
        self.term = 1
        self.now = 0.0
        self.output = ApplyOutput()
        self.restart()

    def restart(self) -> None:
        self.applier = Applier(self.backend, Lessor(self.options), ApplierOptions(NODE_ID))

    @property
    def lessor(self) -> Lessor:
        return self.applier.lessor

    def entry(self, *requests: Proposal, node: int = NODE_ID) -> LogEntry:
        """Return the next entry of the log."""
        self.index += 1
        origin = Origin(node, ActorRole.GATEWAY, 0, 1)
        data = encode(ProposalBatch(origin, self.index, requests))
        return LogEntry(EntryType.NORMAL, self.term, self.index, data)

    def change(self, change: ConfChange) -> LogEntry:
        """Return the next entry, a membership change."""
        self.index += 1
        return LogEntry(EntryType.CONF_CHANGE, self.term, self.index, encode(change))

    def apply(self, *entries: LogEntry) -> ApplyOutput:
        self.output = self.applier.apply_entries(entries, self.now)
        self.applier.check()
        return self.output

    def ask(self, *requests: Proposal) -> list[Message]:
        """Apply one batch; return its decoded answers."""
        output = self.apply(self.entry(*requests))
        [due] = output.results
        return [_RESPONSES.decode(bytes(body)) for body in due.results.bodies]

    def ask_one(self, request: Proposal) -> Message:
        [answer] = self.ask(request)
        return answer

"""What the two stores are asked: single calls, streams of keep-alives, and whole dialogues of watches."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.message import Message

from tests.integration.etcd_api.stubs import Metadata
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

#: Leases whose ids the stores choose: each has its own id, a request names it as this plus a number.
CHOSEN_LEASES = 1 << 40


@dataclass(frozen=True)
class Call:
    """One request, one answer."""

    method: str
    request: Message
    metadata: Metadata = ()

    @property
    def requests(self) -> int:
        """Return how many requests it counts for."""
        return 1


@dataclass(frozen=True)
class RawCall:
    """Octets that may be no message, sent to a path that may not exist."""

    path: str
    octets: bytes

    requests = 1


@dataclass(frozen=True)
class KeepAlives:
    """Keep-alives of one stream, answered in order."""

    leases: tuple[int, ...]

    @property
    def requests(self) -> int:
        """Return how many requests it counts for."""
        return len(self.leases)


@dataclass(frozen=True)
class SnapshotCall:
    """A whole snapshot; only its form can be compared."""

    requests = 1


@dataclass(frozen=True)
class Create:
    """Create a watcher and wait for what its creation is answered with."""

    request: pb.WatchCreateRequest
    #: Wait for the cancellation that must follow, because the revision is compacted.
    is_cancelled: bool = False


@dataclass(frozen=True)
class Cancel:
    """Cancel a watcher and wait for the confirmation."""

    watch_id: int


@dataclass(frozen=True)
class Ignored:
    """A request that is answered with nothing."""

    request: pb.WatchRequest


@dataclass(frozen=True)
class Barrier:
    """Ask for progress until it is answered: then every event has arrived."""


@dataclass(frozen=True)
class Dialogue:
    """What happens on one watch stream, with writes by calls in between."""

    actions: tuple[Create | Cancel | Ignored | Barrier | Call, ...] = ()
    metadata: Metadata = field(default=())

    @property
    def requests(self) -> int:
        """Return how many requests it counts for."""
        return len(self.actions)


Step = Call | RawCall | KeepAlives | SnapshotCall | Dialogue

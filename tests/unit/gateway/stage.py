"""A gateway core with a store in memory, and a neighbourhood that answers when told to."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import msgspec

from zetcd.apply import Applier, ApplierOptions
from zetcd.apply.tables import Identity, initialise
from zetcd.config.sections import GatewayConfig
from zetcd.gateway.company import GATHER_SECONDS
from zetcd.gateway.native.gateway import GatewayReady, NativeGateway
from zetcd.gateway.options import GatewayOptions
from zetcd.lease import Lessor
from zetcd.messages.base import Message
from zetcd.messages.client import (
    HEADER_BYTES,
    ClientHello,
    ErrorBody,
    FrameHeader,
    FrameType,
    GoAway,
    UnaryResponse,
    Welcome,
    pack_frame,
    unpack_header,
)
from zetcd.messages.cluster import Member
from zetcd.messages.codec import UnionDecoder, decoder_of, encode
from zetcd.messages.node import (
    ActorRole,
    ApplyReached,
    ApplyWait,
    Defragment,
    LeaderAnswer,
    LeaderInfo,
    LeaderRequest,
    MemberTable,
    Origin,
    Propose,
    RaftStatusRequest,
    ReadIndex,
    ReadIndexResult,
    Role,
    SnapshotRead,
    TransferLeader,
    WatchForward,
    WatchRegister,
    WatchSessionClosed,
)
from zetcd.messages.raft import EntryType, LogEntry
from zetcd.messages.watch import WatchResponse
from zetcd.runtime.memory_backend import MemoryBackend

NODE = 0x1234
TERM = 5
MEMBERS = (
    Member(NODE, "node0", ("tcp://127.0.0.1:1",), (), native_urls=("tcp://127.0.0.1:2",)),
    Member(NODE + 1, "node1", ("tcp://127.0.0.1:3",)),
    Member(NODE + 2, "node2", ("tcp://127.0.0.1:4",), is_learner=True),
)
_decode_response = UnionDecoder(UnaryResponse).decode
_BODIES = {
    FrameType.WELCOME: decoder_of(Welcome).decode,
    FrameType.ERR: decoder_of(ErrorBody).decode,
    FrameType.GOAWAY: decoder_of(GoAway).decode,
    FrameType.WATCH: decoder_of(WatchResponse).decode,
    FrameType.RES: _decode_response,
    FrameType.PARTIAL: _decode_response,
}


def client_id(number: int) -> bytes:
    """Return a routing id as a ROUTER assigns it."""
    return b"\0" + number.to_bytes(4, "big")


ALICE, BOB = client_id(1), client_id(2)


def options_of(**limits: object) -> GatewayOptions:
    return GatewayOptions(
        cluster_id=77,
        node_id=NODE,
        member_name="node0",
        server_version="0.1.0",
        instance=0,
        incarnation=9,
        limits=replace(GatewayConfig(), **limits),  # type: ignore[arg-type]
        request_bytes_max=100_000,
        txn_ops_max=128,
        quota_bytes=0,
        request_timeout_seconds=7.0,
        wall_seconds=lambda: 1_700_000_000,
    )


class Stage:
    """Drives one gateway core; `check` runs after every step."""

    def __init__(self, options: GatewayOptions | None = None, *, has_leader: bool = True) -> None:
        self.options = options or options_of()
        self.now = 100.0
        self.backend = MemoryBackend()
        initialise(self.backend, Identity(77, NODE), MEMBERS)
        self.applier = Applier(self.backend, Lessor(), ApplierOptions(NODE))
        self.gateway = NativeGateway(self.options, self.now)
        self.gateway.set_backend(self.backend)
        self.sent: dict[bytes, list[bytes]] = defaultdict(list)
        self.to_raft: list[Message] = []
        self.to_apply: list[ApplyWait] = []
        self.defragments: list[Defragment] = []
        self.snapshot_reads: list[SnapshotRead] = []
        self.to_watch: list[WatchForward | WatchRegister | WatchSessionClosed] = []
        self.next_request_id = 0
        self.index = 0
        self.step_node(MemberTable(MEMBERS))
        if has_leader:
            self.step_node(LeaderInfo(TERM, NODE, Role.LEADER))
        self.turn()

    # --- the clock and the loop -------------------------------------------------------------------

    def turn(self, seconds: float = 0.0) -> GatewayReady:
        self.now += seconds
        ready = self.gateway.ready(self.now)
        self.gateway.check()
        for routing_id, frame in ready.frames:
            self.sent[routing_id].append(frame)
        self.to_raft.extend(ready.to_raft)
        self.to_apply.extend(each for each in ready.to_apply if isinstance(each, ApplyWait))
        self.snapshot_reads.extend(
            each for each in ready.to_apply if isinstance(each, SnapshotRead)
        )
        self.defragments.extend(each for each in ready.to_apply if isinstance(each, Defragment))
        self.to_watch.extend(ready.to_watch)
        return ready

    def step_node(self, message: Message) -> None:
        # As a mailbox would hand it over: decoded from bytes.
        kind = type(message)
        self.gateway.step_node(decoder_of(kind).decode(encode(message)), self.now)
        self.gateway.check()

    # --- clients ----------------------------------------------------------------------------------

    def frame(self, routing_id: bytes, frame: bytes | None) -> None:
        self.gateway.step_client(routing_id, frame, self.now)
        self.gateway.check()

    def hello(self, routing_id: bytes = ALICE, hello: ClientHello | None = None) -> Welcome:
        self.frame(routing_id, pack_frame(FrameType.HELLO, 0, encode(hello or ClientHello())))
        self.turn()
        header, body = self.received(routing_id)[-1]
        assert header.type == FrameType.WELCOME, body
        assert isinstance(body, Welcome)
        return body

    def request(self, message: Message, routing_id: bytes = ALICE, deadline_ms: int = 0) -> int:
        self.next_request_id += 1
        request_id = self.next_request_id
        frame = pack_frame(FrameType.REQ, request_id, encode(message), deadline_ms)
        self.frame(routing_id, frame)
        return request_id

    def request_and_turn(self, message: Message) -> int:
        request_id = self.request(message)
        self.turn()
        return request_id

    def raw_request(self, body: bytes, routing_id: bytes = ALICE) -> int:
        self.next_request_id += 1
        self.frame(routing_id, pack_frame(FrameType.REQ, self.next_request_id, body))
        return self.next_request_id

    def received(self, routing_id: bytes = ALICE) -> list[tuple[FrameHeader, object]]:
        """Return and forget what a client was sent, decoded as it would."""
        frames = self.sent.pop(routing_id, [])
        return [decoded(frame) for frame in frames]

    def answer(self, request_id: int, routing_id: bytes = ALICE) -> object:
        """Return the one final answer to a request; other frames stay."""
        frames = self.sent[routing_id]
        for position, frame in enumerate(frames):
            header = unpack_header(frame)
            if header.request_id == request_id and header.type in {FrameType.RES, FrameType.ERR}:
                del frames[position]
                return decoded(frame)[1]
        raise AssertionError(f"no answer to {request_id}")

    def has_answer(self, request_id: int, routing_id: bytes = ALICE) -> bool:
        return any(
            unpack_header(frame).request_id == request_id
            and frame[2] in {FrameType.RES, FrameType.ERR}
            for frame in self.sent[routing_id]
        )

    def error(self, request_id: int, routing_id: bytes = ALICE) -> ErrorBody:
        body = self.answer(request_id, routing_id)
        assert isinstance(body, ErrorBody), body
        return body

    # --- the node ---------------------------------------------------------------------------------

    def taken(self, kind: type[Message]) -> list[Message]:
        """Return and forget what raft was sent of one kind."""
        found = [message for message in self.to_raft if type(message) is kind]
        self.to_raft = [message for message in self.to_raft if type(message) is not kind]
        return found

    def proposals(self) -> list[Propose]:
        return [each for each in self.taken(Propose) if isinstance(each, Propose)]

    def commit(self, *proposals: Propose) -> None:
        """Apply proposals (default: everything proposed) and send the results."""
        for proposal in proposals or self.proposals():
            self.index += 1
            entry = LogEntry(EntryType.NORMAL, TERM, self.index, proposal.data)
            output = self.applier.apply_entries([entry], self.now)
            for due in output.results:
                self.step_node(due.results)

    def confirm_reads(self, error: int = 0) -> int:
        """Answer every read round with what is applied; returns how many there were."""
        reads = self.taken(ReadIndex)
        for read in reads:
            assert isinstance(read, ReadIndex)
            self.step_node(ReadIndexResult(read.request_id, self.index, error))
        return len(reads)

    def reach(self) -> None:
        """Answer everybody who waits for apply."""
        for wait in self.to_apply:
            self.step_node(ApplyReached(max(wait.index, self.index)))
        self.to_apply = []

    def settle(self) -> None:
        """Let the node answer until nothing is left to do."""
        for _ in range(20):
            self.turn(GATHER_SECONDS / 4)
            self.commit()
            self.confirm_reads()
            self.reach()
        self.turn()

    def do(self, message: Message, routing_id: bytes = ALICE) -> object:
        """Send a request, let the node work, return the answer."""
        request_id = self.request(message, routing_id)
        self.settle()
        return self.answer(request_id, routing_id)

    def questions(self) -> list[LeaderRequest]:
        return [each for each in self.taken(LeaderRequest) if isinstance(each, LeaderRequest)]

    def answer_questions(self, request: LeaderRequest, *bodies: Message, error: int = 0) -> None:
        origin = Origin(NODE, ActorRole.GATEWAY, 0, 9)
        body = b"" if error else encode(tuple(msgspec.Raw(encode(each)) for each in bodies))
        self.step_node(LeaderAnswer(origin, request.request_id, body, error))


def decoded(frame: bytes) -> tuple[FrameHeader, object]:
    header = unpack_header(frame)
    body = frame[HEADER_BYTES:]
    decode = _BODIES.get(FrameType(header.type))
    return header, decode(body) if decode is not None else body


__all__ = [
    "ALICE",
    "BOB",
    "MEMBERS",
    "NODE",
    "TERM",
    "RaftStatusRequest",
    "Stage",
    "TransferLeader",
    "client_id",
    "decoded",
    "options_of",
]

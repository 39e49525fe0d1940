"""Three nodes in one thread: real raft, wal and apply actors over mailboxes, disks and links in memory.

Supervisor, watch and one gateway of each node are played by the test. LMDB is real, in a temporary
directory. Time moves only when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeVar

import zmq

from zetcd.actors import apply_actor
from zetcd.actors.actor import APPLY, RAFT, SUPERVISOR, WAL, WATCH, Actor
from zetcd.actors.entry import ActorSetting
from zetcd.actors.raft_actor import RaftActor
from zetcd.actors.wal_actor import WalActor, founding_append
from zetcd.config import Config, parse_config
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody, UnaryResponse
from zetcd.messages.codec import UnionDecoder, decoder_of, encode
from zetcd.messages.kv import PutRequest, PutResponse
from zetcd.messages.node import (
    ActorReport,
    ActorRole,
    ApplyReached,
    ApplyResults,
    ChangeMemberRefused,
    Drained,
    EventBatch,
    Hello,
    LeaderInfo,
    MemberChanged,
    MemberTable,
    Origin,
    Proposal,
    ProposalBatch,
    Propose,
    ProposeRefused,
    RaftStatus,
    RaftStatusRequest,
    ReadIndexResult,
    Role,
    Shutdown,
)
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.log_storage import LogOptions, open_log
from zetcd.runtime.mailbox import Address, MemoryMailbox, MemoryPost, Received
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.runtime.memory_peer_links import MemoryNetwork, MemoryPeerLinks, MemoryPeerSender

GATEWAY = Address(ActorRole.GATEWAY, 0)
TICK_SECONDS = 0.02
_Everything = (
    Hello
    | ActorReport
    | Drained
    | LeaderInfo
    | MemberTable
    | ApplyResults
    | ApplyReached
    | ProposeRefused
    | ReadIndexResult
    | RaftStatus
    | EventBatch
    | ChangeMemberRefused
    | MemberChanged
)
_ANSWERS = UnionDecoder(UnaryResponse | ErrorBody)
decode_batch = decoder_of(ProposalBatch).decode

M = TypeVar("M", bound=Message)


class Neighbour:
    """A mailbox that the test holds in the place of an actor; notes everything it is sent."""

    def __init__(self, post: MemoryPost, address: Address, incarnation: int) -> None:
        self.mailbox = MemoryMailbox(post, address, incarnation)
        self.received: list[Received] = []

    def collect(self) -> int:
        fresh = self.mailbox.receive(10_000)
        self.received += fresh
        return len(fresh)

    def of(self, kind: type[M]) -> list[M]:
        """Every message of one kind so far."""
        return [each.message for each in self.received if isinstance(each.message, kind)]


class MemoryNode:
    """One node; its actors can be killed and started one by one."""

    def __init__(self, cluster: MemoryCluster, config: Config, seed: int) -> None:
        self.cluster = cluster
        self.config = config
        self.id = config.member_id()
        self.rng = Random(seed)
        self.post = MemoryPost(UnionDecoder(_Everything))
        self.disk = MemoryFileSystem()
        self.last_incarnation = 0
        self.last_batch_id = 0
        self.actors: dict[Address, Actor] = {}
        self.supervisor, self.watch, self.gateway = (
            Neighbour(self.post, each, self.next_incarnation())
            for each in (SUPERVISOR, WATCH, GATEWAY)
        )

    def next_incarnation(self) -> int:
        self.last_incarnation += 1
        return self.last_incarnation

    # --- life and death -----------------------------------------------------------------------

    def start(self, *addresses: Address) -> None:
        """Start actors, all three if none is named."""
        for address in addresses or (WAL, APPLY, RAFT):
            mailbox = MemoryMailbox(self.post, address, self.next_incarnation())
            setting = ActorSetting(self.config, self.cluster.clock, mailbox, self.cluster.context)
            self.actors[address] = self._build(address, setting)
            for other in (RAFT, WAL, APPLY, SUPERVISOR, WATCH, GATEWAY):
                if other in _NEIGHBOURS[address]:
                    mailbox.greet(other)

    def _build(self, address: Address, setting: ActorSetting) -> Actor:
        if address == RAFT:
            return RaftActor(setting, MemoryPeerLinks(self.cluster.network, self.id), self.rng)
        if address == APPLY:
            return apply_actor.build(setting)[0]
        options = LogOptions(
            cluster_id=self.config.cluster_id(), member_id=self.id, segment_bytes=1 << 18
        )
        storage = open_log(self.disk, "/wal", options)
        if storage.is_pristine:
            storage.append([founding_append(self.config)])
        sender = MemoryPeerSender(self.cluster.network, self.id)
        return WalActor(
            setting.mailbox,
            setting.clock,
            storage,
            self.config.wal,
            node_id=self.id,
            sender=sender,
        )

    def kill(self, *addresses: Address, is_power_loss: bool = False) -> None:
        """End actors without a word, all of them if none is named."""
        for address in addresses or tuple(self.actors):
            actor = self.actors.pop(address)
            if address == WAL:
                self.disk = (
                    self.disk.crash(lambda _path, _page: False)
                    if is_power_loss
                    else self.disk.process_crash()
                )
            actor.close()
            self.post.remove(address)

    def turn(self) -> bool:
        """Do one turn of each actor that has something to do; return whether any had."""
        now = self.cluster.clock.now()
        has_worked = False
        for address, actor in list(self.actors.items()):
            mailbox = actor.mailbox
            assert isinstance(mailbox, MemoryMailbox)
            is_due = bool(mailbox.inbox) or actor.wait_seconds(now) <= 0.0
            if address == RAFT:
                is_due = is_due or bool(self.links.arrived)
            if actor.is_running and is_due:
                actor.turn()
                has_worked = True
        for neighbour in (self.supervisor, self.watch, self.gateway):
            has_worked = neighbour.collect() > 0 or has_worked
        return has_worked

    # --- what the gateway says and hears ------------------------------------------------------

    @property
    def links(self) -> MemoryPeerLinks:
        links = self.raft._links
        assert isinstance(links, MemoryPeerLinks)
        return links

    @property
    def raft(self) -> RaftActor:
        actor = self.actors[RAFT]
        assert isinstance(actor, RaftActor)
        return actor

    @property
    def info(self) -> LeaderInfo:
        """What the gateway was told last."""
        return self.gateway.of(LeaderInfo)[-1]

    @property
    def is_leader(self) -> bool:
        return RAFT in self.actors and self.info.role is Role.LEADER

    def tell(self, to: Address, message: Message, *, sender: Neighbour | None = None) -> bool:
        return (sender or self.gateway).mailbox.send(to, message)

    def propose(self, *requests: Proposal, incarnation: int = 0) -> int:
        """Propose one batch as the gateway; return its id."""
        self.last_batch_id += 1
        mailbox = self.gateway.mailbox
        origin = Origin(self.id, GATEWAY.role, 0, incarnation or mailbox.incarnation)
        batch = ProposalBatch(origin, self.last_batch_id, requests)
        assert mailbox.send(RAFT, Propose(self.last_batch_id, encode(batch)))
        return self.last_batch_id

    def answers(self, batch_id: int) -> list[UnaryResponse | ErrorBody]:
        """The decoded results of a batch; it must have been answered exactly once."""
        (results,) = [each for each in self.gateway.of(ApplyResults) if each.batch_id == batch_id]
        return [_ANSWERS.decode(bytes(body)) for body in results.bodies]

    def is_answered(self, batch_id: int) -> bool:
        return any(each.batch_id == batch_id for each in self.gateway.of(ApplyResults))

    def put(self, key: bytes, value: bytes = b"") -> PutResponse:
        """Put as a client of this node and wait for the answer."""
        batch_id = self.propose(PutRequest(key, value))
        self.cluster.settle()
        (answer,) = self.answers(batch_id)
        assert isinstance(answer, PutResponse)
        return answer

    def restart_gateway(self) -> None:
        self.gateway = Neighbour(self.post, GATEWAY, self.next_incarnation())
        for each in (RAFT, APPLY):
            self.gateway.mailbox.greet(each)

    def status(self) -> RaftStatus:
        """What raft answers when asked; costs no time."""
        self.tell(RAFT, RaftStatusRequest(7))
        self.cluster.settle()
        return self.gateway.of(RaftStatus)[-1]

    def shut_down(self, *addresses: Address, drain_seconds: float = 1.0) -> None:
        for address in addresses:
            assert self.tell(address, Shutdown(drain_seconds), sender=self.supervisor)


#: Who greets whom.
_NEIGHBOURS = {
    WAL: (SUPERVISOR, RAFT),
    RAFT: (SUPERVISOR, WAL, APPLY, WATCH, GATEWAY),
    APPLY: (SUPERVISOR, RAFT, WATCH, GATEWAY),
}


class MemoryCluster:
    """Nodes that hear each other through one network, which the test may disturb."""

    def __init__(self, directory: Path, names: str = "abc", settings: str = "") -> None:
        self.clock = ManualClock(10.0)
        self.network = MemoryNetwork()
        #: Called before frames are delivered; may lose some.
        self.network_filter: Callable[[], None] = lambda: None
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        members = ",".join(f"{name}=tcp://{name}.test:2380" for name in names)
        self.nodes = [
            MemoryNode(
                self,
                parse_config(
                    f'name = "{name}"\ndata-dir = "{directory}/{name}"\n'
                    f'initial-cluster = "{members}"\n'
                    f'initial-advertise-peer-urls = ["tcp://{name}.test:2380"]\n'
                    f'listen-peer-urls = ["tcp://127.0.0.1:2380"]\n{settings}'
                ),
                seed,
            )
            for seed, name in enumerate(names)
        ]

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
        self.context.term()

    def start(self) -> MemoryNode:
        """Start every node; return the first leader once everybody knows it."""
        for node in self.nodes:
            node.start()
        return self.wait_for_leader()

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(2_000):
            has_worked = [node.turn() for node in self.nodes]
            self.network_filter()
            if not self.network.deliver_all() and not any(has_worked):
                return
        message = "the nodes do not come to rest"
        raise AssertionError(message)

    def advance(self, seconds: float) -> None:
        """Let time pass, tick by tick."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.clock.advance(TICK_SECONDS)
            self.settle()

    def wait_for_leader(self, *, but: MemoryNode | None = None) -> MemoryNode:
        """Let time pass until all living nodes know one leader, another one than ``but``."""
        for _ in range(500):
            self.advance(TICK_SECONDS)
            living = [n for n in self.nodes if RAFT in n.actors and n.raft.is_running]
            leaders = [node for node in living if node.is_leader and node is not but]
            if len(leaders) == 1 and all(n.info.leader == leaders[0].id for n in living):
                return leaders[0]
        message = "no leader"
        raise AssertionError(message)

    def others(self, node: MemoryNode) -> list[MemoryNode]:
        return [each for each in self.nodes if each is not node]

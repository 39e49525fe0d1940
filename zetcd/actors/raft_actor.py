"""Responsible for connecting the raft core to its peers, its wal, its apply and the gateways of its node.

Must never touch a disk or LMDB, decode a payload or wait: heartbeats leave from this loop.

Order of effects in a turn (`_perform`): messages to peers first, so that replication overlaps the own
disk; then the wal, which releases the attached answers; then apply; then answers to local readers.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from zetcd.actors.actor import (
    APPLY,
    RAFT,
    SNAPSHOT,
    SUPERVISOR,
    WAL,
    WATCH,
    Actor,
    Pollable,
    gateway_addresses,
)
from zetcd.actors.entry import ActorSetting
from zetcd.actors.member_changes import MemberChanges
from zetcd.actors.peers import Peers
from zetcd.actors.raft_figures import RaftFigures
from zetcd.actors.raft_log_release import RaftLogRelease
from zetcd.actors.raft_setting import error_number, raft_options, raise_priority
from zetcd.actors.vitals import Vitals
from zetcd.config import Config
from zetcd.errors import (
    ExitCode,
    LogLost,
    MemberRemoved,
    NoLeader,
    NotLeader,
    Stopped,
    ZetcdError,
)
from zetcd.messages.base import Message
from zetcd.messages.codec import DECODE_ERRORS, UnionDecoder, encode
from zetcd.messages.node import (
    ActorGone,
    ChangeMember,
    ChangeMemberRefused,
    Figure,
    HashAnswer,
    HashQuery,
    Hello,
    LeaderAnswer,
    LeaderInfo,
    LeaderQuery,
    LeaderRequest,
    MemberTable,
    Origin,
    PeerControl,
    PeerIntroduction,
    PeerRejected,
    Propose,
    ProposeRefused,
    RaftStatus,
    RaftStatusRequest,
    ReadIndex,
    ReadIndexResult,
    Role,
    Shutdown,
    TransferLeader,
    WatchInterest,
)
from zetcd.messages.raft import Append, Heartbeat, InstallSnapshot, PeerMessage
from zetcd.messages.snapshot import (
    CheckpointMarked,
    SnapshotFetch,
    SnapshotFetched,
    SnapshotLoad,
    SnapshotServer,
)
from zetcd.messages.storage import (
    Appended,
    Applied,
    ApplyState,
    LivenessAnswer,
    LogReadResp,
    StorageApply,
    WalState,
)
from zetcd.raft.options import RaftStart
from zetcd.raft.raw_node import RawNode
from zetcd.raft.ready import Ready, SoftState
from zetcd.runtime.mailbox import Address
from zetcd.runtime.peer_routes import PeerRoutes
from zetcd.runtime.peer_socket import KIND_CONTROL, KIND_JOIN, PeerLinks, ZmqPeerLinks
from zetcd.scalars import Index, NodeID, RequestID

_Inbox = (
    Hello
    | Shutdown
    | ActorGone
    | WalState
    | ApplyState
    | Appended
    | Applied
    | LogReadResp
    | LivenessAnswer
    | Propose
    | ReadIndex
    | LeaderRequest
    | LeaderAnswer
    | MemberTable
    | TransferLeader
    | ChangeMember
    | RaftStatusRequest
    | WatchInterest
    | HashQuery
    | HashAnswer
    | CheckpointMarked
    | SnapshotServer
    | SnapshotFetched
)
#: Decodes what this actor may receive.
INBOX: Final = UnionDecoder(_Inbox)
_PEER_RAFT: Final = UnionDecoder(PeerMessage)
_PEER_CONTROL: Final = UnionDecoder(PeerControl)

#: Ticks kept for the heartbeat jitter shown in status: the last minutes.
_LATENESS_SAMPLES_MAX: Final = 4_096
#: After a request of this node's clients, what is committed is handed to apply at once for so long.
_AWAITED_SECONDS: Final = 1.0
#: Otherwise it is handed over at the next tick, or when it is so many entries.
_GATHERED_ENTRIES_MAX: Final = 64
#: Part of the drain time in which leadership must have moved, or the member stops without that.
_TRANSFER_SHARE: Final = 0.6


def neighbours(config: Config, instance: int) -> tuple[Address, ...]:
    """Return the actors that raft talks to."""
    del instance
    return (SUPERVISOR, WAL, APPLY, WATCH, SNAPSHOT, *gateway_addresses(config))


def build(setting: ActorSetting) -> tuple[Actor, Sequence[Pollable]]:
    """Build the actor and its peer links."""
    config = setting.config
    raise_priority(config.raft.nice)
    links = ZmqPeerLinks(
        setting.context,
        config.listen_peer_urls,
        cluster_id=config.cluster_id(),
        node_id=config.member_id(),
        frame_bytes_max=config.raft.peer_frame_bytes_max,
        routes=PeerRoutes.of(config),
    )
    rng = random.Random()  # noqa: S311 - spreads election timeouts, protects no secret
    return RaftActor(setting, links, rng), (links,)


class _Waiting:
    """Who asked for a read index: a gateway (``query`` None), or a question for the leader's lessor."""

    __slots__ = ("query", "request_id", "sender")

    def __init__(self, sender: Address, request_id: RequestID, query: LeaderQuery | None) -> None:
        self.sender = sender
        self.request_id = request_id
        self.query = query


class RaftActor(Actor):
    """Drives one `RawNode`. Until wal and apply have both said where they stand there is no core."""

    def __init__(self, setting: ActorSetting, links: PeerLinks, rng: random.Random) -> None:
        """Start without a core; it is built once `WalState` and `ApplyState` are here."""
        super().__init__(setting.mailbox, setting.clock)
        config = setting.config
        self._config = config
        #: Of the inbox, and as many frames of peers: bounds the time between two ticks.
        self.messages_per_turn_max = config.raft.messages_per_turn_max
        self._rng = rng
        self._log = structlog.get_logger()
        self._links = links
        self._peers = Peers(config, links, self.clock.now())
        self._changes = MemberChanges(config, self._peers)
        self._node_id: NodeID = config.member_id()
        self._core: RawNode | None = None
        self._wal_state: WalState | None = None
        #: Where the members are, for wal.
        self._reachable = MemberTable(())
        self._apply_state: ApplyState | None = None
        #: The living incarnation of apply has said where it stands.
        self._is_apply_synced = False
        self._info = LeaderInfo(0, 0, Role.FOLLOWER)
        #: Proposals of this turn: they form one call of the core and so one message to each peer.
        self._proposals: list[tuple[Address, Propose]] = []
        self._vitals = Vitals(self.mailbox, config)
        #: Read index contexts in flight, in order.
        self._reads: dict[int, _Waiting] = {}
        self._read_context = self.mailbox.incarnation << 32
        self._lessor_index: Index = 0  #: See `_part_from_lessor`.
        self._tick_seconds = config.raft_tick_seconds()
        self._awaited_ticks_max = int(_AWAITED_SECONDS / self._tick_seconds) + 1
        self._next_tick = self.clock.now() + self._tick_seconds
        self._figures = RaftFigures(self._node_id, config.election_timeout / 1000)
        self._lateness_ms: deque[float] = deque(maxlen=_LATENESS_SAMPLES_MAX)
        self._stop_at = 0.0
        self._fsync_us = 0
        #: Somebody watches here, ...
        self._is_watched = False
        #: ... or has asked for something so recently that an answer may be waited for: ticks left.
        self._awaited_ticks = 0
        #: Committed, and not yet handed to apply because nobody waits for it.
        self._gathered: list[StorageApply] = []
        self._gathered_count = 0
        #: Incarnation of apply that it is meant for.
        self._gathered_for = 0
        self._release = RaftLogRelease(lambda release: self.mailbox.send(WAL, release))
        #: Where peers fetch this member's checkpoints; empty = its snapshot actor is not there.
        self._snapshot_urls: tuple[str, ...] = ()
        self._handlers = {
            WalState: self._on_wal_state,
            ApplyState: self._on_apply_state,
            CheckpointMarked: self._on_checkpoint_marked,
            SnapshotServer: self._on_snapshot_server,
            SnapshotFetched: self._on_snapshot_fetched,
            Appended: self._on_appended,
            Applied: self._on_applied,
            LogReadResp: self._on_log_read,
            LivenessAnswer: self._on_liveness_answer,
            Propose: self._on_propose,
            ReadIndex: self._on_read_index,
            LeaderRequest: self._on_leader_request,
            LeaderAnswer: self._on_leader_answer,
            HashQuery: self._on_comparison,
            HashAnswer: self._on_comparison,
            MemberTable: self._on_member_table,
            TransferLeader: self._on_transfer,
            ChangeMember: self._on_change_member,
            RaftStatusRequest: self._on_status,
            WatchInterest: self._on_watch_interest,
            ActorGone: self._on_actor_gone,
        }

    # --- the loop ---------------------------------------------------------------------------------

    def handle(self, sender: Address, message: Message, now: float) -> None:
        """Step the core with one message of a neighbour."""
        del now
        self._handlers[type(message)](sender, message)  # type: ignore[operator]

    def advance(self, now: float) -> None:
        """Take what peers sent, tick, propose, and do everything the core asks for."""
        self._receive_from_peers(now)
        self._peers.complain(now)
        self._peers.introduce(now)
        self._peers.take_leave(now)
        if self._core is not None:
            self._advance_core(self._core, now)
        if self.is_draining and (self._info.role is not Role.LEADER or now >= self._stop_at):
            self.stop()

    def _advance_core(self, core: RawNode, now: float) -> None:
        if now >= self._next_tick:
            self._tick(core, now)
        if self._proposals:
            self._propose(core)
        has_more = True
        while has_more:
            ready = core.ready()
            self._perform(ready)
            has_more = ready.has_more

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the next tick."""
        if self._core is None:
            return 1.0
        return max(0.0, self._next_tick - now)

    def _tick(self, core: RawNode, now: float) -> None:
        """Advance the logical clock by one, however late: a paused process must not count its pause as silence."""
        self._lateness_ms.append((now - self._next_tick) * 1000)
        self._figures.ticked(now - self._next_tick)
        self._next_tick = max(self._next_tick + self._tick_seconds, now)
        if self._awaited_ticks:
            self._awaited_ticks -= 1
        self._hand_to_apply()
        self._vitals.tick(core)
        core.tick()
        self._release.tell(core)

    def _receive_from_peers(self, now: float) -> None:
        core, peers = self._core, self._peers
        for frame in self._links.receive(self.messages_per_turn_max):
            if frame.kind == KIND_JOIN:
                applied = 0 if core is None else core.status().applied
                peers.answer_join(frame.body, applied, now)
                continue
            if not peers.heard(frame.sender, now):
                continue
            self._figures.received(frame.sender, len(frame.body), now)
            is_control = frame.kind == KIND_CONTROL
            # Only the decoding is forgiven: the same exceptions from the core would be a defect.
            try:
                message = (_PEER_CONTROL if is_control else _PEER_RAFT).decode(frame.body)
            except DECODE_ERRORS as error:
                peers.malformed(frame.sender, error)
                continue
            if is_control:
                self._on_peer_control(message)
            elif core is not None and type(message) is InstallSnapshot:
                self._on_offer(core, message)
            elif core is not None:
                self._figures.answered(message, frame.sender, now)
                core.step(message)
        if core is not None and core.lost_index:
            raise LogLost(self._how_to_rejoin(core.lost_index))

    def _how_to_rejoin(self, index: Index) -> str:
        return (
            f"the leader has this member's word for entries up to index {index}, but the log does not "
            f"have them: the data directory was lost, or is an old copy. To re-join: remove member "
            f"{self._node_id:x} from the cluster, move its data directory away, and add the member "
            f"again with an empty data directory"
        )

    def _perform(self, ready: Ready) -> None:
        """Do the effects of one `Ready` in the documented order."""
        for message in ready.messages:
            self._send_to_peer(message)
        if ready.append is not None:
            sent = self.mailbox.send(WAL, ready.append)
            assert sent, "wal does not take what must become durable"
        if ready.snapshot is not None and self._is_apply_synced:
            self._forget_gathered()
            self.mailbox.send(APPLY, SnapshotLoad(ready.snapshot))
        if ready.apply is not None and self._is_apply_synced:
            # Else it gets everything again from its applied index once it says where it stands.
            self._gathered.append(ready.apply)
            self._gathered_for = self.mailbox.incarnation_of(APPLY)
            self._gathered_count += len(ready.apply.entries)
            if self._is_awaited() or self._gathered_count >= _GATHERED_ENTRIES_MAX:
                self._hand_to_apply()
        for read in ready.log_reads:
            self.mailbox.send(WAL, read)
        for state in ready.read_states:
            self._answer_read(state.context, state.index, 0)
        for refused in ready.refused_reads:
            self._answer_read(refused.context, 0, error_number(refused.reason))
        if ready.soft_state is not None:
            self._announce_leader(ready.soft_state)

    def _is_awaited(self) -> bool:
        """Say whether anybody at this node may be waiting for what is committed."""
        return (
            self._is_watched
            or self._awaited_ticks > 0
            or self._info.role is Role.LEADER
            or self.is_draining
        )

    def _hand_to_apply(self) -> None:
        """Give apply everything gathered for it: each message costs it a turn.

        Not while it leaves its pipe full: then it gets it all at once when there is room again.
        """
        if not self._gathered or self.mailbox.backlog(APPLY):
            return
        if self.mailbox.incarnation_of(APPLY) != self._gathered_for:
            # A new one has said `Hello`, which comes later in this turn: it says first where it stands.
            return
        if len(self._gathered) == 1:
            self.mailbox.send(APPLY, self._gathered[0])
        else:
            entries = tuple(entry for each in self._gathered for entry in each.entries)
            self.mailbox.send(APPLY, StorageApply(entries, self._gathered[-1].committed))
        self._forget_gathered()

    def _forget_gathered(self) -> None:
        self._gathered.clear()
        self._gathered_count = 0

    def _send_to_peer(self, message: PeerMessage) -> None:
        if type(message) is InstallSnapshot:
            message = msgspec.structs.replace(message, source_urls=self._snapshot_urls)
        body = encode(message)
        is_bulk = False
        if type(message) is Append:
            is_bulk = bool(message.entries)
            if not is_bulk:
                self._peers.last_news[message.to] = body
        is_sent = self._links.send(message.to, body, is_urgent=not is_bulk)
        now = self.clock.now() if type(message) is Heartbeat else 0.0
        self._figures.sent(message, message.to, len(body), now, is_sent=is_sent)
        if not is_sent and self._core is not None:
            self._core.report_unreachable(message.to)

    # --- start and resync ---------------------------------------------------------------------------

    def neighbour_started(self, neighbour: Address) -> None:
        """Tell a new incarnation who leads; forget what a previous one waited for."""
        if neighbour == APPLY:
            self._vitals.liveness.apply.restarted()
            self._is_apply_synced = False
            self._forget_gathered()
            self._part_from_lessor()
        elif neighbour == WATCH:
            self._is_watched = False
        elif neighbour == WAL:
            self.mailbox.send(WAL, self._reachable)
        elif neighbour == SNAPSHOT:
            self._snapshot_urls = ()
        self._reads = {key: each for key, each in self._reads.items() if each.sender != neighbour}
        self.mailbox.send(neighbour, self._info)

    def _on_wal_state(self, sender: Address, state: WalState) -> None:
        del sender
        assert self._core is None, "wal restarted without raft: they must agree on what is durable"
        self._wal_state = state
        self._start_core()

    def _on_apply_state(self, sender: Address, state: ApplyState) -> None:
        del sender
        self._apply_state = state
        self._is_apply_synced = True
        self._vitals.liveness.apply.heard()
        if self._core is None:
            self._start_core()
        else:
            self._core.resume_apply(state)

    def _start_core(self) -> None:
        wal, apply = self._wal_state, self._apply_state
        if wal is None or apply is None:
            return
        start = RaftStart.of(wal, apply)
        options = raft_options(self._config, self.mailbox.incarnation)
        self._core = RawNode(options, start, self._rng)
        self._core.set_awaited(is_awaited=self._is_watched)
        self._release.core_started(self._core)
        # Free the tail: the core holds it now.
        self._wal_state = None
        self._next_tick = self.clock.now() + self._tick_seconds
        self._log.info(
            "raft started",
            term=wal.hard_state.term,
            commit=wal.hard_state.commit,
            last_index=wal.last_index,
            applied=apply.applied_index,
        )

    def _on_member_table(self, sender: Address, table: MemberTable) -> None:
        del sender
        self._figures.set_members(tuple(member.id for member in table.members))
        self._tell_wal(self._peers.update(table, self.clock.now()))

    def _tell_wal(self, reachable: MemberTable) -> None:
        self._reachable = reachable
        self.mailbox.send(WAL, reachable)

    def _on_watch_interest(self, sender: Address, interest: WatchInterest) -> None:
        del sender
        self._is_watched = interest.is_wanted
        self._hand_to_apply()
        if self._core is not None:
            self._core.set_awaited(is_awaited=interest.is_wanted)

    def _on_actor_gone(self, sender: Address, gone: ActorGone) -> None:
        del sender, gone

    # --- storage ---------------------------------------------------------------------------------------

    def _on_appended(self, sender: Address, appended: Appended) -> None:
        del sender
        self._fsync_us = appended.fsync_us
        self._vitals.liveness.wal.heard()
        assert self._core is not None
        for response in appended.responses:
            if response.to == self._node_id:
                self._core.step(response)
            else:
                self._send_to_peer(response)

    def _on_liveness_answer(self, sender: Address, answer: LivenessAnswer) -> None:
        self._vitals.answered(sender, answer)

    def _on_applied(self, sender: Address, applied: Applied) -> None:
        del sender
        self._vitals.liveness.apply.heard()
        if self._core is not None:
            self._core.applied(applied.index)
            self._release.compact(self._core)

    def _on_checkpoint_marked(self, sender: Address, marked: CheckpointMarked) -> None:
        del sender
        self._release.marked(self._core, marked)

    # --- snapshots --------------------------------------------------------------------------------------

    def _on_snapshot_server(self, sender: Address, server: SnapshotServer) -> None:
        del sender
        self._snapshot_urls = server.urls

    def _on_offer(self, core: RawNode, offer: InstallSnapshot) -> None:
        """Let the bytes be fetched first, if they are needed; the core hears of it when they are here."""
        if core.needs_snapshot(offer.snapshot):
            self.mailbox.send(SNAPSHOT, SnapshotFetch(offer))
        else:
            core.step(offer)

    def _on_snapshot_fetched(self, sender: Address, fetched: SnapshotFetched) -> None:
        """Install what was fetched; if that failed, the leader offers again."""
        del sender
        if self._core is None:
            return
        if fetched.error:
            self._core.snapshot_failed(fetched.offer)
        else:
            self._core.step(fetched.offer)

    def _on_log_read(self, sender: Address, response: LogReadResp) -> None:
        del sender
        if self._core is not None:
            self._core.log_read(response)

    # --- proposals and reads ---------------------------------------------------------------------------

    def _on_propose(self, sender: Address, proposal: Propose) -> None:
        if self._core is None or self.is_draining:
            error = NoLeader if self._core is None else Stopped
            self.mailbox.send(sender, ProposeRefused(proposal.batch_id, error.number))
        else:
            self._proposals.append((sender, proposal))
            if sender != APPLY:
                self._await()

    def _propose(self, core: RawNode) -> None:
        """Hand the proposals of this turn to the core, as few calls as possible.

        What one call takes, a follower forwards in one frame: it must fit (`peer-frame-bytes-max`
        holds ``append-bytes-max`` and one more batch).
        """
        proposals, self._proposals = self._proposals, []
        group: list[tuple[Address, Propose]] = []
        size = 0
        for each in proposals:
            group.append(each)
            size += len(each[1].data)
            if size >= self._config.raft.append_bytes_max:
                self._propose_group(core, group)
                group, size = [], 0
        if group:
            self._propose_group(core, group)

    def _propose_group(self, core: RawNode, group: Sequence[tuple[Address, Propose]]) -> None:
        refusal = core.propose([(proposal.entry_type, proposal.data) for _, proposal in group])
        if refusal is not None:
            error = error_number(refusal)
            for sender, proposal in group:
                self.mailbox.send(sender, ProposeRefused(proposal.batch_id, error))

    def _await(self) -> None:
        """Note that a client of this node waits for something."""
        self._awaited_ticks = self._awaited_ticks_max
        self._hand_to_apply()

    def _on_read_index(self, sender: Address, read: ReadIndex) -> None:
        self._await()
        self._read_index(_Waiting(sender, read.request_id, None))

    def _read_index(self, waiting: _Waiting) -> None:
        self._read_context += 1
        context = self._read_context
        self._reads[context] = waiting
        if self._core is None:
            self._answer_read(context, 0, NoLeader.number)
        else:
            self._core.read_index(context)

    def _answer_read(self, context: int, index: Index, error: int) -> None:
        waiting = self._reads.pop(context, None)
        if waiting is None:
            return
        query = waiting.query
        if error:
            self._figures.read_failed()
        if query is None:
            self.mailbox.send(waiting.sender, ReadIndexResult(waiting.request_id, index, error))
        elif error:
            self._route_answer(LeaderAnswer(query.origin, query.request_id, b"", error))
        else:
            index = max(index, self._lessor_index)
            confirmed = LeaderQuery(
                query.origin, query.request_id, query.body, index, self._info.term
            )
            self.mailbox.send(APPLY, confirmed)

    # --- questions for the leader's lessor -------------------------------------------------------------

    def _part_from_lessor(self) -> None:
        """Let a new lessor of this term answer nothing before what its predecessor proposed is applied.

        That may end leases which the new one, not knowing of it, would renew.
        """
        self._proposals = [each for each in self._proposals if each[0] != APPLY]
        if self._core is not None:
            self._lessor_index = self._core.status().last_index

    def _on_leader_request(self, sender: Address, request: LeaderRequest) -> None:
        incarnation = self.mailbox.incarnation_of(sender)
        origin = Origin(self._node_id, sender.role, sender.instance, incarnation)
        query = LeaderQuery(origin, request.request_id, request.body)
        if self._info.leader == self._node_id:
            self._read_index(_Waiting(sender, request.request_id, query))
        elif not self._info.leader or not self._links.send(
            self._info.leader, encode(query), kind=KIND_CONTROL
        ):
            self._route_answer(LeaderAnswer(origin, request.request_id, b"", NoLeader.number))

    def _on_peer_control(self, message: Message) -> None:
        if isinstance(message, LeaderQuery):
            if self._info.leader == self._node_id:
                self._read_index(_Waiting(RAFT, message.request_id, message))
            else:
                self._route_answer(
                    LeaderAnswer(message.origin, message.request_id, b"", NotLeader.number)
                )
        elif isinstance(message, LeaderAnswer | ChangeMemberRefused):
            self._route_answer(message)
        elif isinstance(message, ChangeMember):
            self._change_member(message)
        elif isinstance(message, PeerIntroduction):
            reachable = self._peers.introduced(message)
            if reachable is not None:
                self._tell_wal(reachable)
        elif isinstance(message, PeerRejected):
            self._on_rejected(message)
        elif isinstance(message, HashQuery | HashAnswer):
            self.mailbox.send(SNAPSHOT, message)

    def _on_comparison(self, sender: Address, message: HashQuery | HashAnswer) -> None:
        """Carry a comparison of histories to another member; what is lost is asked again."""
        del sender
        self._links.send(message.to, encode(message), kind=KIND_CONTROL)

    def _on_leader_answer(self, sender: Address, answer: LeaderAnswer) -> None:
        del sender
        self._route_answer(answer)

    def _route_answer(self, answer: LeaderAnswer | ChangeMemberRefused) -> None:
        """Send an answer towards the gateway that asked; a gone gateway's answer is dropped."""
        origin = answer.origin
        if origin.node_id != self._node_id:
            self._links.send(origin.node_id, encode(answer), kind=KIND_CONTROL)
            return
        to = Address(origin.role, origin.instance)
        if self.mailbox.incarnation_of(to) == origin.incarnation:
            self.mailbox.send(to, answer)

    # --- membership -----------------------------------------------------------------------------------

    def _on_change_member(self, sender: Address, change: ChangeMember) -> None:
        """Let the leader decide about a change that a client of this node asks for."""
        del sender
        self._await()
        leader = self._info.leader
        if leader in (0, self._node_id):
            self._change_member(change)
        elif not self._links.send(leader, encode(change), kind=KIND_CONTROL):
            self._refuse_change(change, NoLeader())

    def _change_member(self, change: ChangeMember) -> None:
        core = self._core
        error: ZetcdError | None
        if core is None or not self._info.leader:
            error = NoLeader()
        elif self.is_draining:
            error = NotLeader("it is stopping")
        else:
            error = self._changes.propose(core, change.change, self.clock.now())
        if error is not None:
            self._refuse_change(change, error)

    def _refuse_change(self, change: ChangeMember, error: ZetcdError) -> None:
        self._route_answer(
            ChangeMemberRefused(change.origin, change.request_id, error.number, error.detail)
        )

    def _on_rejected(self, rejected: PeerRejected) -> None:
        """Stop if this member is none any more; the supervisor does not start it again."""
        if rejected.error == MemberRemoved.number:
            self._log.error(MemberRemoved.text, reason=rejected.reason)
            self.exit_code = ExitCode.REMOVED
            self.is_running = False

    # --- leadership and status -----------------------------------------------------------------------------

    def _announce_leader(self, state: SoftState) -> None:
        before = self._info
        self._info = LeaderInfo(state.term, state.leader, state.role, state.is_learner)
        if before.term != state.term:
            # A lessor's word is void in every other term; so may be the end of the log.
            self._lessor_index = 0
        self._figures.led(before, self._info)
        self._hand_to_apply()
        self._log.info(
            "leadership changed",
            term=state.term,
            leader=f"{state.leader:016x}" if state.leader else "none",
            former_leader=f"{before.leader:016x}" if before.leader else "none",
            role=state.role.name.lower(),
        )
        if state.leader:
            self.become_ready()
        for each in neighbours(self._config, 0):
            if each != WAL:
                self.mailbox.send(each, self._info)

    def _on_transfer(self, sender: Address, request: TransferLeader) -> None:
        del sender
        if self._core is not None:
            self._core.transfer_leader(request.target_id)

    def shut_down(self, request: Shutdown, now: float) -> None:
        """Hand leadership over, if there is anyone to take it, and stop."""
        self.is_draining = True
        self._stop_at = now
        core = self._core
        if (
            core is not None
            and self._info.role is Role.LEADER
            and any(not peer.is_learner for peer in core.status().progress)
        ):
            self._stop_at = now + request.drain_seconds * _TRANSFER_SHARE
            core.transfer_leader(0)

    def _on_status(self, sender: Address, request: RaftStatusRequest) -> None:
        if self._core is None:
            self.mailbox.send(
                sender, RaftStatus(request.request_id, self._node_id, 0, 0, Role.FOLLOWER, 0, 0, 0)
            )
            return
        status = self._core.status()
        self.mailbox.send(
            sender,
            RaftStatus(
                request.request_id,
                self._node_id,
                status.term,
                status.leader,
                status.role,
                status.committed,
                status.applied,
                status.last_index,
                tuple(
                    (peer.node_id, peer.match_index, peer.recent_active) for peer in status.progress
                ),
                status.is_learner,
            ),
        )

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return term, role, leader, cursors and heartbeat jitter for `zetcd status`."""
        if self._core is None:
            return (("role", "starting"),)
        status = self._core.status()
        late = sorted(self._lateness_ms) or [0.0]
        return (
            ("applied", str(status.applied)),
            ("committed", str(status.committed)),
            ("fit", "yes" if status.is_fit else "no"),
            ("fsync_us", str(self._fsync_us)),
            ("last_index", str(status.last_index)),
            ("leader", f"{status.leader:016x}"),
            ("role", status.role.name.lower()),
            ("term", str(status.term)),
            ("tick_late_ms_max", f"{late[-1]:.1f}"),
            ("tick_late_ms_p999", f"{late[len(late) * 999 // 1000]:.1f}"),
            ("unstable_ms", f"{status.unstable_ticks * self._tick_seconds * 1000:.0f}"),
        )

    def figures(self) -> tuple[Figure, ...]:
        """Return leadership, cursors and peers for /metrics."""
        if self._core is None:
            return ()
        return self._figures.figures(self._core.status(), self.clock.now())

    def close(self) -> None:
        """Close the peer links."""
        self._links.close()


__all__ = ["INBOX", "RaftActor", "build", "neighbours"]

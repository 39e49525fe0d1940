"""Responsible for connecting the state machine to the log that raft commits and to those who wait for it.

The only writer of LMDB. What has been committed and has arrived becomes one LMDB transaction; after its
commit, in this order: events to watch, answers to the gateways, the applied index to raft, and then
whoever waited for an index. Must never wait for a disk: LMDB does not sync.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import lmdb
import structlog

from zetcd import telemetry
from zetcd.actors.actor import (
    GATEWAY_ROLES,
    RAFT,
    SNAPSHOT,
    SUPERVISOR,
    WATCH,
    Actor,
    Pollable,
    gateway_addresses,
)
from zetcd.actors.apply_figures import ApplyFigures
from zetcd.actors.entry import ActorSetting
from zetcd.actors.store_opening import open_store
from zetcd.apply import (
    Applier,
    ApplierOptions,
    ApplyOutput,
    Identity,
    LeaseProposalLimits,
    LeaseQueries,
    ResultsDue,
    initialise,
    lease_proposals,
)
from zetcd.config import Config
from zetcd.errors import DiskFailed, ExitCode, MemberRemoved, RequestTooManyRequests
from zetcd.gateway.urls import all_urls
from zetcd.lease import Lessor, LessorOptions
from zetcd.messages.base import Message
from zetcd.messages.cluster import Member, PublishRequest
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.lease import LeaseCheckpointRequest
from zetcd.messages.node import (
    ActorGone,
    ActorRole,
    ApplyReached,
    ApplyResults,
    ApplyWait,
    Defragment,
    Defragmented,
    EventBatch,
    Figure,
    Hello,
    LeaderInfo,
    LeaderQuery,
    MemberChanged,
    MemberTable,
    Origin,
    Proposal,
    ProposalBatch,
    Propose,
    ProposeRefused,
    RevisionEvents,
    Role,
    Shutdown,
    StoreReplaced,
    WatchInterest,
)
from zetcd.messages.raft import LogEntry, SnapshotMetadata
from zetcd.messages.snapshot import SnapshotLoad
from zetcd.messages.storage import (
    Applied,
    ApplyState,
    LivenessAnswer,
    LivenessQuery,
    StorageApply,
)
from zetcd.mvcc.backend import Backend
from zetcd.runtime import lmdb_trust
from zetcd.runtime.files import FileSystem, OSFileSystem
from zetcd.runtime.lmdb_defragmentation import DefragmentableStore
from zetcd.runtime.mailbox import Address
from zetcd.scalars import Index

_Inbox = (
    Hello
    | Shutdown
    | ActorGone
    | StorageApply
    | SnapshotLoad
    | LivenessQuery
    | LeaderInfo
    | LeaderQuery
    | ApplyWait
    | Defragment
    | ProposeRefused
    | WatchInterest
)
#: Decodes what this actor may receive.
INBOX: Final = UnionDecoder(_Inbox)

#: Seconds after which the member's own attributes are proposed again, if they are not in the table.
_PUBLISH_RETRY_SECONDS: Final = 2.0
#: Election timeouts for which a removed member goes on: the others may need its vote before they know that
#: it has none. It ends earlier if they say that they know (raft is told so).
_REMOVED_ELECTIONS: Final = 3
#: Raft is told of the applied index after this many entries, or this long after the last time: each
#: message costs it a turn, and its limits count thousands of entries.
_APPLIED_ENTRIES_MAX: Final = 64
_APPLIED_INTERVAL_SECONDS: Final = 0.02
_OS_FILES: Final = OSFileSystem()


def neighbours(config: Config, instance: int) -> tuple[Address, ...]:
    """Return the actors that apply talks to."""
    del instance
    return (SUPERVISOR, RAFT, WATCH, SNAPSHOT, *gateway_addresses(config))


def build(setting: ActorSetting) -> tuple[Actor, Sequence[Pollable]]:
    """Open the store, made of a checkpoint where it may not be believed, and build the actor."""
    config = setting.config
    with _disk_failures(f"{config.store_dir()} (without it the store is rebuilt from the log)"):
        opened = open_store(config)
        backend = DefragmentableStore(opened, Path(config.store_dir()), config.map_bytes())
        backend.reader_check()
        applier = open_applier(config, backend)
    if applier.is_removed:
        backend.close()
        raise MemberRemoved(
            f"its data directory {config.data_dir} is of no use any more; to join again: "
            f"zetcdctl member add, with an empty data directory"
        )
    structlog.get_logger().info("store ready", applied=applier.state.consistent_index)
    return ApplyActor(setting, backend, applier), ()


@contextmanager
def _disk_failures(what: str) -> Iterator[None]:
    """Name LMDB's errors what they are: the member cannot go on without its store."""
    try:
        yield
    except lmdb.Error as error:
        raise DiskFailed(f"LMDB, {what}: {error}") from error


class Store(Backend, Protocol):
    """A backend that a process opens and closes, and whose file can be replaced under it."""

    @property
    def is_defragmenting(self) -> bool:
        """`defragment_step` has something to do."""
        ...

    def begin_defragmentation(self) -> None:
        """Begin to make a file without free pages."""

    def defragment_step(self) -> str | None:
        """Copy a slice. None: it goes on; empty: the file is replaced; else why it was given up."""

    def reader_check(self) -> int:
        """Free what dead readers hold; return their number."""

    def sync(self) -> None:
        """Make everything durable."""

    def observe_commits(self, observe: Callable[[float], None]) -> None:
        """Have ``observe`` told how many seconds each commit takes."""

    def close(self) -> None:
        """Close the store; no transaction may be open."""


def open_applier(config: Config, backend: Backend) -> Applier:
    """Return the applier of an opened store, which is filled with the member's identity if empty."""
    initialise(backend, Identity(config.cluster_id(), config.member_id()), ())
    lessor = Lessor(
        LessorOptions(
            # The gateways raise short TTLs: what is applied must not depend on a configuration.
            ttl_seconds_min=1,
            checkpoint_interval_seconds=config.apply.lease_checkpoint_interval,
            expirations_per_second_max=config.apply.lease_revokes_per_second_max,
        )
    )
    return Applier(backend, lessor, ApplierOptions(config.member_id()))


def own_member(config: Config) -> Member:
    """Return what this member publishes of itself."""
    return Member(
        config.member_id(),
        config.name,
        config.initial_advertise_peer_urls,
        config.advertise_client_urls,
        native_urls=all_urls(config.advertise_native_client_urls, config.gateway.native_processes),
    )


class ApplyActor(Actor):
    """Drives one `Applier` and the lessor of the node."""

    def __init__(
        self,
        setting: ActorSetting,
        backend: Store,
        applier: Applier,
        files: FileSystem = _OS_FILES,
    ) -> None:
        """Serve from an opened store, which is kept in ``files``; the actor closes it."""
        super().__init__(setting.mailbox, setting.clock)
        config = setting.config
        self._config = config
        self._backend = backend
        self._files = files
        self._applier = applier
        self._queries = LeaseQueries(applier, backend)
        self._info = LeaderInfo(0, 0, Role.FOLLOWER)
        #: Committed and not yet applied, in order.
        self._entries: deque[LogEntry] = deque()
        self._committed: Index = 0
        #: (index, gateway) that wait for the index to be applied.
        self._waits: list[tuple[Index, Address]] = []
        #: Results held back until history has been removed (physical compaction).
        self._held: list[ResultsDue] = []
        #: (gateway, its request) that wait for the end of the defragmentation.
        self._defragment_waits: list[tuple[Address, int]] = []
        self._next_batch_id = 0
        self._next_lease_look = 0.0
        self._next_compaction = 0.0
        self._next_publish = 0.0
        #: The table has had this member; until then there is nothing to publish.
        self._is_in_table = False
        #: When the process ends, because this member was removed.
        self._removed_end = float("inf")
        self._has_said_published = False
        self._lease_limits = LeaseProposalLimits(
            expire_max=max(
                1,
                int(config.apply.lease_revokes_per_second_max * config.apply.lease_expiry_interval),
            ),
            checkpoint_max=config.apply.lease_checkpoint_leases_max,
        )
        #: Applied index that raft was told last, and when it is told again.
        self._told_index: Index = 0
        self._next_tell = 0.0
        #: Somebody watches, so watch wants to hear of every change.
        self._is_watched = False
        self._figures = ApplyFigures()
        backend.observe_commits(self._figures.commit_seconds.observe)

    # --- the loop ---------------------------------------------------------------------------------

    def neighbour_started(self, neighbour: Address) -> None:
        """Begin the resync of a pair: tell a new neighbour where the store stands."""
        state = self._applier.state
        if neighbour == RAFT:
            # A new raft hands out again whatever this store does not hold.
            self._entries.clear()
            self._info = LeaderInfo(0, 0, Role.FOLLOWER)
            self._applier.lessor.demote()
            self.mailbox.send(
                RAFT,
                ApplyState(state.consistent_index, state.applied_term, self._applier.conf_state),
            )
            self._told_index = state.consistent_index
        elif neighbour == WATCH:
            self._is_watched = False
            # Vouches for the store: watch does not open it before.
            self._send_events(())
        elif neighbour == SUPERVISOR:
            # It could not tell of readers that died while this process was starting.
            self._backend.reader_check()
        elif neighbour.role in GATEWAY_ROLES:
            self._waits = [wait for wait in self._waits if wait[1] != neighbour]
        if neighbour not in (SUPERVISOR, WATCH):
            self.mailbox.send(neighbour, self._member_table())

    def handle(self, sender: Address, message: Message, now: float) -> None:
        """Take one message in."""
        if type(message) is StorageApply:
            self._entries.extend(message.entries)
            self._committed = message.committed
        elif type(message) is LeaderInfo:
            self._on_leader_info(message, now)
        elif type(message) is LeaderQuery:
            self._queries.step(message)
        elif type(message) is ApplyWait:
            self._waits.append((message.index, sender))
        elif type(message) is WatchInterest:
            self._is_watched = message.is_wanted
            if message.is_wanted:
                self._send_events(())
        elif type(message) is SnapshotLoad:
            self._load(message.snapshot)
        elif type(message) is Defragment:
            self._defragment(sender, message)
        elif type(message) is LivenessQuery:
            self.mailbox.send(RAFT, LivenessAnswer(os.getpid()))
        elif type(message) is ActorGone:
            # A reader that died in the middle of a transaction would keep its pages for ever.
            self._backend.reader_check()

    def advance(self, now: float) -> None:
        """Apply what is committed, answer who waited, and do what is due."""
        if not self.is_running:
            # The store is marked as clean: not a page may change any more.
            return
        if self._entries:
            self._apply(now)
        if self._waits:
            self._answer_waits()
        if len(self._queries):
            self._answer_queries(now)
        if self._applier.is_compacting and now >= self._next_compaction:
            self._compact(now)
        if self._backend.is_defragmenting:
            self._defragment_step()
        if now >= self._next_lease_look:
            self._propose_for_leases(now)
        if now >= self._next_publish:
            self._publish(now)
        if now >= self._next_tell:
            self._tell_applied(now)
        if self._applier.is_removed:
            self._end_removed(now)
        if self._info.leader and self._applier.state.consistent_index >= self._committed:
            self.become_ready()

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the next timer, 0 while entries wait."""
        if self._entries or self._backend.is_defragmenting:
            return 0.0
        due = [self._next_lease_look, self._next_publish]
        if self._told_index != self._applier.state.consistent_index:
            due.append(self._next_tell)
        if self._applier.is_compacting:
            due.append(self._next_compaction)
        due.append(self._removed_end)
        return max(0.0, min(due) - now)

    def _end_removed(self, now: float) -> None:
        """End this member, which is none any more, once the others have had time to notice."""
        if self._removed_end == float("inf"):
            structlog.get_logger().error(MemberRemoved.text, reason="the log says so")
            self._removed_end = now + _REMOVED_ELECTIONS * self._config.election_timeout / 1000
        elif now >= self._removed_end:
            self.exit_code = ExitCode.REMOVED
            self.is_running = False

    def _load(self, snapshot: SnapshotMetadata) -> None:
        """Begin anew from the checkpoint at ``snapshot``, which has just been fetched.

        By ending this process: its successor does the same as after the death of the operating
        system, and everybody takes it for what it is, another store.
        """
        applied = self._applier.state.consistent_index
        if not self.is_running or snapshot.index <= applied:
            return
        structlog.get_logger().info("begins anew", applied=applied, snapshot=snapshot.index)
        directory = Path(self._config.store_dir())
        lmdb_trust.demand_checkpoint(directory, snapshot.index, self._files)
        self._entries.clear()
        self.exit_code = ExitCode.RESTORE
        self.is_running = False

    # --- entries ------------------------------------------------------------------------------------

    def _apply(self, now: float) -> None:
        """Execute a bounded number of entries as one transaction, then tell everybody."""
        entries: list[LogEntry] = []
        size, size_max = 0, self._config.raft.apply_bytes_max
        while self._entries and len(entries) < self._config.apply.batch_entries_max:
            entries.append(self._entries.popleft())
            size += len(entries[-1].data)
            if size >= size_max:
                break
        began = self.clock.now()
        output = self._applier.apply_entries(entries, now)
        self._figures.applied(output.counts, self.clock.now() - began)
        if self._is_watched and (output.revisions or output.compactions):
            self._send_events(output.revisions)
        for due in output.results:
            if due.compact_revision > self._applier.state.compact_finished_revision:
                self._held.append(due)
            else:
                self._send_results(due)
        self._note(output)
        for change in output.changes_due:
            self._send_to_origin(change.origin, change.changed)
        if self._applier.state.consistent_index - self._told_index >= _APPLIED_ENTRIES_MAX:
            self._tell_applied(now)

    def _member_table(self) -> MemberTable:
        return MemberTable(self._applier.members, self._applier.removed)

    def _tell_applied(self, now: float) -> None:
        """Tell raft how far the store is; raft needs it for its limits only, so not after each batch."""
        self._next_tell = now + _APPLIED_INTERVAL_SECONDS
        applied = self._applier.state.consistent_index
        if applied != self._told_index and self.mailbox.send(RAFT, Applied(applied)):
            self._told_index = applied

    def _note(self, output: ApplyOutput) -> None:
        """Spread a new member table."""
        if output.has_new_members:
            if not self._is_in_table:
                self._is_in_table = self._config.member_id() in self._applier.member_ids
                self._next_publish = 0.0
            table = self._member_table()
            for each in neighbours(self._config, 0):
                if each not in (SUPERVISOR, WATCH):
                    self.mailbox.send(each, table)

    def _send_events(self, revisions: Sequence[RevisionEvents]) -> None:
        state = self._applier.state
        self.mailbox.send(
            WATCH,
            EventBatch(
                tuple(revisions),
                state.current_revision,
                state.compact_revision,
                state.applied_term,
            ),
        )

    def _send_results(self, due: ResultsDue) -> None:
        """Answer the incarnation that proposed the batch; what an own proposal became shows in the store."""
        if due.origin.role is not ActorRole.APPLY:
            self._send_to_origin(due.origin, due.results)

    def _send_to_origin(self, origin: Origin, message: ApplyResults | MemberChanged) -> None:
        to = Address(origin.role, origin.instance)
        if self.mailbox.incarnation_of(to) == origin.incarnation:
            self.mailbox.send(to, message)

    def _answer_waits(self) -> None:
        applied = self._applier.state.consistent_index
        still: list[tuple[Index, Address]] = []
        for wait in self._waits:
            if wait[0] <= applied:
                self.mailbox.send(wait[1], ApplyReached(applied))
            else:
                still.append(wait)
        self._waits = still

    def _compact(self, now: float) -> None:
        """Remove a slice of old history, and release the answers that waited for the last one."""
        step = self._applier.compact_step(self._config.compaction_batch_limit)
        self._next_compaction = now + self._config.compaction_sleep_interval
        self._figures.removed_records += step.removed
        if step.is_finished:
            held, self._held = self._held, []
            for due in held:
                self._send_results(due)

    # --- the file -----------------------------------------------------------------------------------

    def _defragment(self, sender: Address, message: Defragment) -> None:
        """Begin, or join those who wait already."""
        self._defragment_waits.append((sender, message.request_id))
        if self._backend.is_defragmenting:
            return
        try:
            self._backend.begin_defragmentation()
        except OSError as error:
            self._answer_defragment(str(error))

    def _defragment_step(self) -> None:
        """Copy a slice; tell everybody who reads the store when it is in its new file."""
        failure = self._backend.defragment_step()
        if failure is None:
            return
        if not failure:
            for each in neighbours(self._config, 0):
                if each not in (SUPERVISOR, RAFT) and self.mailbox.incarnation_of(each):
                    self._tell_replaced(each)
        self._answer_defragment(failure)

    def _tell_replaced(self, reader: Address) -> None:
        """Tell a reader; one that cannot be told would read an old store for ever."""
        if not self.mailbox.send(reader, StoreReplaced()):
            raise RequestTooManyRequests(f"{reader} does not take its messages")

    def _answer_defragment(self, failure: str) -> None:
        size = self._backend.size()
        structlog.get_logger().info("defragmented", bytes=size.file_bytes, failure=failure)
        waits, self._defragment_waits = self._defragment_waits, []
        for gateway, request_id in waits:
            self.mailbox.send(gateway, Defragmented(request_id, failure))

    # --- leases -------------------------------------------------------------------------------------

    def _on_leader_info(self, info: LeaderInfo, now: float) -> None:
        was_primary, lessor = self._applier.lessor.is_primary, self._applier.lessor
        is_new_term = info.term != self._info.term
        self._info = info
        self._next_publish = 0.0
        telemetry.set_term(info.term)
        if info.role is not Role.LEADER:
            lessor.demote()
        elif is_new_term or not was_primary:
            # For the time in which nobody led, nobody could renew.
            lessor.promote(now, self._config.election_timeout / 1000)

    def _answer_queries(self, now: float) -> None:
        ready = self._queries.ready(self._info, now)
        for answer in ready.answers:
            self.mailbox.send(RAFT, answer)
        if ready.checkpoints:
            self._propose(LeaseCheckpointRequest(ready.checkpoints, self._info.term))

    def _propose_for_leases(self, now: float) -> None:
        self._next_lease_look = now + self._config.apply.lease_expiry_interval
        proposals = lease_proposals(
            self._applier.lessor, term=self._info.term, now=now, limits=self._lease_limits
        )
        for request in proposals:
            self._propose(request)

    def _publish(self, now: float) -> None:
        """Propose the own name and URLs until the table has them, as etcd does after a start."""
        self._next_publish = now + _PUBLISH_RETRY_SECONDS
        wanted = own_member(self._config)
        for member in self._applier.members:
            if member.id == wanted.id and self._info.leader:
                is_published = (member.name, member.client_urls, member.native_urls) == (
                    wanted.name,
                    wanted.client_urls,
                    wanted.native_urls,
                )
                if not is_published:
                    self._propose(PublishRequest(wanted))
                elif not self._has_said_published:
                    self._has_said_published = True
                    # etcd's words: tools wait for them.
                    structlog.get_logger().info(
                        "published local member to cluster through raft",
                        local_member_id=f"{wanted.id:x}",
                        local_member_attributes=f"{wanted.name} {list(wanted.client_urls)}",
                        cluster_id=f"{self._config.cluster_id():x}",
                    )

    def _propose(self, request: Proposal) -> None:
        """Propose one request as a batch of its own; if it is lost it becomes due again."""
        self._next_batch_id += 1
        origin = Origin(self._config.member_id(), ActorRole.APPLY, 0, self.mailbox.incarnation)
        batch = ProposalBatch(origin, self._next_batch_id, (request,))
        self.mailbox.send(RAFT, Propose(self._next_batch_id, encode(batch)))

    # --- end ----------------------------------------------------------------------------------------

    def shut_down(self, request: Shutdown, now: float) -> None:
        """Apply what has arrived and stop; the clean mark lets the next start believe the store."""
        del request
        self.is_draining = True
        while self._entries:
            self._apply(now)
        directory = Path(self._config.store_dir())
        try:
            with _disk_failures("sync at the stop"):
                self._backend.sync()
        except DiskFailed:
            # The kernel may call the lost pages clean: the next sync would succeed and vouch for them.
            lmdb_trust.distrust(directory, self._files)
            raise
        lmdb_trust.mark_clean(directory, self._files)
        self.stop()

    def close(self) -> None:
        """Close the store."""
        self._backend.close()

    def figures(self) -> tuple[Figure, ...]:
        """Return counts and sizes for /metrics."""
        return self._figures.figures(self._applier, self._backend.size())

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return the cursors and sizes of the store."""
        state = self._applier.state
        size = self._backend.size()
        return (
            ("applied", str(state.consistent_index)),
            ("compact_revision", str(state.compact_revision)),
            ("db_bytes", str(size.file_bytes)),
            ("db_bytes_in_use", str(size.used_bytes)),
            ("leases", str(len(self._applier.lessor.leases))),
            ("requests", str(self._figures.requests)),
            ("revision", str(state.current_revision)),
            ("transactions", str(self._figures.batches)),
        )

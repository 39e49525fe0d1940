"""Responsible for one run: a cluster from a seed, a phase with faults, a phase without, and the checks.

Safety is checked all the time. After the faults have ended the cluster must become whole again
within `LIVENESS_SECONDS`: every member serves a write and a read, and all stores are equal.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from typing import Final

from tests.simulation.faults import Faults
from tests.simulation.gateway import Gateway
from tests.simulation.history import Operation, Outcome
from tests.simulation.invariants.alarms_justified import AlarmsJustified
from tests.simulation.invariants.answers_durable import AnswersDurable
from tests.simulation.invariants.checkpoints_durable import CheckpointsDurable
from tests.simulation.invariants.checkpoints_true import CheckpointsTrue
from tests.simulation.invariants.committed_immutable import CommittedImmutable
from tests.simulation.invariants.durability import Durability
from tests.simulation.invariants.election_safety import ElectionSafety
from tests.simulation.invariants.invariant import Invariants, require
from tests.simulation.invariants.leader_completeness import LeaderCompleteness
from tests.simulation.invariants.lease_never_early import LeaseNeverEarly
from tests.simulation.invariants.linearizability import Linearizability
from tests.simulation.invariants.log_matching import LogMatching
from tests.simulation.invariants.monotonic_revisions import MonotonicRevisions
from tests.simulation.invariants.reference import Reference
from tests.simulation.invariants.shadow_logs import ShadowLogs
from tests.simulation.invariants.state_machine_safety import StateMachineSafety
from tests.simulation.invariants.votes_up_to_date import VotesUpToDate
from tests.simulation.invariants.watch_order import WatchOrder
from tests.simulation.invariants.watch_progress import WatchProgress
from tests.simulation.membership import Membership
from tests.simulation.network import Network
from tests.simulation.node import SimulatedNode
from tests.simulation.watchers import Watcher
from tests.simulation.workload import Client, Workload
from tests.simulation.world import World
from zetcd.actors.apply_actor import open_applier
from zetcd.config import ApplyConfig, Config, RaftConfig, SnapshotConfig, WalConfig
from zetcd.messages.cluster import AlarmAction, AlarmRequest, AlarmType
from zetcd.messages.kv import PutRequest
from zetcd.messages.node import Proposal
from zetcd.messages.raft import PeerMessage
from zetcd.runtime.memory_backend import MemoryBackend
from zetcd.scalars import NodeID

#: Simulated seconds with faults, and the most that may pass until all is well again.
FAULTS_SECONDS: Final = 6.0
LIVENESS_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a run was like; a run that broke a promise has none."""

    digest: str
    #: Operations by outcome.
    operations: dict[str, int]
    #: Events by kind.
    counts: dict[str, int]
    leaders: int
    committed: int
    #: Simulated seconds from the end of the faults until all was well.
    recovery_seconds: float


class Cluster:
    """Nodes, network, clients, faults and invariants of one seed."""

    def __init__(self, seed: int, *, is_traced: bool = False) -> None:
        self.world = World(seed, is_traced=is_traced)
        rng = self.world.rng("cluster")
        size = rng.choice((1, 3, 3, 3, 3, 3, 3, 5))
        self.election_safety = ElectionSafety()
        self.committed = CommittedImmutable()
        self.leases = LeaseNeverEarly(lambda: self.world.now)
        self.invariants = Invariants([])
        # Machines that may become members later.
        spares = 2 if size == 5 else 3
        configs = [_config(number, size, self.world) for number in range(size + spares)]
        self.network = Network(self.world, [each.member_id() for each in configs], self._tap)
        self.gateways: list[Gateway] = []
        self.nodes: list[SimulatedNode] = []
        self._node_of: dict[NodeID, SimulatedNode] = {}
        logs = ShadowLogs(self.committed)
        self.reference = reference = Reference(open_applier(configs[0], MemoryBackend()))
        self.workload = Workload(self.world, self.gateways, self.leases, clients=0)
        watch_order, watch_progress = WatchOrder(reference), WatchProgress()
        self.invariants = Invariants(
            [
                self.election_safety,
                VotesUpToDate(logs),
                LogMatching(logs),
                logs,
                self.committed,
                reference,
                LeaderCompleteness(logs, self.committed),
                StateMachineSafety(),
                MonotonicRevisions(),
                AnswersDurable(),
                CheckpointsDurable(),
                CheckpointsTrue(reference),
                AlarmsJustified(),
                Durability(self.committed, reference),
                self.leases,
                watch_order,
                watch_progress,
                Linearizability(self.workload.history, reference),
            ]
        )
        for config in configs:
            gateway = Gateway(self.world, self.invariants)
            node = SimulatedNode(
                self.world,
                config,
                self.network,
                self.invariants,
                gateway,
                is_founder=len(self.nodes) < size,
            )
            gateway.node = node
            self.gateways.append(gateway)
            self.nodes.append(node)
            self._node_of[node.node_id] = node
        self.workload.clients = [Client(number, self.workload) for number in range(4)]
        self.watchers = [
            Watcher(number, self.world, self.gateways, (watch_order, watch_progress))
            for number in range(3)
        ]
        self.membership = Membership(self.world, self.nodes, self.gateways, reference)
        for node in self.nodes:
            node.known_peers = {each.node_id: each.config.listen_peer_urls for each in self.nodes}
        self.faults = Faults(self.world, self.nodes, self.network, self.invariants)

    def _tap(self, sender: NodeID, message: PeerMessage) -> None:
        self.invariants.sent(self._node_of[sender], message)

    def run(self) -> Result:
        """Run both phases; raises what breaks."""
        for node in self.nodes:
            if node.is_wanted:
                node.start()
        self.membership.start()
        self.workload.start()
        for watcher in self.watchers:
            watcher.start()
        self.faults.start()
        self.world.run_until(FAULTS_SECONDS)
        self.membership.is_over = True
        self.faults.heal()
        healed_at = self.world.now
        # Some load goes on, so that what the faults have left is worked on; and what is still on its
        # way through the network, perhaps a change of the membership, arrives.
        self.world.run_until(healed_at + 2.0)
        self.workload.is_over = True
        for watcher in self.watchers:
            watcher.settle()
        self._await_service(healed_at + LIVENESS_SECONDS)
        recovery_seconds = self.world.now - healed_at
        self.invariants.finish(self.membership.members)
        return Result(
            self.world.digest,
            self.workload.history.counts(),
            dict(sorted(self.world.counts.items())),
            len(self.election_safety.leaders),
            len(self.committed.entries),
            recovery_seconds,
        )

    def _await_service(self, deadline: float) -> None:
        """Wait until every member has served a write and a read, and all have applied the same."""
        members = self.membership.members
        for number, node in enumerate(members):
            gateway = self.gateways[self.nodes.index(node)]
            client = Client(100 + number, self.workload)
            put = PutRequest(b"probe-%d" % number, b"%d" % number)
            calm = AlarmRequest(AlarmAction.DEACTIVATE, 1, AlarmType.NOSPACE)
            self._until_ok(client, gateway, (calm, put), deadline)
            self._until_ok(client, gateway, (), deadline)
        is_calm = self.world.run_until(deadline, self._is_calm)
        applied = [node.applied_index() for node in self.membership.members]
        seen = [watcher.next_revision for watcher in self.watchers]
        require(is_calm, "liveness", f"members have applied {applied}, watchers expect {seen}")

    def _is_calm(self) -> bool:
        """Say whether all members have applied the same and all watchers have seen it."""
        members = self.membership.members
        applied = {node.applied_index() for node in members}
        if len(applied) > 1 or any(node.is_compacting() for node in members):
            return False
        revision = self.reference.revision
        return all(watcher.next_revision > revision for watcher in self.watchers)

    def _until_ok(
        self,
        client: Client,
        gateway: Gateway,
        requests: tuple[Proposal, ...],
        deadline: float,
    ) -> None:
        done: list[Operation] = []

        def again() -> None:
            self.world.after(0.05, attempt)

        def attempt() -> None:
            tried = [client.perform(_fresh(requests, len(done)), gateway, settle)]
            done.extend(tried)

        def settle() -> None:
            if not is_ok():
                again()

        def is_ok() -> bool:
            # A change of the membership may be in the log still, and be committed only now.
            is_member = gateway.node in self.membership.members
            return not is_member or any(each.outcome is Outcome.OK for each in done)

        self.world.after(0.0, attempt)
        require(
            self.world.run_until(deadline, is_ok),
            "liveness",
            f"{gateway.node.name} did not serve a {'write' if requests else 'read'}",
        )


def _fresh(requests: tuple[Proposal, ...], number: int) -> tuple[Proposal, ...]:
    """Return the requests with values that were not used before."""
    return tuple(
        PutRequest(each.key, b"%b-probe-%d" % (each.value, number))
        if isinstance(each, PutRequest)
        else each
        for each in requests
    )


def _config(number: int, size: int, world: World) -> Config:
    """Return the configuration of a node: small limits, so that short runs meet them."""
    founders = [f"tcp://10.0.0.{each + 1}:2380" for each in range(size)]
    url = f"tcp://10.0.0.{number + 1}:2380"
    rng = world.rng("config")
    return Config(
        name=f"n{number}",
        data_dir=f"n{number}.zetcd",
        initial_cluster=",".join(f"n{each}={founder}" for each, founder in enumerate(founders)),
        initial_advertise_peer_urls=(url,),
        listen_peer_urls=(url,),
        advertise_native_client_urls=(f"tcp://10.0.0.{number + 1}:2382",),
        election_timeout=rng.choice((500, 1000)),
        watch_progress_notify_interval=0.5,
        pre_vote=rng.random() < 0.8,
        raft=replace(
            RaftConfig(),
            ticks_per_heartbeat=2,
            append_bytes_max=4096,
            inflight_messages_max=rng.choice((2, 16, 512)),
            inflight_bytes_max=65536,
            log_tail_bytes_max=rng.choice((0, 4096, 1 << 20)),
        ),
        wal=replace(WalConfig(), batch_bytes_max=65536, read_bytes_max=rng.choice((4096, 65536))),
        apply=replace(
            ApplyConfig(),
            batch_entries_max=rng.choice((1, 4, 256)),
            lease_checkpoint_interval=rng.choice((0.5, 300.0)),
            lease_expiry_interval=0.2,
        ),
        snapshot_count=rng.choice((3, 10, 40)),
        snapshot_catchup_entries=rng.choice((0, 0, 3, 30)),
        corrupt_check_time=rng.choice((0.0, 1.0)),
        snapshot=replace(
            SnapshotConfig(),
            log_bytes_min=rng.choice((0, 4096)),
            write_bytes_per_second=rng.choice((200_000, 1 << 26)),
            send_bytes_per_second=rng.choice((50_000, 1 << 26)),
            chunk_bytes=rng.choice((512, 4096, 1 << 20)),
            requests_inflight_max=rng.choice((1, 3, 8)),
            checkpoints_kept=rng.choice((1, 1, 2)),
        ),
        compaction_batch_limit=rng.choice((1, 10, 1000)),
        compaction_sleep_interval=0.01,
    )


def run_seed(seed: int, *, is_traced: bool = False) -> Result:
    """Run the cluster of a seed.

    Raises:
        Violation: an invariant does not hold.
    """
    # A run lets go of little before its end: looking for that again and again is a tenth of its time.
    gc.disable()
    try:
        return Cluster(seed, is_traced=is_traced).run()
    finally:
        gc.enable()

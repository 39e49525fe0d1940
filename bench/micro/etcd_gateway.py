"""CPU of the gRPC gateway for each call: transport, protobuf, batching, reading; without mailbox hops.

    python -m bench.micro.etcd_gateway [--seconds 3] [WORKLOAD …]

The client is bench's own (Go's clientv3), in processes of its own. What raft and apply would do happens here too, at
once, on a store without a log; it is timed, and taken off the result. Compiled modules:
``PYTHONSAFEPATH=1 PYTHONPATH=build/release:. python -m bench.micro.etcd_gateway`` after ``make wheel``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.drivers import load_keys, run_go
from bench.micro.gateway_put import options
from bench.workloads import chosen
from zetcd.apply import Applier, ApplierOptions, Identity, initialise
from zetcd.compiled import kind_of_modules
from zetcd.gateway.etcd import EtcdGateway
from zetcd.gateway.grpc_server import GrpcServer
from zetcd.gateway.http import HttpEvent
from zetcd.lease import Lessor
from zetcd.messages.cluster import Member
from zetcd.messages.node import (
    LeaderInfo,
    MemberTable,
    Propose,
    ReadIndex,
    ReadIndexResult,
    Role,
)
from zetcd.messages.raft import EntryType, LogEntry
from zetcd.runtime.lmdb_backend import LmdbBackend

WORKLOADS = ("put-1", "put-100", "put-1000", "get-1", "get-100", "get-1000", "get-serializable-100")
NODE_ID = 1


class Member1:
    """The gateway, and raft and apply in one: what is proposed is committed and applied at once."""

    def __init__(self, directory: Path) -> None:
        """Start with an empty store."""
        self._backend = LmdbBackend(directory, map_bytes=1 << 32)
        members = (Member(NODE_ID),)
        initialise(self._backend, Identity(1, NODE_ID), members)
        self._applier = Applier(self._backend, Lessor(), ApplierOptions(NODE_ID))
        self._index = 0
        self.core = EtcdGateway(options(), election_timeout_seconds=1.0)
        self.core.set_backend(self._backend)
        for told in (MemberTable(members), LeaderInfo(1, NODE_ID, Role.LEADER)):
            self.core.step_node(told, 0.0)
        self.turns = self.calls = 0
        #: What raft and apply cost.
        self.elsewhere_seconds = 0.0

    def handle(self, events: Sequence[HttpEvent], now: float) -> None:
        """Do a turn: calls in, messages of the node out and back, answers to the transport."""
        self.turns += 1
        self.calls += len(events)
        self.core.step_calls(events, now)
        while to_raft := self.core.ready(now).to_raft:
            for message in to_raft:
                if isinstance(message, Propose):
                    self._apply(message, now)
                elif isinstance(message, ReadIndex):
                    self.core.step_node(ReadIndexResult(message.request_id, self._index), now)

    def _apply(self, proposal: Propose, now: float) -> None:
        before = time.process_time()
        self._index += 1
        entry = LogEntry(EntryType.NORMAL, 1, self._index, proposal.data)
        output = self._applier.apply_entries((entry,), now)
        self.elsewhere_seconds += time.process_time() - before
        for due in output.results:
            self.core.step_node(due.results, now)


async def measure(member: Member1, names: Sequence[str], seconds: float) -> None:
    """Serve one workload after the other, and print what each cost."""
    loop = asyncio.get_running_loop()
    server = GrpcServer(member.core.transport, member, loop=loop)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    await server.listen(listener)
    endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
    for workload in chosen(list(names)):
        spec = workload.spec([endpoint], seconds=seconds, warmup=0.0)
        if spec.get("preload"):
            await asyncio.to_thread(load_keys, spec)
            spec["is_loaded"] = True
        turns, calls, elsewhere = member.turns, member.calls, member.elsewhere_seconds
        before = time.process_time()
        report = await asyncio.to_thread(run_go, spec)
        spent = time.process_time() - before - (member.elsewhere_seconds - elsewhere)
        print(
            f"{workload.name:<22}{1e6 * spent / report.operations:8.1f} us a call"
            f"{report.rate:10,.0f} calls/s{(member.calls - calls) / (member.turns - turns):8.1f} a turn",
            flush=True,
        )
    await server.stop(0.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    print(kind_of_modules())
    # As the gateway does, but for the client, which is a child of this process.
    os.sched_setscheduler(0, os.SCHED_BATCH | os.SCHED_RESET_ON_FORK, os.sched_param(0))
    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(measure(Member1(Path(directory)), arguments.names, arguments.seconds))


if __name__ == "__main__":
    main()

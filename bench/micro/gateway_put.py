"""CPU of the gateway for each put: ROUTER receive and send, core, encoding; without mailbox hops.

    python bench/micro/gateway_put.py [--clients 100] [--seconds 3]

The clients run in a process of their own, each with one put on its way. What raft and apply would
do (answering a batch) happens here too, is timed, and is taken off the result.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import msgspec
import zmq

from zetcd.config.sections import GatewayConfig
from zetcd.gateway.native.gateway import NativeGateway
from zetcd.gateway.options import GatewayOptions
from zetcd.messages.client import ClientHello, FrameType, pack_frame
from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.kv import PutRequest, PutResponse, ResponseHeader
from zetcd.messages.node import (
    ApplyResults,
    LeaderInfo,
    ProposalBatch,
    Propose,
    Role,
)
from zetcd.runtime.client_socket import SendResult, ZmqClientSocket

_decode_batch = decoder_of(ProposalBatch).decode


def options() -> GatewayOptions:
    """Return a gateway with default limits."""
    return GatewayOptions(
        cluster_id=1,
        node_id=1,
        member_name="bench",
        server_version="0",
        instance=0,
        incarnation=1,
        limits=GatewayConfig(),
        request_bytes_max=1536 * 1024,
        txn_ops_max=128,
        quota_bytes=0,
        request_timeout_seconds=7,
        wall_seconds=lambda: 1_700_000_000,
    )


def run_clients(url: str, count: int, seconds: float) -> None:
    """Put in closed loops until time is up."""
    context = zmq.Context()
    poller = zmq.Poller()
    body = encode(PutRequest(b"k" * 16, b"v" * 256))
    for _ in range(count):
        dealer = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(url)
        dealer.send(pack_frame(FrameType.HELLO, 0, encode(ClientHello())))
        poller.register(dealer, zmq.POLLIN)
    request_id = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for dealer, _ in poller.poll(100):
            dealer.recv()
            request_id += 1
            dealer.send(pack_frame(FrameType.REQ, request_id, body))
    context.destroy(linger=0)


def answer(gateway: NativeGateway, proposal: Propose, now: float) -> int:
    """Answer a batch as raft and apply would; returns its requests."""
    batch = _decode_batch(proposal.data)
    body = msgspec.Raw(encode(PutResponse(ResponseHeader(2, 1))))
    results = ApplyResults(proposal.batch_id, (body,) * len(batch.requests))
    gateway.step_node(results, now)
    return len(batch.requests)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    socket = ZmqClientSocket(context, ["tcp://127.0.0.1:0"], frame_bytes_max=2 * 1024 * 1024)
    gateway = NativeGateway(options(), time.monotonic())
    gateway.step_node(LeaderInfo(1, 1, Role.LEADER), 0.0)
    clients = multiprocessing.get_context("spawn").Process(
        target=run_clients, args=(socket.endpoints[0], arguments.clients, arguments.seconds)
    )
    clients.start()
    puts = turns = 0
    stub_seconds = 0.0
    process_started, thread_started = time.process_time(), time.thread_time()
    while clients.is_alive():
        socket.inbox.poll(100)
        now = time.monotonic()
        turns += 1
        for routing_id, frame in socket.receive(512):
            gateway.step_client(routing_id, frame, now)
        ready = gateway.ready(now)
        for proposal in ready.to_raft:
            if isinstance(proposal, Propose):
                before = time.thread_time()
                decoded = answer(gateway, proposal, now)
                stub_seconds += (time.thread_time() - before) / 2  # half of it is the core's
                puts += decoded
        for routing_id, frame in ready.frames + gateway.ready(now).frames:
            result = socket.send(routing_id, frame)
            if result is not SendResult.SENT:
                gateway.send_failed(routing_id, frame, now, is_gone=result is SendResult.GONE)
    process = time.process_time() - process_started - stub_seconds
    thread = time.thread_time() - thread_started - stub_seconds
    print(f"{puts} puts, {puts / arguments.seconds:.0f}/s, {puts / max(turns, 1):.1f} per turn")
    print(f"CPU per put: {process / puts * 1e6:.1f} us, of it {thread / puts * 1e6:.1f} us Python")


if __name__ == "__main__":
    main()

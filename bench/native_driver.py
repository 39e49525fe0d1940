"""`python -m bench.native_driver < SPEC`: load over the native protocol, reported as the Go client reports.

Many virtual clients, one socket for each member, one thread. In a closed loop each client has one request
in flight; in an open one requests leave when they are due. It speaks the wire format directly: what
it measures is the server, not a client library.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

import msgspec
import zmq

from bench.histogram import Buckets, Histogram
from bench.load import LoadSocket
from bench.results import Report
from bench.schedule import OpenLoop
from zetcd.messages.client import (
    HEADER_BYTES,
    ErrorBody,
    FrameType,
    pack_frame,
    unpack_header,
)
from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.kv import PutRequest, RangeRequest

_ERROR = decoder_of(ErrorBody)
_TIMELINE_STEP = 0.1
#: Room of one poll; the next due time of an open loop makes it shorter.
_POLL_SECONDS_MAX = 0.1


class NativeSpec(msgspec.Struct, frozen=True):
    """What the run shall do; the fields of ``loadgen``'s spec that apply here."""

    kind: str
    endpoints: list[str]
    clients: int = 1
    rate: float = 0.0
    seconds: float = 1.0
    warmup_seconds: float = 0.0
    timeout_seconds: float = 7.0
    seed: int = 0
    key_bytes: int = 16
    value_bytes: int = 256
    keys: int = 1
    preload: int = 0
    limit: int = 0
    serializable: bool = False
    read_share: float = 0.0


#: Returns the name for the histograms ("" = none of its own) and the body of a request.
MakeRequest = Callable[[random.Random], tuple[str, bytes]]


def request_maker(spec: NativeSpec) -> MakeRequest:
    """Return what makes the requests of a kind.

    Raises:
        ValueError: this driver does not know the kind.
    """
    form = b"bench/%%0%dd" % max(spec.key_bytes - 6, 1)
    value = random.Random(spec.seed).randbytes(spec.value_bytes)

    def put(rng: random.Random) -> tuple[str, bytes]:
        return "", encode(PutRequest(form % rng.randrange(spec.keys), value))

    def get(rng: random.Random) -> tuple[str, bytes]:
        key = form % rng.randrange(spec.preload)
        return "", encode(RangeRequest(key, serializable=spec.serializable))

    def page(rng: random.Random) -> tuple[str, bytes]:
        key = form % rng.randrange(max(spec.preload - spec.limit, 0) + 1)
        request = RangeRequest(key, b"bench0", limit=spec.limit, serializable=spec.serializable)
        return "", encode(request)

    def mixed(rng: random.Random) -> tuple[str, bytes]:
        if rng.random() < spec.read_share:
            return "get", get(rng)[1]
        return "put", put(rng)[1]

    makers: dict[str, MakeRequest] = {"put": put, "get": get, "range": page, "mixed": mixed}
    if spec.kind not in makers:
        raise ValueError(f"the native driver does not know {spec.kind!r}")
    return makers[spec.kind]


class _Run:
    """The clients of one run."""

    def __init__(self, spec: NativeSpec, sockets: list[LoadSocket]) -> None:
        self.spec = spec
        self.sockets = sockets
        self.make = request_maker(spec)
        self.rng = random.Random(spec.seed)
        self.all = Histogram()
        self.lateness = Histogram()
        self.named: dict[str, Histogram] = {}
        self.errors: dict[str, int] = {}
        self.operations = self.measured = 0
        self.timeline = [0] * (int(spec.seconds / _TIMELINE_STEP) + 1)
        #: request id → (client, when it was due, name), for each socket.
        self.inflight: list[dict[int, tuple[int, float, str]]] = [{} for _ in sockets]
        self.start = time.monotonic()
        self.measure_from = self.start + spec.warmup_seconds
        self.until = self.measure_from + spec.seconds

    def run(self) -> Report:
        poller = zmq.Poller()
        for each in self.sockets:
            poller.register(each.socket, zmq.POLLIN)
        number_of = {each.socket: number for number, each in enumerate(self.sockets)}
        schedule = None
        if self.spec.rate:
            schedule = OpenLoop(rate=self.spec.rate, start=self.start, until=self.until)
        else:
            for client in range(self.spec.clients):
                self._send(client, time.monotonic())
        cpu = [0.0, 0.0]
        give_up = self.until + self.spec.timeout_seconds
        while (now := time.monotonic()) < give_up and (now < self.until or any(self.inflight)):
            if not cpu[0] and now >= self.measure_from:
                cpu[0] = time.process_time()
            if not cpu[1] and now >= self.until:
                cpu[1] = time.process_time()
            for socket, _ in poller.poll(int(1000 * self._wait(schedule, now))):
                self._drain(number_of[socket])
            if schedule is not None:
                self._send_due(schedule)
        return self._report(max(0.0, (cpu[1] or time.process_time()) - cpu[0]))

    def _wait(self, schedule: OpenLoop | None, now: float) -> float:
        due = schedule.next_due if schedule is not None else None
        return _POLL_SECONDS_MAX if due is None else min(_POLL_SECONDS_MAX, max(0.0, due - now))

    def _send_due(self, schedule: OpenLoop) -> None:
        now = time.monotonic()
        for number, due in enumerate(schedule.take_due(now)):
            if due >= self.measure_from:
                self.lateness.record(int(1e6 * (now - due)))
            self._send(number, due)

    def _send(self, client: int, due: float) -> None:
        number = client % len(self.sockets)
        load = self.sockets[number]
        request_id = load.next_id
        load.next_id = request_id + 1
        name, body = self.make(self.rng)
        self.inflight[number][request_id] = (client, due, name)
        load.socket.send(pack_frame(FrameType.REQ, request_id, body))

    def _drain(self, number: int) -> None:
        load = self.sockets[number]
        while True:
            try:
                frame = load.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            header = unpack_header(frame)
            if header.type == FrameType.PING:
                load.socket.send(pack_frame(FrameType.PONG, header.request_id))
            elif header.type == FrameType.ERR:
                error = _ERROR.decode(frame[HEADER_BYTES:])
                self.errors[error.text] = self.errors.get(error.text, 0) + 1
                self._answered(number, header.request_id, is_error=True)
            elif header.type == FrameType.RES:
                self._answered(number, header.request_id, is_error=False)

    def _answered(self, number: int, request_id: int, *, is_error: bool) -> None:
        client, due, name = self.inflight[number].pop(request_id)
        now = time.monotonic()
        if not is_error:
            self.operations += 1
            # An open loop counts by the time when it was due, so that what took too long is not lost.
            at = due if self.spec.rate else now
            if self.measure_from <= at < self.until:
                self._count(now, due, name)
        if not self.spec.rate and now < self.until:
            self._send(client, now)

    def _count(self, now: float, due: float, name: str) -> None:
        microseconds = int(1e6 * (now - due))
        self.measured += 1
        self.all.record(microseconds)
        if name:
            self.named.setdefault(name, Histogram()).record(microseconds)
        at = int((now - self.measure_from) / _TIMELINE_STEP)
        if 0 <= at < len(self.timeline):
            self.timeline[at] += 1

    def _report(self, cpu_seconds: float) -> Report:
        lost = sum(map(len, self.inflight))
        if lost:
            self.errors["no answer"] = lost
        latencies: dict[str, Buckets] = {"all": self.all.buckets()}
        latencies |= {name: each.buckets() for name, each in self.named.items()}
        return Report(
            self.operations,
            self.measured,
            self.spec.seconds,
            cpu_seconds,
            self.errors,
            latencies,
            self.lateness.buckets(),
            tuple(self.timeline),
        )


def run(spec: NativeSpec) -> Report:
    """Run the clients of a spec, spread over one socket for each member."""
    context = zmq.Context()
    try:
        endpoints = spec.endpoints[: max(1, spec.clients)]
        return _Run(spec, [LoadSocket(context, endpoint) for endpoint in endpoints]).run()
    finally:
        context.destroy(linger=0)


def main() -> None:
    """Read a spec, write a report."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=NativeSpec)
    sys.stdout.buffer.write(msgspec.json.encode(run(spec)))


if __name__ == "__main__":
    main()

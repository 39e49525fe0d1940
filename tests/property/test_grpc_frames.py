"""Whatever comes, cut anywhere: the same events, the same answers, no exception, nothing left over."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateway.grpc.peer import (
    BIDI,
    CLIENT_STREAM,
    SERVER_STREAM,
    UNARY,
    Peer,
    call,
    data,
    header_block,
    headers,
    message,
    parse,
)
from zetcd.gateway.grpc import (
    Call,
    Closed,
    Event,
    HalfClosed,
    Opened,
    Sent,
    StreamMessage,
    Transport,
    TransportOptions,
    Writable,
)
from zetcd.gateway.grpc.connection import Connection
from zetcd.gateway.grpc.frames import (
    CONTINUATION,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    SETTINGS_INITIAL_WINDOW_SIZE,
    pack_frame,
    pack_rst_stream,
    pack_settings,
    pack_window_update,
)

OPTIONS: Final = TransportOptions(
    message_bytes_max=5_000,
    stream_window_bytes=65_536,
    connection_window_bytes=131_072,
    stream_queue_bytes_max=3_000,
    connection_queue_bytes_max=10_000,
    process_queue_bytes_max=50_000,
    assembling_bytes_max=10_000,
)
START: Final = PREFACE + pack_settings({})

paths = st.sampled_from([UNARY.path, SERVER_STREAM.path, CLIENT_STREAM.path, BIDI.path, "/t.T/No"])
stream_ids = st.integers(0, 8).map(lambda number: number * 2 + 1)
contents = st.binary(max_size=40) | st.sampled_from([b"x" * 3000, b"x" * 6000])


@st.composite
def good_frames(draw: st.DrawFn) -> bytes:
    """Return something a client may say, though not always now."""
    stream_id = draw(stream_ids)
    timeout = draw(st.sampled_from([(), ((b"grpc-timeout", b"1S"),), ((b"grpc-timeout", b"x"),)]))
    block = header_block(draw(paths), *timeout)
    kind = draw(st.integers(0, 9))
    if kind <= 1:
        return call(stream_id, draw(contents), draw(paths))
    if kind <= 3:
        return headers(stream_id, block)
    if kind == 4:
        return headers(stream_id, block[:9], 0) + pack_frame(CONTINUATION, 4, stream_id, block[9:])
    if kind <= 6:
        return data(stream_id, message(draw(contents)), is_last=draw(st.booleans()))
    if kind == 7:
        return pack_rst_stream(stream_id, 8)
    if kind == 8:
        increment = draw(st.integers(1, 100_000))
        return pack_window_update(draw(st.sampled_from([0, stream_id])), increment)
    window = draw(st.sampled_from([0, 1, 100, 65_535, 1_000_000]))
    return pack_settings({SETTINGS_INITIAL_WINDOW_SIZE: window})


@st.composite
def odd_frames(draw: st.DrawFn) -> bytes:
    """Return a frame of any type, with any flags and payload."""
    return pack_frame(
        draw(st.integers(0, 12)),
        draw(st.integers(0, 255)),
        draw(st.one_of(stream_ids, st.integers(0, 2**32 - 1))),
        draw(st.binary(max_size=40)),
    )


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return good frames with some octets changed, cut, or repeated."""
    octets = bytearray(b"".join(draw(st.lists(good_frames(), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(1, 4))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(octets)))
    return bytes(octets[:cut] if draw(st.booleans()) else octets + octets[cut:])


any_octets = st.lists(good_frames() | good_frames() | odd_frames() | damaged(), max_size=12).map(
    b"".join
)


class Echo:
    """Answers everything at once, and what finds no room later."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.open: dict[int, Opened] = {}
        self.log: list[tuple[object, ...]] = []

    def handle(self, events: list[Event]) -> None:
        for event in events:
            self.log.append((type(event).__name__, event.token, getattr(event, "message", None)))
            match event:
                case Call():
                    self.call(event)
                case Opened():
                    assert event.token not in self.open
                    self.open[event.token] = event
                case StreamMessage():
                    assert event.token in self.open
                    self.transport.send(event.token, event.message)
                case HalfClosed():
                    del self.open[event.token]
                    self.transport.finish(event.token)
                case Closed():
                    self.open.pop(event.token, None)
                case Writable():
                    pass

    def call(self, event: Call) -> None:
        if event.head.method.server_streams:
            for _ in range(3):
                self.transport.send(event.token, event.message)
            self.transport.finish(event.token)
        else:
            self.transport.answer(event.token, event.message)


def check(transport: Transport) -> None:
    """Check what must hold at any time."""
    shared = transport._shared
    connections = list(transport._connections.values())
    assert shared.stream_count == sum(len(each.streams) for each in connections)
    assert shared.queued_bytes == sum(each.queued_bytes for each in connections)
    assert shared.assembling_bytes == sum(each.assembling_bytes for each in connections)
    for connection in connections:
        check_connection(connection)


def check_connection(connection: Connection) -> None:
    streams = connection.streams.values()
    assert connection.queued_bytes == sum(stream.queued_bytes for stream in streams)
    assert connection.assembling_bytes == sum(
        len(stream.assembly or b"") + len(stream.only_message or b"") for stream in streams
    )
    for stream in streams:
        queued = sum(map(len, stream.queue or ())) - stream.sent_of_first
        assert stream.queued_bytes == queued >= 0
        waits = stream.is_scheduled
        assert waits == (stream in connection.ready)
        assert waits == (queued > 0 and stream.send_window > 0)
    assert all(connection.streams.get(stream.id) is stream for stream in connection.ready)
    assert 0 <= connection.receive_window <= connection.options.connection_window_bytes
    assert connection.send_window >= 0
    assert len(connection.partial) < 16_384 + 9


def run(octets: bytes, cuts: list[int]) -> tuple[list[tuple[object, ...]], bytes, Transport]:
    """Feed octets in pieces, answering after all of them; return what was heard and said."""
    transport = Transport(Peer(OPTIONS, is_started=False).transport.methods, OPTIONS)
    number = transport.connect(0.0)
    assert number is not None
    echo = Echo(transport)
    edges = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    for start, end in pairwise(edges):
        if start < end:
            transport.receive(number, octets[start:end], 0.0)
            check(transport)
    echo.handle(transport.take_events())
    said = b""
    while transport.has_output:
        said += b"".join(output.octets for output in transport.take_output())
        check(transport)
        echo.handle(transport.take_events())
    return echo.log, said, transport


@given(any_octets, st.lists(st.integers(0, 3000), max_size=12))
def test_cutting_changes_nothing(octets: bytes, cuts: list[int]) -> None:
    whole_log, whole_said, _ = run(START + octets, [])
    log, said, transport = run(START + octets, cuts)
    assert log == whole_log
    assert said == whole_said
    if transport.connection_count == 0:
        assert GOAWAY in [frame.kind for frame in parse(said)]


@given(st.lists(good_frames(), max_size=6).map(b"".join))
def test_octet_by_octet_is_the_same(octets: bytes) -> None:
    whole = run(START + octets, [])
    single = run(START + octets, list(range(len(START) + len(octets))))
    assert single[:2] == whole[:2]


@given(
    st.lists(
        st.tuples(any_octets, st.floats(0, 30), st.sampled_from(["pause", "resume", ""])),
        min_size=1,
        max_size=10,
    )
)
def test_in_many_turns_with_time_nothing_breaks_and_nothing_is_left(
    turns: list[tuple[bytes, float, str]],
) -> None:
    transport = Transport(Peer(OPTIONS, is_started=False).transport.methods, OPTIONS)
    now = 1.0
    numbers = [transport.connect(now), transport.connect(now)]
    echo = Echo(transport)
    for number in numbers:
        assert number is not None
        transport.receive(number, START, now)
    for position, (octets, seconds, what) in enumerate(turns):
        number = numbers[position % 2]
        assert number is not None
        if what == "pause":
            transport.pause(number, now)
        elif what == "resume":
            transport.resume(number)
        transport.receive(number, octets, now)
        echo.handle(transport.take_events())
        transport.take_output()
        check(transport)
        now += seconds
        transport.handle_timer(now)
        check(transport)
    for number in numbers:
        assert number is not None
        transport.lost(number)
    echo.handle(transport.take_events())
    assert (transport.stream_count, transport.queued_bytes_total) == (0, 0)
    assert transport.assembling_bytes_total == 0
    assert not echo.open, "a stream that was opened has been closed"


@given(st.binary(max_size=300))
def test_noise_after_the_preface_is_refused_or_awaited(noise: bytes) -> None:
    _, said, transport = run(START + noise, [])
    assert transport.connection_count == 1 or GOAWAY in [frame.kind for frame in parse(said)]


def test_much_noise_quickly() -> None:
    """Plain random octets and flipped bits, many more than Hypothesis would try."""
    import random  # noqa: PLC0415 - only this test rolls its own dice

    rng = random.Random(7)
    good = START + b"".join(
        [call(1, b"x" * 50), headers(3, header_block(BIDI.path)), data(3, message(b"y")), call(5)]
    )
    for _ in range(int(os.environ.get("GRPC_FUZZ_ROUNDS", "400"))):
        octets = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            octets[rng.randrange(len(START), len(octets))] = rng.randrange(256)
        if rng.random() < 0.3:
            octets[rng.randrange(len(START), len(octets)) :] = rng.randbytes(rng.randrange(200))
        _, _, transport = run(bytes(octets), [rng.randrange(len(octets)) for _ in range(3)])
        check(transport)


# --- flow control against the dumbest client ------------------------------------------------------

ops = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 2), st.integers(0, 4000)),
    st.tuples(st.just("stream window"), st.integers(0, 2), st.integers(1, 5000)),
    st.tuples(st.just("window"), st.just(0), st.integers(1, 5000)),
    st.tuples(st.just("initial window"), st.just(0), st.integers(0, 5000)),
    st.tuples(st.just("answer"), st.just(0), st.integers(0, 4000)),
    st.tuples(st.just("take"), st.just(0), st.just(0)),
)


@given(st.integers(0, 3000), st.lists(ops, max_size=60))
def test_windows_are_kept_and_used(initial: int, script: list[tuple[str, int, int]]) -> None:
    """The server never sends more than a plain count of windows allows, and at the end everything."""
    peer = Peer(
        TransportOptions(stream_queue_bytes_max=2**30),
        settings={SETTINGS_INITIAL_WINDOW_SIZE: initial},
    )
    peer.send(*(call(stream_id, b"", SERVER_STREAM.path) for stream_id in (1, 3, 5)))
    tokens = [event.token for event in peer.events()]
    windows = {1: initial, 3: initial, 5: initial}
    connection_window = 65_535
    wanted = {1: b"", 3: b"", 5: b""}

    def take() -> None:
        nonlocal connection_window
        for frame in peer.take():
            if frame.kind == DATA:
                windows[frame.stream_id] -= len(frame.payload)
                connection_window -= len(frame.payload)
                assert windows[frame.stream_id] >= 0 or not frame.payload
                assert connection_window >= 0

    for what, which, amount in script:
        stream_id = which * 2 + 1
        if what == "send":
            assert peer.transport.send(tokens[which], b"%d" % which * amount) is Sent.TAKEN
            wanted[stream_id] += message(b"%d" % which * amount)
        elif what == "answer":
            take()
            stream_id = 7 + 2 * (len(wanted) - 3)
            windows[stream_id], wanted[stream_id] = initial, message(b"a" * amount)
            peer.send(call(stream_id))
            (event,) = peer.events()
            tokens.append(event.token)
            peer.transport.answer(event.token, b"a" * amount)
        elif what == "stream window":
            take()
            windows[stream_id] += amount
            peer.open_window(stream_id, amount)
        elif what == "window":
            take()
            connection_window += amount
            peer.open_window(0, amount)
        elif what == "initial window":
            take()
            windows = {each: window + amount - initial for each, window in windows.items()}
            initial = amount
            peer.send(pack_settings({SETTINGS_INITIAL_WINDOW_SIZE: amount}))
        else:
            take()
    take()
    peer.open_window(0, 2**29)
    for token, stream_id in zip(tokens, windows, strict=True):
        peer.open_window(stream_id, 2**29)
        # Of calls that were answered, only octets may be left.
        peer.transport.finish(token)
    assert {each: peer.body(each) for each in wanted} == wanted
    assert peer.transport.stream_count == 0
    ends = [frame for frame in peer.frames if frame.flags & END_STREAM and frame.kind == HEADERS]
    assert len(ends) == len(wanted)

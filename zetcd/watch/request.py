"""Responsible for what clients say on watch streams: create, cancel, credit, progress, close.

Texts and edge cases are etcd's; every refusal is an answer on the stream, never an error of the
session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from zetcd.errors import Compacted, RequestTooManyRequests, WatcherDuplicateID, WatcherRangeEmpty
from zetcd.messages.node import WatchForward, WatchRegister
from zetcd.messages.watch import (
    WatchCancelRequest,
    WatchCloseRequest,
    WatchCreateRequest,
    WatchCredit,
    WatchProgressRequest,
    WatchResponse,
)
from zetcd.scalars import Revision, WatchID
from zetcd.watch import progress
from zetcd.watch.stream import Gateway, Session, Stream
from zetcd.watch.watcher import Watcher, watched_range

if TYPE_CHECKING:
    from zetcd.watch.hub import Hub

#: Watch id of a watcher that never existed, and of what concerns a whole stream.
NO_WATCHER: Final = -1
#: Larger ids were not counted by the server but chosen by the client.
_WATCH_ID_COUNTED_MAX: Final = 1 << 32


def handle_forward(hub: Hub, gateway: Gateway, message: WatchForward, now: float) -> None:
    """Do what a client asks; only a create opens a stream, all else on an unknown one is void."""
    request = message.request
    session = gateway.sessions.get(message.session_id)
    stream = None if session is None else session.streams.get(request.stream_id)
    if isinstance(request, WatchCloseRequest):
        if stream is not None:
            close_stream(hub, stream)
    elif isinstance(request, WatchCreateRequest):
        stream = stream or _open(hub, gateway, message.session_id, request.stream_id)
        if not stream.is_closed:
            _create(hub, stream, request, now)
    elif stream is None:
        return
    elif isinstance(request, WatchCredit):
        _grant(hub, stream, request)
    elif stream.is_closed:
        return
    elif isinstance(request, WatchCancelRequest):
        _cancel(hub, stream, request.watch_id)
    elif isinstance(request, WatchProgressRequest):
        hub.progress_requests[stream] = None
    else:
        assert_never(request)


def handle_register(hub: Hub, gateway: Gateway, message: WatchRegister, now: float) -> None:
    """Go on with a stream that an earlier incarnation served; nothing is answered."""
    stream = _open(hub, gateway, message.session_id, message.stream_id)
    assert not stream.watchers, "a stream is registered once, before anything is said on it"
    stream.next_sequence = message.next_sequence
    stream.credit_messages, stream.credit_bytes = message.credit_messages, message.credit_bytes
    for resume in message.watchers:
        # An id is not given twice, as far as is known: a late cancel must not meet a new watcher.
        if resume.watch_id <= _WATCH_ID_COUNTED_MAX:
            stream.next_watch_id = max(stream.next_watch_id, resume.watch_id + 1)
        _add(hub, Watcher(stream, resume.watch_id, resume.create, resume.next_revision), now)


def close_session(hub: Hub, gateway: Gateway, session_id: int) -> None:
    """Forget a client and all its streams."""
    session = gateway.sessions.get(session_id)
    if session is None:
        return
    for stream in list(session.streams.values()):
        close_stream(hub, stream)
    session.take()
    del gateway.sessions[session_id]


def close_stream(hub: Hub, stream: Stream) -> None:
    """Forget a stream and all its watchers; nothing more is sent on it."""
    _clear(hub, stream)
    del stream.session.streams[stream.stream_id]
    stream.session.gateway.waiting.pop(stream, None)


def cancel_compacted(hub: Hub, watcher: Watcher, compact_revision: Revision) -> None:
    """End a watcher whose history is gone: told so explicitly, never silently moved forward."""
    hub.remove(watcher)
    response = WatchResponse(
        hub.header(0), 0, watcher.watch_id, canceled=True, compact_revision=compact_revision
    )
    _answer(hub, watcher.stream, response)


def _open(hub: Hub, gateway: Gateway, session_id: int, stream_id: int) -> Stream:
    session = gateway.sessions.get(session_id)
    if session is None:
        session = gateway.sessions[session_id] = Session(gateway, session_id)
    stream = session.streams.get(stream_id)
    if stream is None:
        stream = Stream(session, stream_id, hub.options.credit_initial)
        session.streams[stream_id] = stream
    return stream


def _create(hub: Hub, stream: Stream, request: WatchCreateRequest, now: float) -> None:
    current_revision = hub.store_revision
    header = hub.header(current_revision)
    refusal = _refusal(stream, request)
    if refusal:
        refused = WatchResponse(
            header, 0, NO_WATCHER, created=True, canceled=True, cancel_reason=refusal
        )
        _answer(hub, stream, refused)
        return
    watch_id = request.watch_id or stream.free_watch_id()
    _answer(hub, stream, WatchResponse(header, 0, watch_id, created=True))
    if stream.is_closed:
        return
    # The store, not the batches seen so far, says what "from now on" means: a client that was
    # answered
    # its put must not see it on a watch that it creates afterwards.
    first = request.start_revision or current_revision + 1
    _add(hub, Watcher(stream, watch_id, request, first), now)


def _refusal(stream: Stream, request: WatchCreateRequest) -> str:
    """Return why a create is refused, in etcd's words; "" if it is not."""
    if request.start_revision < 0:
        return Compacted.text
    if watched_range(request.key, request.range_end).is_empty:
        return WatcherRangeEmpty.text
    if request.watch_id in stream.watchers and request.watch_id != 0:
        return WatcherDuplicateID.text
    # -1 is how responses name no watcher, so it is taken from the start.
    return WatcherDuplicateID.text if request.watch_id == NO_WATCHER else ""


def _add(hub: Hub, watcher: Watcher, now: float) -> None:
    watcher.stream.watchers[watcher.watch_id] = watcher
    hub.settle(watcher)
    if watcher.progress_notify:
        hub.progress_watchers_count += 1
        progress.set_timer(hub, watcher, now)


def _cancel(hub: Hub, stream: Stream, watch_id: WatchID) -> None:
    watcher = stream.watchers.get(watch_id)
    if watcher is None:
        return
    hub.remove(watcher)
    _answer(hub, stream, WatchResponse(hub.header(hub.revision), 0, watch_id, canceled=True))


def _grant(hub: Hub, stream: Stream, credit: WatchCredit) -> None:
    options = hub.options
    stream.grant(
        credit.messages, credit.bytes, options.credit_messages_max, options.credit_bytes_max
    )
    if stream.answers or stream.victims or stream.unsynced:
        hub.woken[stream] = None


def _answer(hub: Hub, stream: Stream, response: WatchResponse) -> None:
    stream.answer(response, hub.options.delivery_bytes_max)
    if len(stream.answers) > hub.options.answers_waiting_max:
        _give_up(hub, stream)


def _give_up(hub: Hub, stream: Stream) -> None:
    """End a stream whose client asks on without reading; the last thing it will read says so."""
    _clear(hub, stream)
    stream.is_closed = True
    reason = RequestTooManyRequests.text
    stream.answers.append(
        WatchResponse(hub.header(hub.revision), 0, NO_WATCHER, canceled=True, cancel_reason=reason)
    )


def _clear(hub: Hub, stream: Stream) -> None:
    for watcher in list(stream.watchers.values()):
        hub.remove(watcher)
    stream.answers.clear()
    hub.runnable.pop(stream, None)
    hub.woken.pop(stream, None)
    hub.progress_requests.pop(stream, None)

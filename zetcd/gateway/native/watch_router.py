"""Responsible for passing watch frames between clients and the watch actor, over its restarts."""

from __future__ import annotations

from typing import Final

from zetcd.errors import BadFrame, TooManyWatches, ZetcdError
from zetcd.gateway.checks import check_request
from zetcd.gateway.native.replies import NativeReplies
from zetcd.gateway.native.session import Session
from zetcd.gateway.native.watch_streams import WatchStream, outline_of
from zetcd.gateway.options import GatewayOptions
from zetcd.messages.client import FrameType, WatchRequest, pack_frame
from zetcd.messages.node import (
    WatchDelivery,
    WatchForward,
    WatchRegister,
    WatchSessionClosed,
)
from zetcd.messages.watch import (
    WatchCancelRequest,
    WatchCloseRequest,
    WatchCreateRequest,
    WatchCredit,
)

ToWatch = WatchForward | WatchRegister | WatchSessionClosed

_WATCH: Final = int(FrameType.WATCH)


class WatchRouter:
    """The watch streams of all sessions of one gateway."""

    def __init__(self, options: GatewayOptions, replies: NativeReplies) -> None:
        """Start without streams."""
        self._watchers_max = options.limits.session_watches_max
        self._replies = replies
        #: By session id: every session that is open.
        self._sessions: dict[int, Session] = {}
        self.to_watch: list[ToWatch] = []
        #: Figures for status.
        self.delivered_count = 0

    def session_opened(self, session: Session) -> None:
        """Let the session open streams."""
        self._sessions[session.session_id] = session

    def session_closed(self, session: Session) -> None:
        """Forget the session's streams, here and in watch."""
        del self._sessions[session.session_id]
        if session.streams:
            session.streams.clear()
            self.to_watch.append(WatchSessionClosed(session.session_id))

    # --- client → watch ---------------------------------------------------------------------------

    def request(self, session: Session, stream_id: int, request: WatchRequest) -> None:
        """Pass a request on.

        Raises:
            ZetcdError: it is refused, and its stream, if there was one, has ended.
        """
        try:
            if request.stream_id != stream_id:
                raise BadFrame(f"stream id {request.stream_id} in a frame of stream {stream_id}")
            check_request(request)
            self._track(session, request)
        except ZetcdError:
            self._close(session, stream_id)
            raise
        if stream_id in session.streams or type(request) is WatchCloseRequest:
            self.to_watch.append(WatchForward(session.session_id, request))

    def _track(self, session: Session, request: WatchRequest) -> None:
        """Note what a request changes."""
        stream = session.streams.get(request.stream_id)
        if isinstance(request, WatchCreateRequest):
            if session.watchers_count >= self._watchers_max:
                raise TooManyWatches(f"{session.watchers_count} watchers are open")
            if stream is None:
                stream = session.streams[request.stream_id] = WatchStream(request.stream_id)
            stream.creating.append(request)
            session.watchers_count += 1
        elif stream is None:
            # A stream opens with its first watcher; anything else on it concerns nothing.
            return
        elif isinstance(request, WatchCancelRequest):
            watcher = stream.watchers.get(request.watch_id)
            if watcher is not None:
                watcher.is_canceling = True
        elif isinstance(request, WatchCloseRequest):
            self._forget(session, stream)

    def credit(self, session: Session, stream_id: int, credit: WatchCredit) -> None:
        """Pass credit on; credit for a stream that is not open is void."""
        stream = session.streams.get(stream_id)
        if stream is None:
            return
        try:
            if credit.stream_id != stream_id:
                raise BadFrame(f"stream id {credit.stream_id} in a frame of stream {stream_id}")
            check_request(credit)
        except ZetcdError:
            self._close(session, stream_id)
            raise
        stream.credit_messages += credit.messages
        stream.credit_bytes += credit.bytes
        self.to_watch.append(WatchForward(session.session_id, credit))

    def end_stream(self, session: Session, stream_id: int) -> None:
        """End a stream whose client was told so."""
        self._close(session, stream_id)

    def _close(self, session: Session, stream_id: int) -> None:
        stream = session.streams.get(stream_id)
        if stream is not None:
            self._forget(session, stream)
            close = WatchCloseRequest(stream_id)
            self.to_watch.append(WatchForward(session.session_id, close))

    @staticmethod
    def _forget(session: Session, stream: WatchStream) -> None:
        session.watchers_count -= stream.watchers_count
        del session.streams[stream.stream_id]

    # --- watch → client ---------------------------------------------------------------------------

    def deliver(self, delivery: WatchDelivery) -> None:
        """Pass responses on; those of a stream that has ended are dropped."""
        session = self._sessions.get(delivery.session_id)
        if session is None:
            return
        frames, routing_id = self._replies.frames, session.routing_id
        for stream_id, body in delivery.bodies:
            stream = session.streams.get(stream_id)
            if stream is None:
                continue
            session.watchers_count -= stream.delivered(outline_of(body), len(body))
            self.delivered_count += 1
            frames.append((routing_id, pack_frame(_WATCH, stream_id, body)))

    def watch_restarted(self) -> list[Session]:
        """Bring every stream to the new watch actor; returns the sessions that must go instead.

        Those were in the middle of the fragments of one revision: going on would repeat or lose
        events, so the client must resume by itself.
        """
        self.to_watch.clear()
        broken: list[Session] = []
        for session in self._sessions.values():
            if all(stream.can_move for stream in session.streams.values()):
                for stream in session.streams.values():
                    self.to_watch.extend(stream.resume(session.session_id))
            else:
                broken.append(session)
        return broken

    @property
    def watchers_count(self) -> int:
        """Watchers of all sessions."""
        return sum(session.watchers_count for session in self._sessions.values())


__all__ = ["ToWatch", "WatchRouter"]

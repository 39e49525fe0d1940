"""Responsible for questions that only the leader's lessor can answer: keep-alive and time-to-live.

The questions of one turn travel together. They change nothing that a repetition would spoil, so
they are asked again until someone answers or the client's patience ends: no leader, a lost message
and a restarted actor all look the same from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from zetcd.errors import UnknownError
from zetcd.gateway.pending import Pending, Replies
from zetcd.messages.client import ErrorBody
from zetcd.messages.codec import encode
from zetcd.messages.node import LeaderAnswer, LeaderRequest

#: An unanswered question is asked again.
RESEND_SECONDS: Final = 0.5
#: A question refused because there is no leader is asked again.
RETRY_SECONDS: Final = 0.05
#: Questions in one message; the leader's lessor answers them in one turn.
QUESTIONS_PER_MESSAGE_MAX: Final = 1_000

_BODIES: Final = msgspec.msgpack.Decoder(tuple[msgspec.Raw, ...])
#: First bytes of an encoded `ErrorBody`: an array of six, then its tag.
_ERROR_START: Final = encode(ErrorBody(0, 0, "", 0))[:2]


@dataclass(slots=True)
class _Asked:
    """One message of questions on its way."""

    pendings: list[Pending]
    ask_at: float


class LeaderQuestions:
    """The questions of one gateway to the leader's lessor."""

    def __init__(self, replies: Replies) -> None:
        """Start empty."""
        self._replies = replies
        self._collecting: list[Pending] = []
        self._asked: dict[int, _Asked] = {}
        self._last_request_id = 0

    def add(self, pending: Pending) -> None:
        """Ask in this turn."""
        self._collecting.append(pending)

    def take(self, now: float) -> list[LeaderRequest]:
        """Return the questions that are due now, the repeated ones under new ids."""
        due = self._collecting
        self._collecting = []
        for request_id in [key for key, asked in self._asked.items() if asked.ask_at <= now]:
            due.extend(self._asked.pop(request_id).pendings)
        due = [pending for pending in due if pending.is_open]
        requests: list[LeaderRequest] = []
        for start in range(0, len(due), QUESTIONS_PER_MESSAGE_MAX):
            pendings = due[start : start + QUESTIONS_PER_MESSAGE_MAX]
            self._last_request_id += 1
            self._asked[self._last_request_id] = _Asked(pendings, now + RESEND_SECONDS)
            body = encode(tuple([pending.request for pending in pendings]))
            requests.append(LeaderRequest(self._last_request_id, body))
        return requests

    def answer(self, answer: LeaderAnswer, now: float) -> None:
        """Consume the leader's answer; one to a question asked again meanwhile is ignored."""
        asked = self._asked.get(answer.request_id)
        if asked is None:
            return
        if answer.error:
            asked.ask_at = now + RETRY_SECONDS
            return
        del self._asked[answer.request_id]
        bodies = _BODIES.decode(answer.body)
        if len(bodies) != len(asked.pendings):
            # Only a peer of another version could do this; nobody may get a neighbour's answer.
            error = UnknownError("the leader's answer does not fit the question")
            for pending in asked.pendings:
                self._replies.fail(pending, error)
            return
        for pending, body in zip(asked.pendings, bodies, strict=True):
            if memoryview(body)[:2] == _ERROR_START:
                self._replies.fail_encoded(pending, body)
            else:
                self._replies.answer_encoded(pending, body)

    def ask_again(self, now: float) -> None:
        """Repeat every question at once: raft has restarted or has a new leader."""
        for asked in self._asked.values():
            asked.ask_at = now

    def wake_at(self) -> float:
        """Return when `take` has something to do, infinity = never without input."""
        if self._collecting:
            return 0.0
        if not self._asked:
            return float("inf")
        return min(asked.ask_at for asked in self._asked.values())

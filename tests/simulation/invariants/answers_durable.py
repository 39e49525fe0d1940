"""What a member grants or accepts towards another is on its own disk before it says so (Raft §5)."""

from __future__ import annotations

from typing import Final

from tests.simulation.invariants.durable_member import durable_log
from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.messages.raft import AppendResp, PeerMessage, VoteResp

_NAME: Final = "answers durable"
#: Accepted appends are many, and each look reads a whole log.
_APPENDS_PER_LOOK: Final = 32


class AnswersDurable(Invariant):
    """Reads the disk of whoever answers as a power loss at this moment would leave it."""

    def __init__(self) -> None:
        self._accepted = 0

    def sent(self, node: Observed, message: PeerMessage) -> None:
        if type(message) is VoteResp:
            if not message.rejected:
                _check_vote(node, message)
        elif type(message) is AppendResp and not message.rejected and message.index:
            self._accepted += 1
            if self._accepted % _APPENDS_PER_LOOK == 0:
                log = durable_log(node)
                require(
                    log.last_index >= message.index and log.hard_state.term >= message.term,
                    _NAME,
                    f"{node.name} accepted entries up to {message.index} in term {message.term}, "
                    f"on disk are {log.last_index} and {log.hard_state}",
                )


def _check_vote(node: Observed, message: VoteResp) -> None:
    state = durable_log(node).hard_state
    require(
        (state.term, state.vote) == (message.term, message.to) or state.term > message.term,
        _NAME,
        f"{node.name} voted for {message.to:016x} in term {message.term}, on disk is {state}",
    )

"""Responsible for the window of `Append` messages that one peer has not answered yet."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zetcd.scalars import Index


class Inflights:
    """A first-in first-out window, bounded in messages and in bytes.

    Invariants:
        * The indexes ascend strictly.
        * ``bytes_total`` is the sum of the bytes in the window.
        * There are never more than ``messages_max`` messages. ``bytes_max`` may be exceeded by the
          last message only, so that an entry larger than the window can be sent at all.
    """

    __slots__ = ("_window", "bytes_max", "bytes_total", "messages_max")

    def __init__(self, *, messages_max: int, bytes_max: int) -> None:
        """Start with an empty window."""
        assert messages_max > 0
        assert bytes_max > 0
        self.messages_max = messages_max
        self.bytes_max = bytes_max
        self.bytes_total = 0
        #: (last index of the message, its bytes), oldest first.
        self._window: deque[tuple[Index, int]] = deque()

    def __len__(self) -> int:
        """Return the number of unanswered messages."""
        return len(self._window)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent before something is answered."""
        return len(self._window) >= self.messages_max or self.bytes_total >= self.bytes_max

    def add(self, last_index: Index, bytes_count: int) -> None:
        """Note that a message whose entries end with ``last_index`` was sent."""
        assert not self.is_full, "sent past a full window"
        assert not self._window or self._window[-1][0] < last_index, "indexes must ascend"
        self._window.append((last_index, bytes_count))
        self.bytes_total += bytes_count

    def free_le(self, index: Index) -> None:
        """Drop the messages whose entries all lie at or below ``index``."""
        window = self._window
        while window and window[0][0] <= index:
            self.bytes_total -= window.popleft()[1]

    def reset(self) -> None:
        """Drop everything."""
        self._window.clear()
        self.bytes_total = 0

    def check(self) -> None:
        """Assert the invariants."""
        indexes = [index for index, _ in self._window]
        assert indexes == sorted(set(indexes)), "indexes must ascend"
        assert self.bytes_total == sum(count for _, count in self._window)
        assert len(indexes) <= self.messages_max
        assert sum(count for _, count in list(self._window)[:-1]) < self.bytes_max

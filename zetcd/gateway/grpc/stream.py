"""Responsible for the state of one call on the wire."""

from __future__ import annotations

from collections import deque
from typing import Final

from zetcd.gateway.grpc.head import Head, Method

#: Head of what is no gRPC call.
FOREIGN: Final = Head(Method(""), (), "")


class Stream:
    """One stream of a connection, from its HEADERS until both sides are done.

    Invariants:
        - `queued_bytes` is the sum of `queue`, less `sent_of_first`.
        - `is_scheduled` exactly while the stream is in its connection's `ready`.
        - `trailers` is set at most once, and nothing is queued after it.
    """

    __slots__ = (
        "assembly",
        "began_at",
        "content_left",
        "deadline",
        "deadline_slot",
        "foreign_body",
        "has_headers",
        "has_trailers",
        "head",
        "id",
        "is_announced",
        "is_held",
        "is_open",
        "is_remote_closed",
        "is_scheduled",
        "message_count",
        "only_message",
        "part_left",
        "queue",
        "queued_bytes",
        "receive_window",
        "send_window",
        "sent_of_first",
        "token",
        "trailers",
        "wants_room",
    )

    def __init__(
        self, stream_id: int, token: int, head: Head, *, send_window: int, receive_window: int
    ) -> None:
        """Open; nothing sent or received but the client's headers."""
        self.id = stream_id
        self.token = token
        self.head = head
        #: What the figures of the method gave when the call began.
        self.began_at = 0.0
        #: Octets of DATA the client lets us send; below 0 after it shrank its windows.
        self.send_window = send_window
        #: Octets of DATA the client may still send.
        self.receive_window = receive_window
        #: The client has ended its side.
        self.is_remote_closed = False
        #: The stream is in its connection's table.
        self.is_open = True
        #: The application has been told of it.
        self.is_announced = False
        #: The application wants no more messages for now.
        self.is_held = False
        #: The response headers have been sent.
        self.has_headers = False
        #: A message (or several) of which the end is missing.
        self.assembly: bytearray | None = None
        self.message_count = 0
        #: Complete message of a call whose end has not come.
        self.only_message: bytes | None = None
        #: Octets of DATA that content-length still promises; None: no promise.
        self.content_left: int | None = head.content_length
        #: Message octets to be sent as DATA.
        self.queue: deque[bytes] | None = None
        self.queued_bytes = 0
        #: Octets of the first chunk of `queue` that are sent.
        self.sent_of_first = 0
        #: Octets that `send_part` still owes to the message that was begun.
        self.part_left = 0
        #: Block that ends the stream once the queue is empty; empty: DATA ends it.
        self.trailers = b""
        self.has_trailers = False
        self.is_scheduled = False
        #: The application was told FULL and waits for `Writable`.
        self.wants_room = False
        self.deadline: float | None = None
        self.deadline_slot = 0
        #: Header block and body with which a foreign request will be answered.
        self.foreign_body: tuple[bytes, bytes] | None = None

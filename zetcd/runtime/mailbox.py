"""Responsible for carrying messages between the actors of one node: in order, bounded, never to the dead.

Every actor owns one inbox. A message travels in an envelope of 12 bytes that names the sender (role,
instance, incarnation) and the incarnation of the receiver it is meant for:

    role(1) instance(1) reserved(2) sender incarnation(4) receiver incarnation(4) | MessagePack body

Invariants
    - Between two live incarnations, messages arrive in order and none is lost.
    - A message sent to or by an incarnation that is gone is dropped on arrival. Only `Hello` may be
      addressed to an incarnation not yet known (0); it teaches both sides the other's number.
    - What the pipe does not take at once waits in a bounded outbox; a full outbox refuses.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import zmq

from zetcd.errors import InvariantViolation
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.node import ActorRole, Hello

_ENVELOPE: Final = struct.Struct(">BBHII")
_HELLO_BODY: Final = encode(Hello())
#: Messages that may wait for one receiver beyond what the pipe holds; past it the receiver counts as stuck.
OUTBOX_MESSAGES_MAX: Final = 20_000
#: Messages a pipe holds in each direction; a batch is one message, so this is minutes of a stuck reader.
PIPE_MESSAGES_MAX: Final = 4_096


class Address(NamedTuple):
    """Where an actor is reached within its node."""

    role: ActorRole
    instance: int = 0

    def __str__(self) -> str:
        """Return for example ``gateway-0``."""
        return f"{self.role.name.lower().replace('_', '-')}-{self.instance}"


class Received(NamedTuple):
    """A message and who sent it."""

    sender: Address
    #: Incarnation of the sender.
    incarnation: int
    message: Message


class Mailbox(Protocol):
    """What an actor needs to talk to its neighbours."""

    address: Address
    incarnation: int
    #: `receive` stopped at its limit: there may be more, and nothing will tell.
    has_more: bool

    def send(self, to: Address, message: Message) -> bool:
        """Send in order; False: nothing was sent, because the receiver is unknown or its outbox is full."""
        ...

    def send_encoded(self, to: Address, body: bytes) -> bool:
        """Send an already encoded message."""
        ...

    def receive(self, limit: int) -> list[Received]:
        """Return at most ``limit`` messages without waiting; a `Hello` comes out once per new incarnation."""
        ...

    def flush(self) -> None:
        """Try again to send what the pipes did not take."""
        ...

    def backlog(self, to: Address) -> int:
        """Return how many messages wait for ``to`` because its pipe is full."""
        ...

    def has_backlog(self) -> bool:
        """Whether any message waits because a pipe is full: `flush` it soon."""
        ...

    def incarnation_of(self, neighbour: Address) -> int:
        """Return an actor's incarnation; 0 if it has not said `Hello` or is no neighbour."""
        ...


def socket_path(directory: str, address: Address) -> str:
    """Return the ZeroMQ endpoint of an actor's inbox."""
    return f"ipc://{directory}/{address}"


#: Plain numbers: every turn asks several times, and pyzmq's enumerations cost a third of each time
#: (bench/micro/wakeup.py).
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)


def has_input(socket: zmq.Socket[bytes]) -> bool:
    """Whether ``socket`` has a message.

    Asking is cheaper than receiving until `zmq.Again`: in a process that has just been woken up, the
    exception alone costs 30 us (bench/micro/wakeup.py).
    """
    events = socket.getsockopt(_EVENTS)
    assert isinstance(events, int), "EVENTS is a number"
    return events & _POLLIN != 0


class _Neighbour:
    """What is known of one neighbour."""

    __slots__ = ("envelope", "incarnation", "outbox", "socket")

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self.incarnation = 0
        self.envelope = b""
        self.outbox: deque[bytes] = deque()


class ZmqMailbox:
    """A mailbox over ZeroMQ PUSH/PULL pipes on ``ipc://`` sockets."""

    def __init__(
        self,
        directory: str,
        address: Address,
        incarnation: int,
        *,
        neighbours: Sequence[Address],
        decoder: UnionDecoder,
        context: zmq.Context[zmq.Socket[bytes]],
    ) -> None:
        """Bind the inbox of ``address`` in ``directory`` and greet every neighbour.

        Args:
            directory: the node's runtime directory, mode 0700.
            address: of this actor.
            incarnation: number of this process, larger than that of every earlier one of this node.
            neighbours: the actors this one talks to.
            decoder: decodes the union of messages this actor may receive.
            context: the process's ZeroMQ context.
        """
        assert incarnation > 0
        self.address = address
        self.incarnation = incarnation
        self.has_more = False
        self._decode: Callable[[bytes | memoryview], Message] = decoder.decode
        self._directory = directory
        self._context = context
        self._inbox = context.socket(zmq.PULL)
        self._inbox.set_hwm(PIPE_MESSAGES_MAX)
        self._inbox.setsockopt(zmq.LINGER, 0)
        self._inbox.bind(socket_path(directory, address))
        self._neighbours: dict[Address, _Neighbour] = {}
        for neighbour in neighbours:
            self._neighbours[neighbour] = _Neighbour(self._connect(neighbour))
            self._greet(neighbour)

    def _connect(self, neighbour: Address) -> zmq.Socket[bytes]:
        """Return a pipe to whoever has, or will have, the inbox of ``neighbour``."""
        socket = self._context.socket(zmq.PUSH)
        socket.set_hwm(PIPE_MESSAGES_MAX)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 100)
        socket.connect(socket_path(self._directory, neighbour))
        return socket

    @property
    def inbox(self) -> zmq.Socket[bytes]:
        """The socket to poll for input."""
        return self._inbox

    def _envelope(self, receiver_incarnation: int) -> bytes:
        role, instance = self.address
        return _ENVELOPE.pack(role, instance, 0, self.incarnation, receiver_incarnation)

    def _greet(self, to: Address) -> None:
        neighbour = self._neighbours[to]
        self._transmit(neighbour, self._envelope(neighbour.incarnation) + _HELLO_BODY)

    def send(self, to: Address, message: Message) -> bool:
        """Send in order; False: nothing was sent, because the receiver is unknown or its outbox is full."""
        return self.send_encoded(to, encode(message))

    def send_encoded(self, to: Address, body: bytes) -> bool:
        """Send an already encoded message; same result as `send`."""
        neighbour = self._neighbours[to]
        if neighbour.incarnation == 0 or len(neighbour.outbox) >= OUTBOX_MESSAGES_MAX:
            return False
        self._transmit(neighbour, neighbour.envelope + body)
        return True

    def _transmit(self, neighbour: _Neighbour, frame: bytes) -> None:
        if not neighbour.outbox:
            try:
                neighbour.socket.send(frame, zmq.NOBLOCK)
            except zmq.Again:
                pass
            else:
                return
        neighbour.outbox.append(frame)

    def flush(self) -> None:
        """Try again to send what the pipes did not take."""
        for neighbour in self._neighbours.values():
            while neighbour.outbox:
                try:
                    neighbour.socket.send(neighbour.outbox[0], zmq.NOBLOCK)
                except zmq.Again:
                    break
                neighbour.outbox.popleft()

    def backlog(self, to: Address) -> int:
        """Return how many messages wait for ``to`` because its pipe is full."""
        return len(self._neighbours[to].outbox)

    def has_backlog(self) -> bool:
        """Whether any message waits because a pipe is full: `flush` it soon."""
        return any(neighbour.outbox for neighbour in self._neighbours.values())

    def incarnation_of(self, neighbour: Address) -> int:
        """Return an actor's incarnation; 0 if it has not said `Hello` or is no neighbour.

        The log and peers name actors of earlier runs of this node, which may have had more of them.
        """
        known = self._neighbours.get(neighbour)
        return 0 if known is None else known.incarnation

    def receive(self, limit: int) -> list[Received]:
        """Return at most ``limit`` messages without waiting."""
        received: list[Received] = []
        receive, unpack = self._inbox.recv, _ENVELOPE.unpack_from
        while len(received) < limit and has_input(self._inbox):
            frame = receive(zmq.NOBLOCK)
            role, instance, _, incarnation, meant_for = unpack(frame)
            sender = Address(ActorRole(role), instance)
            if self._is_current(sender, incarnation, meant_for, received):
                message = self._decode(memoryview(frame)[_ENVELOPE.size :])
                if type(message) is not Hello:
                    received.append(Received(sender, incarnation, message))
        self.has_more = len(received) >= limit
        return received

    def _is_current(
        self, sender: Address, incarnation: int, meant_for: int, received: list[Received]
    ) -> bool:
        """Say whether a message may be acted upon; learns a new incarnation and reports it as a `Hello`."""
        neighbour = self._neighbours.get(sender)
        if neighbour is None:
            message = f"{self.address} got a message from {sender}, which is not its neighbour"
            raise InvariantViolation(message)
        if incarnation < neighbour.incarnation:
            return False
        if incarnation > neighbour.incarnation:
            neighbour.incarnation = incarnation
            neighbour.envelope = self._envelope(incarnation)
            # Whatever still waits was meant for the previous incarnation. So was the connection: until
            # libzmq has noticed that it is dead, it would swallow what is sent next.
            neighbour.outbox.clear()
            neighbour.socket.close(0)
            neighbour.socket = self._connect(sender)
            self._greet(sender)
            received.append(Received(sender, incarnation, Hello()))
        return meant_for == self.incarnation

    def close(self) -> None:
        """Close every socket at once, dropping what has not left."""
        self._inbox.close(0)
        for neighbour in self._neighbours.values():
            neighbour.socket.close(0)


class MemoryMailbox:
    """A mailbox in memory, for tests and simulation: the same promises, delivered by a `MemoryPost`."""

    def __init__(self, post: MemoryPost, address: Address, incarnation: int) -> None:
        """Register with ``post`` under ``address``."""
        self.address = address
        self.incarnation = incarnation
        self._post = post
        self.has_more = False
        self._known: dict[Address, int] = {}
        self.inbox: deque[tuple[Address, int, int, Message]] = deque()
        post.register(self)

    def send(self, to: Address, message: Message) -> bool:
        """Send in order; False if the receiver has not said `Hello`."""
        known = self._known.get(to, 0)
        if known == 0:
            return False
        self._post.deliver(self, to, known, message)
        return True

    def send_encoded(self, to: Address, body: bytes) -> bool:
        """Send an encoded message; decoded again, so that tests see what the wire would carry."""
        return self.send(to, self._post.decoder.decode(body))

    def greet(self, to: Address) -> None:
        """Say `Hello`, as every actor does when it starts."""
        self._post.deliver(self, to, self._known.get(to, 0), Hello())

    def receive(self, limit: int) -> list[Received]:
        """Return at most ``limit`` messages."""
        received: list[Received] = []
        while self.inbox and len(received) < limit:
            sender, incarnation, meant_for, message = self.inbox.popleft()
            known = self._known.get(sender, 0)
            if incarnation < known:
                continue
            if incarnation > known:
                self._known[sender] = incarnation
                self.greet(sender)
                received.append(Received(sender, incarnation, Hello()))
            if meant_for == self.incarnation and type(message) is not Hello:
                received.append(Received(sender, incarnation, message))
        self.has_more = bool(self.inbox)
        return received

    def flush(self) -> None:
        """Do nothing: memory always takes a message."""

    def backlog(self, to: Address) -> int:
        """Return 0: nothing waits in memory."""
        del to
        return 0

    def has_backlog(self) -> bool:
        """Return False: nothing waits in memory."""
        return False

    def incarnation_of(self, neighbour: Address) -> int:
        """Return an actor's incarnation; 0 if it has not said `Hello` or is no neighbour."""
        return self._known.get(neighbour, 0)


class MemoryPost:
    """Delivers between the `MemoryMailbox`es of one node."""

    def __init__(self, decoder: UnionDecoder) -> None:
        """Start without mailboxes; ``decoder`` decodes any message of the node."""
        self.decoder = decoder
        self._boxes: dict[Address, MemoryMailbox] = {}

    def register(self, mailbox: MemoryMailbox) -> None:
        """Put ``mailbox`` in the place of an earlier incarnation."""
        self._boxes[mailbox.address] = mailbox

    def remove(self, address: Address) -> None:
        """Forget an actor that died; what is sent to it is lost."""
        del self._boxes[address]

    def deliver(self, sender: MemoryMailbox, to: Address, meant_for: int, message: Message) -> None:
        """Append to the receiver's inbox, if it lives."""
        box = self._boxes.get(to)
        if box is not None:
            box.inbox.append((sender.address, sender.incarnation, meant_for, message))

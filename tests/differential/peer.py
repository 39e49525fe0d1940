"""One of the two stores: runs steps against it and returns what came back, as it came."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from tests.differential.steps import (
    CHOSEN_LEASES,
    Barrier,
    Call,
    Cancel,
    Create,
    Dialogue,
    Ignored,
    KeepAlives,
    RawCall,
    SnapshotCall,
    Step,
)
from tests.integration.etcd_api.stubs import METHODS, EtcdClient
from zetcd.gateway.etcd.proto import kv_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

SECONDS_MAX = 60.0
#: Between two requests for progress, of which a store answers only those that come when all is sent.
_PROGRESS_SECONDS = 0.02
_SHA256_BYTES = 32


@dataclass
class Answer:
    """What a step came to: a status, the messages, and for watches the events of each watcher."""

    code: str = "OK"
    text: str = ""
    messages: list[Message] = field(default_factory=list)
    #: What each message answers, where it is the answer to a single call.
    requests: list[Message | None] = field(default_factory=list)
    events: dict[int, list[kv_pb2.Event]] = field(default_factory=dict)
    #: Broken rules that each store must keep by itself.
    complaints: list[str] = field(default_factory=list)


class Peer:
    """A client of one store, with the ids of leases that this store has chosen."""

    def __init__(self, name: str, target: str) -> None:
        self.name = name
        self.client = EtcdClient(target)
        self.chosen: list[int] = []
        self._callables: dict[str, Callable[..., Any]] = {}

    def close(self) -> None:
        self.client.close()

    # --- unary ------------------------------------------------------------------------------

    def begin(self, call: Call) -> Callable[[], Answer]:
        """Send a call; return what waits for its answer."""
        if call.method not in self._callables:
            self._callables[call.method] = self.client._callable(call.method)
        request = self._with_real_ids(call.request)
        future = self._callables[call.method].future(  # type: ignore[attr-defined]
            request, timeout=SECONDS_MAX, metadata=call.metadata
        )

        def wait() -> Answer:
            try:
                message = future.result()
            except grpc.RpcError as error:
                return _refused(error)
            if isinstance(message, pb.LeaseGrantResponse) and not getattr(request, "ID", 0):
                self.chosen.append(message.ID)
            return Answer(messages=[message], requests=[call.request])

        return wait

    def run(self, step: Step) -> Answer:
        """Run a step to its end."""
        if isinstance(step, Call):
            return self.begin(step)()
        if isinstance(step, RawCall):
            return self._raw(step)
        if isinstance(step, KeepAlives):
            return self._keep_alives(step)
        if isinstance(step, SnapshotCall):
            return self._snapshot()
        return _Conversation(self, step).run()

    def _raw(self, step: RawCall) -> Answer:
        method = METHODS.get(step.path.lstrip("/").removeprefix("etcdserverpb.").replace("/", "."))
        kind = "unary_unary"
        if method is not None and method.client_streaming:
            kind = "stream_stream"
        call = getattr(self.client.channel, kind)(
            step.path, request_serializer=None, response_deserializer=None
        )
        try:
            if kind == "unary_unary":
                call(step.octets, timeout=SECONDS_MAX)
            else:
                list(call(iter([step.octets]), timeout=SECONDS_MAX))
        except grpc.RpcError as error:
            return _refused(error)
        return Answer()

    def _keep_alives(self, step: KeepAlives) -> Answer:
        requests = [pb.LeaseKeepAliveRequest(ID=self.real_id(each)) for each in step.leases]
        stream = self.client.stream(
            "Lease.LeaseKeepAlive", iter(requests), pb.LeaseKeepAliveResponse
        )
        try:
            messages: list[Message] = list(stream)
            return Answer(messages=messages, requests=[None] * len(messages))
        except grpc.RpcError as error:
            return _refused(error)

    def _snapshot(self) -> Answer:
        """Read a snapshot; keep only whether it is whole: what is in it is each store's own affair."""
        stream = self.client.stream(
            "Maintenance.Snapshot", pb.SnapshotRequest(), pb.SnapshotResponse
        )
        blobs: list[bytes] = []
        remaining: list[int] = []
        try:
            for response in stream:
                blobs.append(response.blob)
                remaining.append(response.remaining_bytes)
        except grpc.RpcError as error:
            return _refused(error)
        answer = Answer()
        octets = b"".join(blobs)
        if hashlib.sha256(octets[:-_SHA256_BYTES]).digest() != octets[-_SHA256_BYTES:]:
            answer.complaints.append("the snapshot does not end with its SHA-256")
        if remaining != sorted(remaining, reverse=True) or remaining[-1]:
            answer.complaints.append("remaining_bytes do not go down to nothing")
        return answer

    # --- leases that the store has named ------------------------------------------------------

    def real_id(self, lease: int) -> int:
        number = lease - CHOSEN_LEASES
        return self.chosen[number] if 0 <= number < len(self.chosen) else lease

    def common_id(self, lease: int) -> int:
        return CHOSEN_LEASES + self.chosen.index(lease) if lease in self.chosen else lease

    def _with_real_ids(self, request: Message) -> Message:
        if not self.chosen:
            return request
        mine = type(request)()
        mine.CopyFrom(request)
        self._replace_ids(mine)
        return mine

    def _replace_ids(self, message: Message) -> None:
        if isinstance(message, pb.TxnRequest):
            for compare in message.compare:
                if compare.WhichOneof("target_union") == "lease":
                    compare.lease = self.real_id(compare.lease)
            for operation in (*message.success, *message.failure):
                kind = operation.WhichOneof("request")
                if kind is not None:
                    self._replace_ids(getattr(operation, kind))
        elif isinstance(message, pb.PutRequest):
            message.lease = self.real_id(message.lease)
        elif isinstance(
            message, (pb.LeaseGrantRequest, pb.LeaseRevokeRequest, pb.LeaseTimeToLiveRequest)
        ):
            message.ID = self.real_id(message.ID)


def _refused(error: grpc.RpcError) -> Answer:
    status = cast(grpc.Call, error)
    return Answer(status.code().name, status.details() or "")


class _Conversation:
    """One watch stream: what is sent when, and what came back for which watcher."""

    def __init__(self, peer: Peer, dialogue: Dialogue) -> None:
        self._peer = peer
        self._dialogue = dialogue
        self._requests: queue.SimpleQueue[pb.WatchRequest | None] = queue.SimpleQueue()
        self._responses: queue.SimpleQueue[pb.WatchResponse | Answer] = queue.SimpleQueue()
        self._answer = Answer()
        self._revision = 0
        self._fragments: dict[int, int] = {}

    def run(self) -> Answer:
        stream = self._peer.client.stream(
            "Watch.Watch", self._sent(), pb.WatchResponse, metadata=self._dialogue.metadata
        )

        def read() -> None:
            try:
                for response in stream:
                    self._responses.put(response)
            except grpc.RpcError as error:
                self._responses.put(_refused(error))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for action in self._dialogue.actions:
                if not self._act(action):
                    break
        finally:
            self._requests.put(None)
            stream.cancel()
            reader.join()
        return self._answer

    def _sent(self) -> Iterator[pb.WatchRequest]:
        while (request := self._requests.get()) is not None:
            yield request

    def _act(self, action: Create | Cancel | Ignored | Barrier | Call) -> bool:
        if isinstance(action, Call):
            written = self._peer.run(action)
            self._answer.messages += written.messages
            self._answer.requests += written.requests
            for message in written.messages:
                header = getattr(message, "header", None)
                self._revision = max(self._revision, header.revision if header else 0)
            return True
        if isinstance(action, Create):
            self._requests.put(pb.WatchRequest(create_request=action.request))
            found = self._wait(lambda response: response.created)
            if found and action.is_cancelled:
                found = self._wait(lambda response: response.canceled)
            return found
        if isinstance(action, Cancel):
            cancel = pb.WatchCancelRequest(watch_id=action.watch_id)
            self._requests.put(pb.WatchRequest(cancel_request=cancel))
            return self._wait(lambda response: response.canceled)
        if isinstance(action, Ignored):
            self._requests.put(action.request)
            return True
        return self._wait_progress()

    def _wait_progress(self) -> bool:
        """Ask until all is sent; then take in what was asked for too often."""
        deadline = time.monotonic() + SECONDS_MAX
        progress = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
        while time.monotonic() < deadline:
            self._requests.put(progress)
            if self._wait(
                lambda response: (
                    response.watch_id == -1 and response.header.revision >= self._revision
                ),
                _PROGRESS_SECONDS,
            ):
                return True
            if self._answer.code != "OK":
                return False
        self._answer.complaints.append(f"no progress to revision {self._revision}")
        return False

    def _wait(
        self, wanted: Callable[[pb.WatchResponse], bool], seconds: float = SECONDS_MAX
    ) -> bool:
        deadline = time.monotonic() + seconds
        while True:
            try:
                response = self._responses.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                if seconds == SECONDS_MAX:
                    self._answer.complaints.append("nothing came")
                return False
            if isinstance(response, Answer):
                self._answer.code, self._answer.text = response.code, response.text
                return False
            self._take(response)
            if wanted(response):
                return True

    def _take(self, response: pb.WatchResponse) -> None:
        watcher = response.watch_id
        if response.created or response.canceled:
            self._answer.messages.append(response)
            self._answer.requests.append(None)
            return
        if watcher == -1:
            late = [
                event.kv.mod_revision
                for events in self._answer.events.values()
                for event in events
                if event.kv.mod_revision > response.header.revision
            ]
            if late:
                self._answer.complaints.append(f"events {late} before progress {response.header}")
            return
        if not response.events:
            return
        before = self._answer.events.setdefault(watcher, [])
        first, last = response.events[0].kv.mod_revision, response.events[-1].kv.mod_revision
        if before and before[-1].kv.mod_revision >= first and not self._fragments.get(watcher):
            self._answer.complaints.append(f"revision {first} of watcher {watcher} is torn apart")
        if response.header.revision < last:
            self._answer.complaints.append(f"header {response.header.revision} before event {last}")
        self._fragments[watcher] = response.fragment
        before.extend(response.events)


__all__ = ["Answer", "Peer"]

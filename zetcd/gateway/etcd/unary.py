"""Responsible for the table of calls that are one request: how each is read and how it is answered.

Which methods take several steps (locks, elections) is here as well; those that need no request at
all are in `local_answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import Message as ProtoMessage

from zetcd.errors import NotImplementedYet, ZetcdError
from zetcd.gateway.etcd import election, lock, requests, snapshots
from zetcd.gateway.etcd.call_transport import CallTransport
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.proto import v3election_pb2, v3lock_pb2
from zetcd.gateway.etcd.ranges import RangeAsker, RangeStreamAsker, can_stream
from zetcd.gateway.etcd.recipes import Scene, Steps
from zetcd.gateway.etcd.replies import Asker
from zetcd.gateway.etcd.responses import Responses
from zetcd.gateway.etcd.statuses import status_of
from zetcd.gateway.pending import Pending
from zetcd.messages.base import Message
from zetcd.messages.kv import RangeRequest, RangeResponse

P = TypeVar("P", bound=ProtoMessage)


@dataclass(frozen=True, slots=True)
class Unary:
    """A method that is one request."""

    #: Bytes of a call → request; raises `DecodeError` or `ZetcdError`.
    read: Callable[[bytes], Message]
    asker: Asker


class UnaryAsker:
    """Answers calls with one message; the request id of its requests is the call's token."""

    def __init__(self, transport: CallTransport, encode: Callable[..., bytes]) -> None:
        """Answer with what ``encode`` makes of a response."""
        self._transport = transport
        self._encode = encode

    def answered(self, pending: Pending, response: Message) -> None:
        """Send the response."""
        self._transport.answer(pending.request_id, self._encode(response))

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Never called: only ranges come in parts."""
        raise AssertionError("only ranges come in parts")

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """Send the error."""
        self._transport.finish(pending.request_id, status_of(error))


def _reader(kind: type[P], translate: Callable[[P], Message]) -> Callable[[bytes], Message]:
    """Return a function from the bytes of a ``kind`` to our request."""
    parse = kind.FromString

    def read(octets: bytes) -> Message:
        return translate(parse(octets))

    return read


def _streamable_range(message: pb.RangeRequest) -> RangeRequest:
    request = requests.range_request(message)
    if not can_stream(request):
        raise NotImplementedYet("RangeStream neither sorts nor filters by revision")
    return request


def unary_methods(
    transport: CallTransport, responses: Responses, ranges: Asker, range_streams: Asker
) -> dict[str, Unary]:
    """Return the methods that are one request, by path."""
    usual = UnaryAsker(transport, responses.encode)
    put = UnaryAsker(transport, responses.put)
    hashes = UnaryAsker(transport, responses.hash)
    read = _reader
    tables = {
        "KV": {
            "Range": Unary(requests.read_range, ranges),
            "RangeStream": Unary(read(pb.RangeRequest, _streamable_range), range_streams),
            "Put": Unary(requests.read_put, put),
            "DeleteRange": Unary(read(pb.DeleteRangeRequest, requests.delete_range_request), usual),
            "Txn": Unary(read(pb.TxnRequest, requests.txn_request), usual),
            "Compact": Unary(read(pb.CompactionRequest, requests.compaction_request), usual),
        },
        "Lease": {
            "LeaseGrant": Unary(read(pb.LeaseGrantRequest, requests.lease_grant_request), usual),
            "LeaseRevoke": Unary(read(pb.LeaseRevokeRequest, requests.lease_revoke_request), usual),
            "LeaseTimeToLive": Unary(
                read(pb.LeaseTimeToLiveRequest, requests.lease_time_to_live_request), usual
            ),
            "LeaseLeases": Unary(read(pb.LeaseLeasesRequest, requests.lease_leases_request), usual),
        },
        "Cluster": {
            "MemberList": Unary(read(pb.MemberListRequest, requests.member_list_request), usual),
            "MemberAdd": Unary(read(pb.MemberAddRequest, requests.member_add_request), usual),
            "MemberRemove": Unary(
                read(pb.MemberRemoveRequest, requests.member_remove_request), usual
            ),
            "MemberUpdate": Unary(
                read(pb.MemberUpdateRequest, requests.member_update_request), usual
            ),
            "MemberPromote": Unary(
                read(pb.MemberPromoteRequest, requests.member_promote_request), usual
            ),
        },
        "Maintenance": {
            "Alarm": Unary(read(pb.AlarmRequest, requests.alarm_request), usual),
            "Status": Unary(read(pb.StatusRequest, requests.status_request), usual),
            "Defragment": Unary(read(pb.DefragmentRequest, requests.defragment_request), usual),
            "Hash": Unary(read(pb.HashRequest, requests.hash_request), hashes),
            "HashKV": Unary(read(pb.HashKVRequest, requests.hash_kv_request), usual),
            "MoveLeader": Unary(read(pb.MoveLeaderRequest, requests.move_leader_request), usual),
        },
    }
    return {
        f"/etcdserverpb.{service}/{method}": unary
        for service, methods in tables.items()
        for method, unary in methods.items()
    }


#: Bytes of a call → the recipe that serves it.
Starter = Callable[[bytes, Responses], Callable[[Scene], Steps]]


def _starter(kind: type[P], recipe: Callable[[P, Responses, Scene], Steps]) -> Starter:
    parse = kind.FromString

    def start(octets: bytes, responses: Responses) -> Callable[[Scene], Steps]:
        request = parse(octets)
        return lambda scene: recipe(request, responses, scene)

    return start


#: Methods that take several steps, by path.
RECIPES: Final[Mapping[str, Starter]] = {
    "/etcdserverpb.Maintenance/Snapshot": _starter(pb.SnapshotRequest, snapshots.snapshot),
    "/v3lockpb.Lock/Lock": _starter(v3lock_pb2.LockRequest, lock.lock),
    "/v3lockpb.Lock/Unlock": _starter(v3lock_pb2.UnlockRequest, lock.unlock),
    "/v3electionpb.Election/Campaign": _starter(v3election_pb2.CampaignRequest, election.campaign),
    "/v3electionpb.Election/Proclaim": _starter(v3election_pb2.ProclaimRequest, election.proclaim),
    "/v3electionpb.Election/Leader": _starter(v3election_pb2.LeaderRequest, election.leader),
    "/v3electionpb.Election/Observe": _starter(v3election_pb2.LeaderRequest, election.observe),
    "/v3electionpb.Election/Resign": _starter(v3election_pb2.ResignRequest, election.resign),
}

__all__ = [
    "RECIPES",
    "RangeAsker",
    "RangeStreamAsker",
    "Starter",
    "Unary",
    "UnaryAsker",
    "unary_methods",
]

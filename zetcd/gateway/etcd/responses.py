"""Responsible for turning our responses into the bytes of protobuf ones. Pure.

A message of protobuf is the concatenation of its fields, so every response is made of two pieces:
its header, whose bytes are kept because neighbours share it, and the rest. A put without a previous
value *is* its header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast

from zetcd.gateway.etcd.proto import kv_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.messages.base import Message
from zetcd.messages.cluster import (
    AlarmResponse,
    DefragmentResponse,
    HashKVResponse,
    Member,
    MemberAddResponse,
    MemberListResponse,
    MemberPromoteResponse,
    MemberRemoveResponse,
    MemberUpdateResponse,
    MoveLeaderResponse,
    StatusResponse,
)
from zetcd.messages.kv import (
    CompactionResponse,
    DeleteRangeResponse,
    Event,
    KeyValue,
    PutResponse,
    RangeResponse,
    ResponseHeader,
    ResponseOp,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
)
from zetcd.scalars import NodeID, Revision, Term
from zetcd.varint import varint

#: Tag of field 1, length-delimited: every response's header.
_HEADER_TAG: Final = b"\x0a"
#: Tag of field 2, length-delimited: the keys of a range's response.
_KVS_TAG: Final = b"\x12"
_64_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
#: What etcd has for the compacted revision of a store that was never compacted.
_NEVER_COMPACTED: Final = -1


def key_value(kv: KeyValue) -> kv_pb2.KeyValue:
    """Return a key at some revision."""
    return kv_pb2.KeyValue(
        key=kv.key,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        value=kv.value,
        lease=kv.lease,
    )


def event(message: Event) -> kv_pb2.Event:
    """Return a change of a key."""
    prev_kv = None if message.prev_kv is None else key_value(message.prev_kv)
    return kv_pb2.Event(
        type=cast(kv_pb2.Event.EventType, message.type),
        kv=key_value(message.kv),
        prev_kv=prev_kv,
    )


def encoded_kvs(kvs: Iterable[KeyValue]) -> bytes:
    """Return the field ``kvs`` of a range response.

    By hand, for it is what most reads are made of: compiled, a quarter of the time for one key, half of it for many.
    """
    return b"".join([_encoded_kv(kv) for kv in kvs])


def _encoded_kv(kv: KeyValue) -> bytes:
    """Return one key with its tag, as `key_value` would be written; of its numbers only the lease may be 0."""
    key, value, lease = kv.key, kv.value, kv.lease
    parts = [b"\x0a", varint(len(key)), key, b"\x10", varint(kv.create_revision)]
    parts += (b"\x18", varint(kv.mod_revision), b"\x20", varint(kv.version))
    if value:
        parts += (b"\x2a", varint(len(value)), value)
    if lease:
        # Ids are signed: negative ones are written as the 64 bits that they are.
        parts += (b"\x30", varint(lease & _64_BITS))
    octets = b"".join(parts)
    return b"".join((_KVS_TAG, varint(len(octets)), octets))


def member(message: Member) -> pb.Member:
    """Return a member."""
    return pb.Member(
        ID=message.id,
        name=message.name,
        peerURLs=message.peer_urls,
        clientURLs=message.client_urls,
        isLearner=message.is_learner,
    )


def _revision_only(header: ResponseHeader) -> pb.ResponseHeader:
    """Return the header of an operation within a transaction: nothing but the revision."""
    return pb.ResponseHeader(revision=header.revision)


def _range_response(response: RangeResponse) -> pb.RangeResponse:
    return pb.RangeResponse(
        header=_revision_only(response.header),
        kvs=[key_value(kv) for kv in response.kvs],
        more=response.more,
        count=response.count,
    )


def _operation(response: ResponseOp) -> pb.ResponseOp:
    if isinstance(response, PutResponse):
        prev_kv = None if response.prev_kv is None else key_value(response.prev_kv)
        put = pb.PutResponse(header=_revision_only(response.header), prev_kv=prev_kv)
        return pb.ResponseOp(response_put=put)
    if isinstance(response, RangeResponse):
        return pb.ResponseOp(response_range=_range_response(response))
    if isinstance(response, DeleteRangeResponse):
        deleted = pb.DeleteRangeResponse(
            header=_revision_only(response.header),
            deleted=response.deleted,
            prev_kvs=[key_value(kv) for kv in response.prev_kvs],
        )
        return pb.ResponseOp(response_delete_range=deleted)
    nested = pb.TxnResponse(
        # There, but empty: etcd sets the revision of the outermost one only.
        header=pb.ResponseHeader(),
        succeeded=response.succeeded,
        responses=[_operation(each) for each in response.responses],
    )
    return pb.ResponseOp(response_txn=nested)


class Responses:
    """Encodes responses of one member.

    Every method returns the whole message; ``encode`` finds the right one.
    """

    def __init__(self, cluster_id: int, member_id: NodeID) -> None:
        """Make a header's constant part."""
        self._cluster_id = cluster_id
        self._member_id = member_id
        #: What the headers of this member begin with, and the one that was written last.
        self._ids = pb.ResponseHeader(
            cluster_id=cluster_id, member_id=member_id
        ).SerializeToString()
        self._last_revision: Revision = 0
        self._last_term: Term = 0
        self._last_header = b""
        self._encoders: dict[type[Message], Callable[..., bytes]] = {
            PutResponse: self.put,
            RangeResponse: self.range,
            DeleteRangeResponse: self.delete_range,
            TxnResponse: self.txn,
            CompactionResponse: self._header_only,
            LeaseGrantResponse: self.lease_grant,
            LeaseRevokeResponse: self._header_only,
            LeaseKeepAliveResponse: self.lease_keep_alive,
            LeaseTimeToLiveResponse: self.lease_time_to_live,
            LeaseLeasesResponse: self.lease_leases,
            MemberListResponse: self.member_list,
            MemberAddResponse: self.member_add,
            MemberRemoveResponse: self.member_list,
            MemberUpdateResponse: self.member_list,
            MemberPromoteResponse: self.member_list,
            StatusResponse: self.status,
            HashKVResponse: self.hash_kv,
            DefragmentResponse: self.without_header,
            MoveLeaderResponse: self.without_header,
            AlarmResponse: self.alarm,
        }

    def encode(self, response: Message) -> bytes:
        """Return any response of our API as the bytes of etcd's counterpart."""
        return self._encoders[type(response)](response)

    def header_message(self, header: ResponseHeader) -> pb.ResponseHeader:
        """Return a header with the ids of this member."""
        return pb.ResponseHeader(
            cluster_id=self._cluster_id,
            member_id=self._member_id,
            revision=header.revision,
            raft_term=header.raft_term,
        )

    def header(self, header: ResponseHeader) -> bytes:
        """Return the field ``header`` that all responses have as their first."""
        revision, term = header.revision, header.raft_term
        if revision != self._last_revision or term != self._last_term or not self._last_header:
            # By hand: every put has a revision of its own.
            octets = self._ids
            if revision:
                octets += b"\x18" + varint(revision)
            if term:
                octets += b"\x20" + varint(term)
            self._last_revision, self._last_term = revision, term
            self._last_header = _HEADER_TAG + varint(len(octets)) + octets
        return self._last_header

    def _header_only(self, response: CompactionResponse | LeaseRevokeResponse) -> bytes:
        return self.header(response.header)

    def put(self, response: PutResponse) -> bytes:
        """Return a PutResponse."""
        header = self.header(response.header)
        if response.prev_kv is None:
            return header
        rest = pb.PutResponse(prev_kv=key_value(response.prev_kv))
        return header + rest.SerializeToString()

    def range(self, response: RangeResponse) -> bytes:
        """Return a RangeResponse."""
        return b"".join(
            (self.header(response.header), encoded_kvs(response.kvs), self.range_end(response))
        )

    def range_end(self, response: RangeResponse) -> bytes:
        """Return the fields of a RangeResponse but for header and keys."""
        more = b"\x18\x01" if response.more else b""
        return more + b"\x20" + varint(response.count) if response.count else more

    def delete_range(self, response: DeleteRangeResponse) -> bytes:
        """Return a DeleteRangeResponse."""
        rest = pb.DeleteRangeResponse(
            deleted=response.deleted, prev_kvs=[key_value(kv) for kv in response.prev_kvs]
        )
        return self.header(response.header) + rest.SerializeToString()

    def txn(self, response: TxnResponse) -> bytes:
        """Return a TxnResponse."""
        rest = pb.TxnResponse(
            succeeded=response.succeeded,
            responses=[_operation(each) for each in response.responses],
        )
        return self.header(response.header) + rest.SerializeToString()

    def lease_grant(self, response: LeaseGrantResponse) -> bytes:
        """Return a LeaseGrantResponse."""
        rest = pb.LeaseGrantResponse(ID=response.id, TTL=response.ttl)
        return self.header(response.header) + rest.SerializeToString()

    def lease_keep_alive(self, response: LeaseKeepAliveResponse) -> bytes:
        """Return a LeaseKeepAliveResponse."""
        rest = pb.LeaseKeepAliveResponse(ID=response.id, TTL=response.ttl)
        return self.header(response.header) + rest.SerializeToString()

    def lease_time_to_live(self, response: LeaseTimeToLiveResponse) -> bytes:
        """Return a LeaseTimeToLiveResponse."""
        rest = pb.LeaseTimeToLiveResponse(
            ID=response.id, TTL=response.ttl, grantedTTL=response.granted_ttl, keys=response.keys
        )
        return self.header(response.header) + rest.SerializeToString()

    def lease_leases(self, response: LeaseLeasesResponse) -> bytes:
        """Return a LeaseLeasesResponse."""
        rest = pb.LeaseLeasesResponse(leases=[pb.LeaseStatus(ID=each) for each in response.leases])
        return self.header(response.header) + rest.SerializeToString()

    def member_add(self, response: MemberAddResponse) -> bytes:
        """Return a MemberAddResponse."""
        rest = pb.MemberAddResponse(
            member=member(response.member), members=[member(each) for each in response.members]
        )
        return self.header(response.header) + rest.SerializeToString()

    def member_list(
        self,
        response: MemberListResponse
        | MemberRemoveResponse
        | MemberUpdateResponse
        | MemberPromoteResponse,
    ) -> bytes:
        """Return a MemberListResponse; the other three have the same fields."""
        rest = pb.MemberListResponse(members=[member(each) for each in response.members])
        return self.header(response.header) + rest.SerializeToString()

    def status(self, response: StatusResponse) -> bytes:
        """Return a StatusResponse; the version is that of the API, which clients look at."""
        rest = pb.StatusResponse(
            version=response.version,
            dbSize=response.db_size,
            leader=response.leader,
            raftIndex=response.raft_index,
            raftTerm=response.raft_term,
            raftAppliedIndex=response.raft_applied_index,
            errors=response.errors,
            dbSizeInUse=response.db_size_in_use,
            isLearner=response.is_learner,
            storageVersion=response.storage_version,
            dbSizeQuota=response.db_size_quota,
            downgradeInfo=pb.DowngradeInfo(),
        )
        return self.header(response.header) + rest.SerializeToString()

    def hash_kv(self, response: HashKVResponse) -> bytes:
        """Return a HashKVResponse."""
        rest = pb.HashKVResponse(
            hash=response.hash,
            compact_revision=response.compact_revision or _NEVER_COMPACTED,
            hash_revision=response.hash_revision,
        )
        return self.header(response.header) + rest.SerializeToString()

    def hash(self, response: HashKVResponse) -> bytes:
        """Return a HashResponse."""
        rest = pb.HashResponse(hash=response.hash)
        return self.header(response.header) + rest.SerializeToString()

    def without_header(self, response: DefragmentResponse | MoveLeaderResponse) -> bytes:
        """Return a response whose only field, the header, etcd leaves out."""
        del response
        return b""

    def alarm(self, response: AlarmResponse) -> bytes:
        """Return an AlarmResponse."""
        rest = pb.AlarmResponse(
            alarms=[
                pb.AlarmMember(memberID=each.member_id, alarm=cast(pb.AlarmType, each.alarm))
                for each in response.alarms
            ]
        )
        return self.header(response.header) + rest.SerializeToString()

"""Responsible for the cluster and maintenance API, and what membership stores about a member."""

from __future__ import annotations

from enum import IntEnum

from zetcd.messages.base import Message
from zetcd.messages.kv import ResponseHeader
from zetcd.scalars import Index, NodeID, Revision, Term


class Member(Message, frozen=True):
    """One member of the cluster, as etcd's Member; stored by apply, and the context of a `ConfChange`."""

    id: NodeID
    #: Empty until the member has started once.
    name: str = ""
    peer_urls: tuple[str, ...] = ()
    #: URLs of the etcd API.
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False
    #: URLs of the native protocol.
    native_urls: tuple[str, ...] = ()


class MemberListRequest(Message, frozen=True, tag=30):
    """Lists the members."""

    linearizable: bool = True


class MemberListResponse(Message, frozen=True, tag=94):
    """Answers `MemberListRequest`; sorted by id."""

    header: ResponseHeader
    members: tuple[Member, ...] = ()


class MemberAddRequest(Message, frozen=True, tag=40):
    """Adds a member; it has no name until it has started."""

    #: Where other members will reach it; at least one.
    peer_urls: tuple[str, ...]
    is_learner: bool = False


class MemberAddResponse(Message, frozen=True, tag=104):
    """Answers `MemberAddRequest` once the change is applied here."""

    header: ResponseHeader
    #: The new one.
    member: Member
    #: All of them, sorted by id.
    members: tuple[Member, ...] = ()


class MemberRemoveRequest(Message, frozen=True, tag=41):
    """Removes a member for good: its id never comes back."""

    id: NodeID


class MemberRemoveResponse(Message, frozen=True, tag=105):
    """Answers `MemberRemoveRequest` once the change is applied here."""

    header: ResponseHeader
    members: tuple[Member, ...] = ()


class MemberUpdateRequest(Message, frozen=True, tag=42):
    """Tells the cluster where a member is reached from now on."""

    id: NodeID
    peer_urls: tuple[str, ...]


class MemberUpdateResponse(Message, frozen=True, tag=106):
    """Answers `MemberUpdateRequest` once the change is applied here."""

    header: ResponseHeader
    members: tuple[Member, ...] = ()


class MemberPromoteRequest(Message, frozen=True, tag=43):
    """Makes a voter of a learner that has caught up with the leader."""

    id: NodeID


class MemberPromoteResponse(Message, frozen=True, tag=107):
    """Answers `MemberPromoteRequest` once the change is applied here."""

    header: ResponseHeader
    members: tuple[Member, ...] = ()


class StatusRequest(Message, frozen=True, tag=31):
    """Asks the serving member for its own status; needs no leader."""


class StatusResponse(Message, frozen=True, tag=95):
    """Answers `StatusRequest`; etcd reference Maintenance.Status."""

    header: ResponseHeader
    version: str
    #: Bytes of the LMDB file.
    db_size: int
    #: 0 = no leader known.
    leader: NodeID
    #: Committed index.
    raft_index: Index
    raft_term: Term
    raft_applied_index: Index
    errors: tuple[str, ...] = ()
    #: Bytes of pages in use.
    db_size_in_use: int = 0
    is_learner: bool = False
    storage_version: str = ""
    db_size_quota: int = 0


class HashKVRequest(Message, frozen=True, tag=32):
    """Asks for the hash of the key-value history up to a revision (0 = current)."""

    revision: Revision = 0


class HashKVResponse(Message, frozen=True, tag=96):
    """Answers `HashKVRequest`; equal on all members at the same ``hash_revision``."""

    header: ResponseHeader
    hash: int
    compact_revision: Revision
    hash_revision: Revision


class MoveLeaderRequest(Message, frozen=True, tag=33):
    """Transfers leadership; only the leader accepts it."""

    target_id: NodeID


class MoveLeaderResponse(Message, frozen=True, tag=97):
    """Answers `MoveLeaderRequest` once the target leads."""

    header: ResponseHeader


class AlarmType(IntEnum):
    """What is wrong with a member."""

    #: In a request: any.
    NONE = 0
    #: Its store is full.
    NOSPACE = 1
    #: Its store holds something else than the others'.
    CORRUPT = 2


class AlarmAction(IntEnum):
    """What to do with alarms."""

    GET = 0
    ACTIVATE = 1
    DEACTIVATE = 2


class AlarmMember(Message, frozen=True):
    """An alarm that is on; stored by apply."""

    #: 0 = it is not known which member.
    member_id: NodeID
    alarm: AlarmType


class AlarmRequest(Message, frozen=True, tag=35):
    """Lists alarms, or turns one on or off for every member; etcd reference Maintenance.Alarm."""

    action: AlarmAction = AlarmAction.GET
    #: Not looked at by GET.
    member_id: NodeID = 0
    #: GET: NONE lists all.
    alarm: AlarmType = AlarmType.NONE


class AlarmResponse(Message, frozen=True, tag=98):
    """Answers `AlarmRequest`: the alarms asked for, or the one that was changed, if it was."""

    header: ResponseHeader
    #: Sorted by alarm, then member.
    alarms: tuple[AlarmMember, ...] = ()


class DefragmentRequest(Message, frozen=True, tag=46):
    """Gives the free pages of the serving member's store back to its file system, while it goes on."""


class DefragmentResponse(Message, frozen=True, tag=110):
    """Answers `DefragmentRequest` once it is done."""

    header: ResponseHeader


class SnapshotReadRequest(Message, frozen=True, tag=47):
    """Reads a part of a snapshot of the serving member, as an etcd snapshot file; id 0 begins one."""

    id: int = 0
    #: Bytes read so far.
    offset: int = 0


class SnapshotReadResponse(Message, frozen=True, tag=111):
    """Answers `SnapshotReadRequest`; the snapshot is gone once its last part has been sent."""

    header: ResponseHeader
    #: Names the snapshot in the requests that follow.
    id: int
    #: Bytes of the whole file, the SHA-256 at its end included.
    total_bytes: int
    blob: bytes
    #: Version of what is in the file, as etcd names it.
    version: str = ""


class PublishRequest(Message, frozen=True, tag=34):
    """A member proposes its own name and client URLs after it has started; internal (etcd ClusterMemberAttrSet)."""

    member: Member
    term: Term = 0

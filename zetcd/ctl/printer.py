"""Responsible for what every output format has in common: what is printed, and the choice of a format."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, NamedTuple

from zetcd.ctl.exits import CtlError, Exit
from zetcd.ctl.go_text import size_text
from zetcd.messages.base import Message
from zetcd.messages.cluster import (
    AlarmResponse,
    HashKVResponse,
    Member,
    MemberAddResponse,
    MemberListResponse,
    MemberPromoteResponse,
    MemberRemoveResponse,
    MemberUpdateResponse,
    StatusResponse,
)
from zetcd.messages.lease import LeaseRevokeResponse, LeaseTimeToLiveResponse


class Origin(NamedTuple):
    """Who answered; etcd's headers say it in every response, zetcd's session says it once."""

    cluster_id: int = 0
    member_id: int = 0


class Revoked(NamedTuple):
    """An ended lease."""

    lease_id: int
    response: LeaseRevokeResponse


class TimeToLive(NamedTuple):
    """The remaining time of a lease."""

    response: LeaseTimeToLiveResponse
    #: The keys were asked for.
    has_keys: bool


class Health(NamedTuple):
    """Whether an endpoint serves."""

    endpoint: str
    is_healthy: bool
    took_seconds: float
    error: str = ""


class Status(NamedTuple):
    """The status of an endpoint."""

    endpoint: str
    origin: Origin
    response: StatusResponse


class Hash(NamedTuple):
    """The hash of an endpoint's history."""

    endpoint: str
    origin: Origin
    response: HashKVResponse


class HealthList(NamedTuple):
    """What ``endpoint health`` found."""

    items: tuple[Health, ...]


class StatusList(NamedTuple):
    """What ``endpoint status`` found."""

    items: tuple[Status, ...]


class HashList(NamedTuple):
    """What ``endpoint hashkv`` found."""

    items: tuple[Hash, ...]


class LeaderMoved(NamedTuple):
    """Leadership went from one member to another."""

    from_id: int
    to_id: int


class MemberAdded(NamedTuple):
    """A new member, and what it is to be started with."""

    name: str
    #: As given.
    peer_urls: str
    cluster_id: int
    response: MemberAddResponse

    def initial_cluster(self) -> str:
        """Return the members as the new one's configuration names them."""
        new = self.response.member.id
        return ",".join(
            f"{self.name if member.id == new else member.name}={url}"
            for member in self.response.members
            for url in member.peer_urls
        )


class MemberChange(NamedTuple):
    """A change of a member that has no more to tell than that it is done."""

    member_id: int
    #: For example ``removed from``.
    done: str
    cluster_id: int
    response: MemberRemoveResponse | MemberUpdateResponse | MemberPromoteResponse


Printable = (
    Message
    | Revoked
    | TimeToLive
    | HealthList
    | StatusList
    | HashList
    | LeaderMoved
    | MemberAdded
    | MemberChange
)

_FORMATS: Final = {
    "simple": "zetcd.ctl.simple",
    "fields": "zetcd.ctl.fields",
    "json": "zetcd.ctl.json_output",
    "table": "zetcd.ctl.table",
}

Renderer = Callable[[Printable, Origin, bool], bytes]


def renderer_of(name: str) -> Renderer:
    """Return the function that renders in a format: ``render(what, origin, is_hex)``.

    Raises:
        CtlError: there is no such format.
    """
    module = _FORMATS.get(name)
    if module is None:
        raise CtlError("unsupported output format", Exit.BAD_FEATURE)
    render: Renderer = import_module(module).render
    return render


def unsupported(name: str) -> CtlError:
    """Return the error of a format that cannot show what was asked for."""
    return CtlError(f"{name} is not supported as output format", Exit.BAD_FEATURE)


# --- tables: also the rows of simple --------------------------------------------------------------

MEMBER_COLUMNS: Final = ("ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner")
STATUS_COLUMNS: Final = (
    "endpoint",
    "ID",
    "version",
    "storage version",
    "db size",
    "in use",
    "percentage not in use",
    "quota",
    "is leader",
    "is learner",
    "raft term",
    "raft index",
    "raft applied index",
    "errors",
    "downgrade target version",
    "downgrade enabled",
)
HEALTH_COLUMNS: Final = ("endpoint", "health", "took", "error")
HASH_COLUMNS: Final = ("endpoint", "hash", "hash_revision")


def lower(value: bool) -> str:
    """Return a boolean as Go prints it."""
    return "true" if value else "false"


def member_rows(response: MemberListResponse) -> list[tuple[str, ...]]:
    """Return the rows of a member list."""
    return [_member_row(member) for member in response.members]


def _member_row(member: Member) -> tuple[str, ...]:
    return (
        f"{member.id:x}",
        "started" if member.name else "unstarted",
        member.name,
        ",".join(member.peer_urls),
        ",".join(member.client_urls),
        lower(member.is_learner),
    )


def status_rows(statuses: StatusList) -> list[tuple[str, ...]]:
    """Return the rows of ``endpoint status``."""
    return [_status_row(status) for status in statuses.items]


def _status_row(status: Status) -> tuple[str, ...]:
    response = status.response
    used_percent = response.db_size_in_use * 100 // response.db_size if response.db_size else 100
    return (
        status.endpoint,
        f"{status.origin.member_id:x}",
        response.version,
        response.storage_version,
        size_text(response.db_size),
        size_text(response.db_size_in_use),
        f"{100 - used_percent}%",
        size_text(response.db_size_quota),
        lower(response.leader == status.origin.member_id),
        lower(response.is_learner),
        str(response.raft_term),
        str(response.raft_index),
        str(response.raft_applied_index),
        ", ".join(response.errors),
        "",
        "false",
    )


def alarm_lines(response: AlarmResponse) -> list[str]:
    """Return a line for each alarm, as etcdctl prints it: with a space at its end."""
    return [
        (f"memberID:{each.member_id} " if each.member_id else "") + f"alarm:{each.alarm.name} "
        for each in response.alarms
    ]


def hash_rows(hashes: HashList) -> list[tuple[str, ...]]:
    """Return the rows of ``endpoint hashkv``."""
    return [
        (each.endpoint, str(each.response.hash), str(each.response.hash_revision))
        for each in hashes.items
    ]

"""Responsible for finding out who this node is, before anything of it starts.

    initial-cluster-state   the log on disk     who this node is
    any                     there is one        what the log says: configuration may have changed since
    "new"                   there is none       what follows from the configuration
    "existing"              there is none       what the members of the running cluster say

As in etcd, the ``initial-…`` settings count at the first start only. With ``"new"``, settings that
describe another member than the log's are warned of: the data directory may be in the wrong place.

A process that has ZeroMQ threads must never fork. So the members are asked by a process of its own.
"""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

import structlog

from zetcd.config import Config
from zetcd.config.tree import MemberIdentity
from zetcd.config.urls import parse_initial_cluster
from zetcd.errors import CannotJoin, WalCorruption, ZetcdError, error_of
from zetcd.membership import Found
from zetcd.messages.codec import decoder_of, encode
from zetcd.runtime.member_query import ask_who_i_am
from zetcd.runtime.peer_routes import PeerRoutes
from zetcd.runtime.peer_tunnel import carry_in_thread
from zetcd.runtime.process import die_with_parent
from zetcd.wal.segment import SEGMENT_HEADER_BYTES, decode_segment_header, parse_segment_name

#: Cluster id, member id; or the number and the detail of an error.
_DECODER: Final = decoder_of(tuple[int, int, int, str])
_READ_BYTES: Final = 65_536

Ask = Callable[[Config], Found]


def identified(config: Config, stop: int, ask: Ask | None = None) -> Config | None:
    """Return ``config`` with what it takes to know who this node is; None = it was told to stop.

    Args:
        config: of the node.
        stop: descriptor that becomes readable when the node is to stop.
        ask: asks the members of the running cluster.

    Raises:
        CannotJoin: no running cluster takes this node in.
        WalCorruption: the log does not say whose it is.
    """
    if config.initial_cluster_state != "existing":
        return _founder(config)
    identity = log_identity(Path(config.wal_dir))
    if identity is None:
        found = _ask_in_child(lambda: (ask or _ask)(config), stop)
        if found is None:
            return None
        identity = MemberIdentity(*found)
        structlog.get_logger().info(
            "joins a running cluster",
            cluster_id=f"{identity.cluster_id:016x}",
            member_id=f"{identity.member_id:016x}",
        )
    return replace(config, identity=identity)


def _founder(config: Config) -> Config:
    """Return ``config`` of a founder, whose log says who it is if there is one already."""
    try:
        identity = log_identity(Path(config.wal_dir))
    except WalCorruption:
        # Whoever opens the log tells a first segment that was never finished from a damaged one.
        return config
    configured = MemberIdentity(config.cluster_id(), config.member_id())
    if identity is None or identity == configured:
        return config
    structlog.get_logger().warning(
        "initial-cluster, initial-cluster-token and initial-advertise-peer-urls are ignored:"
        " the data directory says who this member is",
        cluster_id=f"{identity.cluster_id:016x}",
        member_id=f"{identity.member_id:016x}",
        configured_cluster_id=f"{configured.cluster_id:016x}",
        configured_member_id=f"{configured.member_id:016x}",
    )
    return replace(config, identity=identity)


def log_identity(directory: Path) -> MemberIdentity | None:
    """Return whose log is in ``directory``; None: there is none.

    Raises:
        WalCorruption: its first segment does not say so.
    """
    if not directory.is_dir():
        return None
    names = sorted(
        each.name for each in directory.iterdir() if parse_segment_name(each.name) is not None
    )
    if not names:
        return None
    with (directory / names[0]).open("rb") as file:
        header = decode_segment_header(file.read(SEGMENT_HEADER_BYTES), names[0])
    return MemberIdentity(header.cluster_id, header.member_id)


def _ask(config: Config) -> Found:
    members = parse_initial_cluster(config.initial_cluster)
    if config.peer_tunnel is not None:
        carry_in_thread(config)
    return ask_who_i_am(config.name, members, config.listen_peer_urls, routes=PeerRoutes.of(config))


def _ask_in_child(ask: Callable[[], Found], stop: int) -> Found | None:
    """Ask in a process that may have ZeroMQ threads; None: this one was told to stop meanwhile."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent(parent)
        _answer(ask, writer)
    os.close(writer)
    try:
        readable, _, _ = select.select([reader, stop], [], [])
        content = os.read(reader, _READ_BYTES) if reader in readable else b""
        is_stopped = reader not in readable
    finally:
        os.close(reader)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if is_stopped:
        return None
    if not content:
        raise CannotJoin("the process that asks the members has died")
    cluster_id, member_id, number, detail = _DECODER.decode(content)
    if number:
        raise error_of(number, detail)
    return Found(cluster_id, member_id)


def _answer(ask: Callable[[], Found], writer: int) -> NoReturn:
    """Write the answer into the pipe and leave without returning into the parent's code."""
    try:
        try:
            answer = (*ask(), 0, "")
        except ZetcdError as error:
            answer = (0, 0, error.number, error.detail)
        # One write of so few bytes is read whole.
        os.write(writer, encode(answer))
    except BaseException:  # noqa: BLE001 - the last frame of a process: nothing above could report it
        traceback.print_exc()
    finally:
        os._exit(0)

"""Responsible for what no setting can tell alone: timings, URLs, membership, limits in limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Final

from zetcd.config.auto_compaction import REVISION, parse_retention
from zetcd.config.cipher_suites import unknown_suites
from zetcd.config.membership_id import member_id_of
from zetcd.config.peer_security import check_key_pair, check_peer_security
from zetcd.config.rules import check_section, format_duration, key_of, shown
from zetcd.config.sections import KIB
from zetcd.config.tree import SECTIONS, Config
from zetcd.config.urls import (
    CLIENT_SCHEMES,
    FILE_SCHEMES,
    PEER_SCHEMES,
    HostPort,
    check_listen_host,
    is_secure,
    names_file,
    parse_initial_cluster,
    parse_url,
    socket_path,
)
from zetcd.errors import Problem

#: Attribute of each list of URLs, its schemes, and whether this node listens on it.
_URL_LISTS: Final = (
    ("listen_peer_urls", PEER_SCHEMES, True),
    ("listen_native_client_urls", ("tcp",), True),
    ("listen_client_urls", CLIENT_SCHEMES, True),
    ("listen_client_http_urls", CLIENT_SCHEMES, True),
    ("listen_metrics_urls", CLIENT_SCHEMES, True),
    ("initial_advertise_peer_urls", PEER_SCHEMES, False),
    ("advertise_native_client_urls", ("tcp",), False),
    ("advertise_client_urls", CLIENT_SCHEMES, False),
)
#: Lists that may be empty.
_OPTIONAL_URL_LISTS: Final = ("listen_client_http_urls", "listen_metrics_urls")

#: Bytes that framing and batching add to a request.
_FRAME_OVERHEAD_BYTES: Final = 64 * KIB
#: Bytes that a frame adds to a request.
_REQUEST_OVERHEAD_BYTES: Final = 512


def validate(config: Config) -> tuple[Problem, ...]:
    """Return everything that is wrong with a configuration; empty = it may be used."""
    problems = check_section(config)
    for name in SECTIONS:
        problems += check_section(getattr(config, name), f"{key_of(name)}.")
    for check in _CHECKS:
        problems += check(config)
    return tuple(problems)


def _check_timings(config: Config) -> Iterator[Problem]:
    heartbeat, election = config.heartbeat_interval, config.election_timeout
    if election < 5 * heartbeat:
        yield Problem(
            "election-timeout",
            str(election),
            f"must be at least 5 x heartbeat-interval ({heartbeat} ms)",
            f"set election-timeout = {5 * heartbeat} or more, or a shorter heartbeat-interval",
        )
    if config.raft.ticks_per_heartbeat > max(1, heartbeat):
        yield Problem(
            "raft.ticks-per-heartbeat",
            str(config.raft.ticks_per_heartbeat),
            f"makes a tick shorter than 1 ms (heartbeat-interval is {heartbeat} ms)",
            f"set at most {heartbeat}",
        )
    timeout = config.gateway.request_timeout
    if 0 < timeout < election / 1000:
        yield Problem(
            "gateway.request-timeout",
            shown(format_duration(timeout)),
            f"is shorter than one election ({election} ms): every change of leader fails requests",
            "set 0, or at least the election-timeout",
        )


def _check_urls(config: Config) -> Iterator[Problem]:
    for attribute, schemes, is_listening in _URL_LISTS:
        urls: tuple[str, ...] = getattr(config, attribute)
        key = key_of(attribute)
        if not urls and attribute not in _OPTIONAL_URL_LISTS:
            yield Problem(
                key, "[]", "needs at least one URL", f'for example "{schemes[0]}://127.0.0.1:2380"'
            )
        for url in sorted({each for each in urls if urls.count(each) > 1}):
            yield Problem(key, shown(url), "is given twice", "remove one")
        for url in urls:
            reason = _url_problem(url, schemes, is_listening=is_listening)
            if reason:
                yield Problem(
                    key, shown(url), reason, f'write it as "{schemes[0]}://10.0.0.1:2380"'
                )


def _url_problem(url: str, schemes: tuple[str, ...], *, is_listening: bool) -> str:
    try:
        if names_file(url) and FILE_SCHEMES[0] in schemes:
            socket_path(url)
            return ""
        address = parse_url(url, schemes)
        if is_listening:
            check_listen_host(address.host)
    except ValueError as error:
        return str(error)
    if address.is_any_host and not is_listening:
        return "stands for every interface, nobody else can connect to it"
    return ""


def _check_ports(config: Config) -> Iterator[Problem]:
    """No two sockets of the node may want the same port."""
    listening = [
        (key_of(attribute), url, address)
        for attribute, schemes, is_listening in _URL_LISTS
        if is_listening and attribute not in _unused_lists(config)
        for url in dict.fromkeys(getattr(config, attribute))
        if (address := _address_of(url, schemes)) is not None
    ]
    for (key, url, address), (other_key, other_url, other) in combinations(listening, 2):
        if address.overlaps(other):
            yield Problem(
                other_key,
                shown(other_url),
                f"uses the port of {key} ({url})",
                "give each its own port",
            )


def _check_clear_text(config: Config) -> Iterator[Problem]:
    """The native protocol proves and hides nothing: off this machine it needs somebody's consent."""
    attribute = "listen_native_client_urls"
    if config.allow_clear_native_clients or attribute in _unused_lists(config):
        return
    for url in getattr(config, attribute):
        address = _address_of(url, ("tcp",))
        if address is not None and not address.is_loopback:
            yield Problem(
                key_of(attribute),
                shown(url),
                "would let everybody who reaches it read and write everything, in clear",
                "listen on 127.0.0.1, or set allow-clear-native-clients = true on a network you trust",
            )


def _unused_lists(config: Config) -> tuple[str, ...]:
    """Return the lists of URLs on which this node does not listen after all."""
    gateway = config.gateway
    unused = [] if gateway.native_processes else ["listen_native_client_urls"]
    etcd = ("listen_client_urls", *_OPTIONAL_URL_LISTS)
    return (*unused, *(() if gateway.etcd_processes else etcd))


def _address_of(url: str, schemes: tuple[str, ...]) -> HostPort | None:
    try:
        return parse_url(url, schemes)
    except ValueError:
        return None


def _check_membership(config: Config) -> Iterator[Problem]:
    key = "initial-cluster"
    try:
        members = parse_initial_cluster(config.initial_cluster)
    except ValueError as error:
        yield Problem(key, shown(config.initial_cluster), str(error), 'write "name=url,name=url"')
        return
    yield from _check_founders(members, config.initial_cluster_token)
    own = members.get(config.name)
    advertised = tuple(sorted(config.initial_advertise_peer_urls))
    expected = ",".join(f"{config.name}={url}" for url in advertised)
    if own is None:
        yield Problem(
            key,
            shown(config.initial_cluster),
            f'has no member with this node\'s name "{config.name}"',
            f'add "{expected}", or set name to one of {", ".join(members) or "its members"}',
        )
    elif tuple(sorted(own)) != advertised:
        yield Problem(
            key,
            shown(config.initial_cluster),
            f'gives "{config.name}" other URLs than initial-advertise-peer-urls '
            f"({', '.join(advertised)})",
            "make both the same",
        )


def _check_founders(members: dict[str, tuple[str, ...]], token: str) -> Iterator[Problem]:
    key = "initial-cluster"
    owners: dict[str, str] = {}
    for name, urls in members.items():
        for url in urls:
            reason = _url_problem(url, PEER_SCHEMES, is_listening=False)
            if reason:
                yield Problem(key, f"{name}={url}", reason, 'write "name=tcp://host:port"')
            if url in owners:
                why = (
                    f'"{owners[url]}" has this URL too' if owners[url] != name else "is given twice"
                )
                yield Problem(key, f"{name}={url}", why, "give every member its own URL, once")
            owners.setdefault(url, name)
    ids = [member_id_of(urls, token) for urls in members.values()]
    if len(set(ids)) < len(ids) and len(owners) == sum(map(len, members.values())):
        yield Problem(key, "", "two members have the same id", "change initial-cluster-token")


def _check_names(config: Config) -> Iterator[Problem]:
    if not config.name or not config.name.isprintable() or set(config.name) & set(",=/"):
        yield Problem(
            "name",
            shown(config.name),
            "must be printable text without comma, equals sign or slash",
            'for example "node0"',
        )
    if not config.initial_cluster_token:
        yield Problem("initial-cluster-token", '""', "must not be empty", 'use "etcd-cluster"')
    if not config.log_outputs:
        yield Problem("log-outputs", "[]", "needs at least one output", 'use ["stderr"]')


def _check_retention(config: Config) -> Iterator[Problem]:
    mode, text = config.auto_compaction_mode, config.auto_compaction_retention
    try:
        parse_retention(mode, text)
    except ValueError:
        is_revision = mode == REVISION
        yield Problem(
            "auto-compaction-retention",
            shown(text),
            f"must be {'a number of revisions' if is_revision else 'hours or a duration'} "
            f'with auto-compaction-mode = "{mode}"',
            'write "1000"' if is_revision else 'write "1h30m", or "5" for five hours',
        )


def _check_limits(config: Config) -> Iterator[Problem]:
    """A limit must hold what another one lets in."""
    gateway, raft, request = config.gateway, config.raft, config.max_request_bytes
    batch = gateway.batch_bytes_max + request + _FRAME_OVERHEAD_BYTES
    gateway_batch = "gateway.batch-bytes-max and max-request-bytes"
    rules = (
        (
            "gateway.frame-bytes-max",
            gateway.frame_bytes_max,
            request + _REQUEST_OVERHEAD_BYTES,
            "a request of max-request-bytes in its frame",
        ),
        (
            "raft.inflight-bytes-max",
            raft.inflight_bytes_max,
            raft.append_bytes_max,
            "one append of raft.append-bytes-max",
        ),
        (
            "raft.applying-bytes-max",
            raft.applying_bytes_max,
            raft.apply_bytes_max,
            "one hand-over of raft.apply-bytes-max",
        ),
        ("raft.uncommitted-bytes-max", raft.uncommitted_bytes_max, batch, gateway_batch),
        (
            "raft.peer-frame-bytes-max",
            raft.peer_frame_bytes_max,
            raft.append_bytes_max + batch,
            "raft.append-bytes-max and one more batch",
        ),
        ("wal.segment-bytes", config.wal.segment_bytes, batch, gateway_batch),
    )
    for key, value, least, what in rules:
        if value < least:
            yield Problem(key, str(value), f"must be at least {least}, to hold {what}", "raise it")


def _check_tls(config: Config) -> Iterator[Problem]:
    section = "client-transport-security"
    security = config.client_transport_security
    yield from check_key_pair(section, security)
    for attribute in ("listen_client_urls", *_OPTIONAL_URL_LISTS):
        for url in getattr(config, attribute):
            if is_secure(url) and not security.cert_file and not security.auto_tls:
                yield Problem(
                    key_of(attribute),
                    shown(url),
                    "TLS key/cert (--cert-file, --key-file) must be provided for client url "
                    f"{url} with HTTPS scheme",
                    f"set cert-file and key-file in [{section}]",
                )
    for name in unknown_suites(config.cipher_suites):
        yield Problem(
            "cipher-suites", shown(name), f'unexpected TLS cipher suite "{name}"', "remove it"
        )
    if config.tls_min_version == "TLS1.3" and config.cipher_suites:
        yield Problem(
            "cipher-suites",
            shown(config.cipher_suites),
            "cipher suites cannot be configured when only TLS1.3 is enabled",
            "remove them",
        )
    if config.tls_max_version and config.tls_min_version > config.tls_max_version:
        yield Problem(
            "tls-min-version",
            shown(config.tls_min_version),
            f"is greater than tls-max-version ({config.tls_max_version})",
            "swap them",
        )
    for attribute in _OPTIONAL_URL_LISTS:
        if getattr(config, attribute) and not config.gateway.etcd_processes:
            yield Problem(
                key_of(attribute),
                shown(getattr(config, attribute)[0]),
                "is served by the gateways of the etcd API, and there are none",
                "set gateway.etcd-processes = 1, or leave it out",
            )


def _check_peer_tls(config: Config) -> Iterator[Problem]:
    yield from check_peer_security(
        config.peer_transport_security,
        listening=config.listen_peer_urls,
        advertised=config.initial_advertise_peer_urls,
    )


_CHECKS: Final[tuple[Callable[[Config], Iterable[Problem]], ...]] = (
    _check_names,
    _check_timings,
    _check_clear_text,
    _check_urls,
    _check_ports,
    _check_membership,
    _check_limits,
    _check_tls,
    _check_peer_tls,
    _check_retention,
)

"""Responsible for what etcd refuses about flags that contradict each other, in etcd's words and order; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from zetcd.config.urls import names_file, parse_initial_cluster
from zetcd.launcher.settings import LauncherError, Settings
from zetcd.launcher.values import Value, check_url

_ELECTION_MS_MAX: Final = 50_000
_TLS_VERSIONS: Final = ("", "TLS1.2", "TLS1.3")
#: One of these says where the other members are.
_BOOTSTRAP: Final = ("initial-cluster", "discovery", "discovery-endpoints", "discovery-srv")
#: Names of etcd that are urls to listen on, in the order in which etcd looks at them.
_LISTENING: Final = (
    "listen-peer-urls",
    "listen-client-urls",
    "listen-client-http-urls",
    "listen-metrics-urls",
)


def check(settings: Settings) -> None:
    """Refuse what etcd refuses.

    Raises:
        LauncherError: with etcd's text; the first thing that is wrong, as in etcd.
    """
    if settings.value("logger") != "zap":
        raise LauncherError(f'unknown logger option "{settings.value("logger")}"')
    if settings.value("log-format") not in ("json", "console"):
        raise LauncherError(
            f"unknown log format: {settings.value('log-format')}, supported values json, console"
        )
    if settings.value("discovery-fallback") == "proxy":
        raise LauncherError(
            'v2 proxy is deprecated, and --discovery-fallback can\'t be configured as "proxy"'
        )
    for name in _LISTENING:
        _check_bind_urls(urls_of(settings, name))
    _check_advertised(settings)
    _check_bootstrap(settings)
    _check_timings(settings)
    if _is_advertising_forgotten(settings):
        raise LauncherError(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
        )
    _check_compaction(settings)
    _check_tls(settings)
    check_initial_cluster(settings)


def urls_of(settings: Settings, name: str) -> tuple[str, ...]:
    """Return the URLs of a flag, or of its default."""
    value = settings.value(name)
    assert isinstance(value, tuple)
    return value


def number_of(value: Value) -> int:
    """Return a value that is a whole number."""
    assert isinstance(value, int)
    return value


def _check_bind_urls(urls: Iterable[str]) -> None:
    for url in urls:
        host = urlsplit(url).hostname or ""
        if names_file(url) or host == "localhost":
            continue
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise LauncherError(f"expected IP in URL for binding ({url})") from None


def _check_advertised(settings: Settings) -> None:
    for name, form in (
        ("initial-advertise-peer-urls", 'must be "host:port"'),
        (
            "advertise-client-urls",
            'must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket"',
        ),
    ):
        urls = urls_of(settings, name)
        for url in urls:
            if not names_file(url) and not urlsplit(url).hostname:
                raise LauncherError(
                    f'--{name} "{",".join(urls)}" {form} (unexpected empty host ({url}))'
                )


def _check_bootstrap(settings: Settings) -> None:
    given = [name for name in _BOOTSTRAP if settings.is_set(name) and settings.value(name)]
    if len(given) > 1:
        raise LauncherError(
            "multiple discovery or bootstrap flags are set. Choose one of "
            '"initial-cluster", "discovery", "discovery-endpoints" or "discovery-srv"'
        )
    if settings.value("initial-cluster-state") not in ("new", "existing"):
        raise LauncherError(f'unexpected clusterState "{settings.value("initial-cluster-state")}"')
    if bool(settings.value("discovery-token")) != bool(settings.value("discovery-endpoints")):
        raise LauncherError("both --discovery-token and --discovery-endpoints must be set")


def _check_timings(settings: Settings) -> None:
    heartbeat = number_of(settings.value("heartbeat-interval"))
    election = number_of(settings.value("election-timeout"))
    for name, value in (("heartbeat-interval", heartbeat), ("election-timeout", election)):
        if not value:
            raise LauncherError(f"--{name} must be >0 (set to {value}ms)")
    if 5 * heartbeat > election:
        raise LauncherError(
            f"--election-timeout[{election}ms] should be at least as 5 times as "
            f"--heartbeat-interval[{heartbeat}ms]"
        )
    if election > _ELECTION_MS_MAX:
        raise LauncherError(
            f"--election-timeout[{election}ms] is too long, and should be set less than "
            f"{_ELECTION_MS_MAX}ms"
        )


def _is_advertising_forgotten(settings: Settings) -> bool:
    """Only flags and variables take the default away; a file that is silent keeps it."""
    if not urls_of(settings, "advertise-client-urls"):
        return True
    is_listening = settings.is_set("listen-client-urls")
    return not settings.file and is_listening and not settings.is_set("advertise-client-urls")


def _check_compaction(settings: Settings) -> None:
    mode = settings.value("auto-compaction-mode")
    if mode == "":
        raise LauncherError("undefined auto-compaction-mode")
    if mode not in ("periodic", "revision"):
        raise LauncherError(f'unknown auto-compaction-mode "{mode}"')


def _check_tls(settings: Settings) -> None:
    low, high = settings.value("tls-min-version"), settings.value("tls-max-version")
    for version in (low, high):
        if version not in _TLS_VERSIONS:
            raise LauncherError(f'unexpected TLS version "{version}"')
    if high and str(low) > str(high):
        raise LauncherError(f"min version ({low}) is greater than max version ({high})")
    if low == "TLS1.3" and settings.value("cipher-suites"):
        raise LauncherError("cipher suites cannot be configured when only TLS1.3 is enabled")
    names, hosts = (settings.value(f"peer-cert-allowed-{kind}") for kind in ("cn", "hostname"))
    if names and hosts:
        assert isinstance(names, tuple)
        assert isinstance(hosts, tuple)
        raise LauncherError(
            "AllowedCNs and AllowedHostnames are mutually exclusive "
            f"(cns={_quoted(names)}, hostnames={_quoted(hosts)})"
        )


def _quoted(texts: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{each}"' for each in texts) + "]"


# --- who founds the cluster -------------------------------------------------------------------


def initial_cluster_of(settings: Settings) -> str:
    """Return who founds the cluster: what was set, or this member alone under its name."""
    name, text = settings.value("name"), str(settings.value("initial-cluster"))
    if settings.is_set("initial-cluster") or name == "default":
        return text
    return ",".join(f"{name}={url}" for url in urls_of(settings, "initial-advertise-peer-urls"))


def check_initial_cluster(settings: Settings) -> None:
    """Refuse a cluster without this member, or with other URLs than it advertises."""
    name, text = str(settings.value("name")), initial_cluster_of(settings)
    try:
        members = parse_initial_cluster(text)
        for url in (url for urls in members.values() for url in urls):
            check_url(url)
    except ValueError as error:
        raise LauncherError(f"error setting up initial cluster: {error}") from error
    own = members.get(name)
    if own is None:
        raise LauncherError(
            f'couldn\'t find local name "{name}" in the initial cluster configuration'
        )
    advertised = urls_of(settings, "initial-advertise-peer-urls")
    missing = sorted(set(own) - set(advertised))
    if missing:
        shown = ",".join(f"{name}={url}" for url in missing)
        raise LauncherError(
            f"--initial-cluster has {shown} but missing from "
            f"--initial-advertise-peer-urls={','.join(advertised)}"
        )
    missing = sorted(set(advertised) - set(own))
    if missing:
        raise LauncherError(
            f"--initial-advertise-peer-urls has {','.join(missing)} but missing from "
            f"--initial-cluster={text}"
        )

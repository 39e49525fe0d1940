"""What etcd refuses, in etcd's words."""

from __future__ import annotations

import pytest

from zetcd.launcher.checks import check, initial_cluster_of
from zetcd.launcher.command_line import read_command_line
from zetcd.launcher.config_file import read_config_file
from zetcd.launcher.settings import LauncherError, Settings

CLIENTS = ["--listen-client-urls=http://127.0.0.1:1", "--advertise-client-urls=http://127.0.0.1:1"]


def settings_of(*arguments: str) -> Settings:
    return read_command_line(arguments)[0]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--logger=capnslog"], 'unknown logger option "capnslog"'),
        (["--log-format=xml"], "unknown log format: xml, supported values json, console"),
        (["--discovery-fallback=proxy"], "v2 proxy is deprecated, and --discovery-fallback can't"),
        (["--listen-peer-urls=http://host:1"], "expected IP in URL for binding (http://host:1)"),
        (
            ["--listen-client-urls=https://host:1"],
            "expected IP in URL for binding (https://host:1)",
        ),
        (["--listen-metrics-urls=http://host:1"], "expected IP in URL for binding (http://host:1)"),
        (
            ["--initial-advertise-peer-urls=http://:1"],
            '--initial-advertise-peer-urls "http://:1" must be "host:port" (unexpected empty host',
        ),
        (
            ["--advertise-client-urls=http://:1"],
            '--advertise-client-urls "http://:1" must be in the format "host:port", "unix:/path/to',
        ),
        (
            ["--initial-cluster=default=http://localhost:2380", "--discovery-srv=x"],
            "multiple discovery or bootstrap flags are set. Choose one of",
        ),
        (["--discovery-token=x"], "both --discovery-token and --discovery-endpoints must be set"),
        (["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
        (["--election-timeout=0"], "--election-timeout must be >0 (set to 0ms)"),
        (
            ["--heartbeat-interval=300"],
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[300ms]",
        ),
        (
            ["--election-timeout=50001"],
            "--election-timeout[50001ms] is too long, and should be set less than 50000ms",
        ),
        (
            ["--listen-client-urls=http://127.0.0.1:1"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (["--auto-compaction-mode="], "undefined auto-compaction-mode"),
        (["--auto-compaction-mode=x"], 'unknown auto-compaction-mode "x"'),
        (["--tls-min-version=TLS1.0"], 'unexpected TLS version "TLS1.0"'),
        (
            ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        (
            ["--tls-min-version=TLS1.3", "--cipher-suites=X"],
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ),
        (
            ["--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"],
            'AllowedCNs and AllowedHostnames are mutually exclusive (cns=["a"], hostnames=["b"])',
        ),
        (
            ["--name=x", "--initial-cluster=y=http://localhost:2380"],
            'couldn\'t find local name "x" in the initial cluster configuration',
        ),
        (
            ["--initial-advertise-peer-urls=http://localhost:7"],
            (
                "--initial-cluster has default=http://localhost:2380 but missing from "
                "--initial-advertise-peer-urls=http://localhost:7"
            ),
        ),
        (
            ["--initial-advertise-peer-urls=http://localhost:2380,http://localhost:7"],
            (
                "--initial-advertise-peer-urls has http://localhost:7 but missing from "
                "--initial-cluster=default=http://localhost:2380"
            ),
        ),
        (["--initial-cluster=default"], "error setting up initial cluster: "),
    ],
)
def test_refuses(arguments: list[str], why: str) -> None:
    with pytest.raises(LauncherError) as caught:
        check(settings_of(*arguments))
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        CLIENTS,
        ["--listen-peer-urls=http://localhost:1"],
        ["--listen-client-urls=unix://localhost:m1", "--advertise-client-urls=unix://localhost:m1"],
        ["--name=a"],
        ["--tls-min-version=TLS1.2", "--tls-max-version=TLS1.3"],
    ],
)
def test_accepts(arguments: list[str]) -> None:
    check(settings_of(*arguments))


def test_a_file_that_does_not_say_what_is_advertised_keeps_the_default() -> None:
    check(read_config_file("etcd.yml", "listen-client-urls: http://127.0.0.1:1"))


def test_a_name_of_its_own_founds_a_cluster_of_that_name() -> None:
    assert initial_cluster_of(settings_of("--name=a")) == "a=http://localhost:2380"
    assert initial_cluster_of(settings_of()) == "default=http://localhost:2380"

"""What was set as for etcd becomes a configuration of zetcd, or is warned of, or refused."""

from __future__ import annotations

import pytest

from zetcd.config import Config, TransportSecurity, config_from_table
from zetcd.launcher.command_line import read_command_line
from zetcd.launcher.config_file import read_config_file
from zetcd.launcher.flags import FLAGS, Flag, Kind, Treatment
from zetcd.launcher.settings import LauncherError, Settings
from zetcd.launcher.translation import translate
from zetcd.launcher.values import default_of


def settings_of(*arguments: str) -> Settings:
    return read_command_line(arguments)[0]


def config_of(*arguments: str) -> Config:
    return config_from_table(translate(settings_of(*arguments)).table)


def test_nothing_set_is_etcds_single_member() -> None:
    config = config_of()
    assert config.name == "default"
    assert config.data_dir.endswith("/default.etcd")
    assert config.initial_cluster == "default=http://localhost:2380"
    # What etcd 3 computes from its defaults.
    assert f"{config.member_id():x}" == "8e9e05c52164694d"
    assert f"{config.cluster_id():x}" == "cdf818194e3a8c32"
    assert config.gateway.native_processes == 0
    assert config.logger == "zap"


def test_values_reach_the_configuration() -> None:
    config = config_of(
        "--name=a",
        "--data-dir=/d",
        "--wal-dir=/w",
        "--snapshot-count=7",
        "--listen-client-urls=http://127.0.0.1:5,unix:///s",
        "--advertise-client-urls=http://127.0.0.1:5",
        "--max-concurrent-streams=9",
        "--grpc-keepalive-min-time=3s",
        "--watch-progress-notify-interval=5s",
        "--compaction-batch-limit=0",
        "--compaction-sleep-interval=20ms",
        "--corrupt-check-time=0",
        "--log-outputs=default,stderr,/l",
        "--log-level=panic",
        "--pre-vote=false",
        "--quota-backend-bytes=-1",
    )
    assert (config.data_dir, config.wal_dir, config.snapshot_count) == ("/d", "/w", 7)
    assert config.listen_client_urls == ("http://127.0.0.1:5", "unix:///s")
    assert (config.max_concurrent_streams, config.grpc_keepalive_min_time) == (9, 3.0)
    assert config.watch_progress_notify_interval == 5.0
    assert (config.compaction_batch_limit, config.compaction_sleep_interval) == (1000, 0.02)
    assert config.corrupt_check_time == 0
    assert (config.log_outputs, config.log_level) == (("stderr", "/l"), "error")
    assert not config.pre_vote
    assert config.quota_bytes() is None


def test_peers_have_etcds_flags_of_tls() -> None:
    url = "https://127.0.0.1:2380"
    security = config_of(
        f"--listen-peer-urls={url}",
        f"--initial-advertise-peer-urls={url}",
        f"--initial-cluster=default={url}",
        "--peer-cert-file=c",
        "--peer-key-file=k",
        "--peer-client-cert-file=cc",
        "--peer-client-key-file=ck",
        "--peer-client-cert-auth",
        "--peer-trusted-ca-file=ca",
        "--peer-crl-file=crl",
        "--peer-cert-allowed-cn=a,b",
        "--experimental-peer-skip-client-san-verification",
    ).peer_transport_security
    assert security == TransportSecurity(
        cert_file="c",
        key_file="k",
        client_cert_file="cc",
        client_key_file="ck",
        client_cert_auth=True,
        trusted_ca_file="ca",
        client_crl_file="crl",
        allowed_cn=("a", "b"),
        skip_client_san_verification=True,
    )
    other = config_of("--peer-auto-tls", "--peer-cert-allowed-hostname=h").peer_transport_security
    assert other == TransportSecurity(auto_tls=True, allowed_hostname=("h",))


def other_than_default(flag: Flag) -> str:
    if flag.choices:
        return next(each for each in flag.choices if each != flag.default)
    if flag.kind is Kind.BOOL:
        return "false" if default_of(flag) else "true"
    samples = {Kind.DURATION: "17s", Kind.URLS: "http://127.0.0.1:1"}
    return samples.get(flag.kind, "17")


def having(treatment: Treatment) -> list[str]:
    return [flag.name for flag in FLAGS.values() if flag.treatment is treatment]


@pytest.mark.parametrize("name", having(Treatment.IGNORED))
def test_what_is_ignored_is_warned_of_unless_it_is_the_default(name: str) -> None:
    flag = FLAGS[name]
    translation = translate(settings_of(f"--{name}={other_than_default(flag)}"))
    assert translation.warnings == (f"--{name} is ignored: {flag.note}",)
    assert translate(settings_of(f"--{name}={flag.default}")).warnings == ()


@pytest.mark.parametrize("name", having(Treatment.REFUSED))
def test_what_is_refused_says_why_unless_it_is_the_default(name: str) -> None:
    flag = FLAGS[name]
    with pytest.raises(LauncherError) as caught:
        translate(settings_of(f"--{name}={other_than_default(flag)}"))
    assert str(caught.value) == f"not implemented by zetcd: --{name}: {flag.note}"
    if flag.default:
        translate(settings_of(f"--{name}={flag.default}"))


def test_deprecated_names_are_warned_of_and_mean_the_same() -> None:
    settings = settings_of(
        "--experimental-watch-progress-notify-interval=5s",
        "--experimental-initial-corrupt-check=true",
        "--vv=1",
    )
    translation = translate(settings)
    assert translation.table["watch-progress-notify-interval"] == "5s"
    assert [each.partition(" ")[0] for each in translation.warnings] == [
        "--experimental-watch-progress-notify-interval",
        "--experimental-initial-corrupt-check",
        "flag",
        "feature",
    ]


def test_a_flag_and_its_deprecated_name_exclude_each_other() -> None:
    settings = settings_of("--corrupt-check-time=1s", "--experimental-corrupt-check-time=1s")
    with pytest.raises(LauncherError, match="Use only --corrupt-check-time"):
        translate(settings)


def test_names_of_certificates_come_from_a_file_only() -> None:
    settings = read_config_file("f", "client-transport-security: {allowed-cn: [a]}")
    assert translate(settings).table["client-transport-security"] == {"allowed-cn": ["a"]}

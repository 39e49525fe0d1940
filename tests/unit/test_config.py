"""Configuration: defaults, reading, every kind of problem, ids, and the way back to TOML."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zetcd.config import (
    Config,
    ConfigError,
    cluster_id_of,
    config_from_table,
    format_duration,
    load_config,
    member_id_of,
    parse_config,
    parse_duration,
    validate,
)
from zetcd.config.auto_compaction import parse_retention
from zetcd.config.loading import SOCKET_PATH_BYTES_MAX
from zetcd.config.sections import GIB, MIB
from zetcd.config.urls import format_initial_cluster, parse_initial_cluster

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
THREE = "node0=tcp://127.0.0.1:2380,node1=tcp://127.0.0.1:2390,node2=tcp://127.0.0.1:2400"


def problems_of(text: str) -> dict[str, str]:
    """Return the problems of a file: what is wrong by key, and how to mend it."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    return {problem.key: f"{problem.why}; {problem.mend}" for problem in caught.value.problems}


# --- defaults ----------------------------------------------------------------------------------


def test_without_a_file_one_node_runs_with_etcds_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None)
    assert config.name == "default"
    assert config.data_dir == str(tmp_path / "default.zetcd")
    assert config.wal_dir == str(tmp_path / "default.zetcd" / "wal")
    assert config.initial_cluster == "default=tcp://127.0.0.1:2380"
    assert config.initial_advertise_peer_urls == config.listen_peer_urls
    assert (config.heartbeat_interval, config.election_timeout) == (100, 1000)
    assert (config.max_request_bytes, config.max_txn_ops) == (1_572_864, 128)
    assert config.quota_bytes() == 2 * GIB


def test_a_config_made_by_hand_has_the_same_limits_as_a_loaded_one() -> None:
    assert Config().raft == load_config(None).raft


def test_what_follows_from_the_timings() -> None:
    config = load_config(None)
    assert config.raft_tick_seconds() == pytest.approx(0.02)
    assert config.election_ticks() == 50
    assert config.request_timeout_seconds() == pytest.approx(7.0)
    assert config.lease_ttl_seconds_min() == 2


def test_a_lone_member_waits_one_tick_and_one_of_three_two_heartbeats() -> None:
    three = parse_config(f'name = "node0"\ninitial-cluster = "{THREE}"')
    assert load_config(None).initial_election_ticks() == 49
    assert three.initial_election_ticks() == 40
    patient = parse_config("initial-election-tick-advance = false")
    assert patient.initial_election_ticks() == 0


def test_the_quota_can_be_set_and_switched_off() -> None:
    assert parse_config("quota-backend-bytes = 8589934592").quota_bytes() == 8 * GIB
    unlimited = parse_config("quota-backend-bytes = -1")
    assert unlimited.quota_bytes() is None
    assert unlimited.map_bytes() > load_config(None).map_bytes() > 2 * GIB
    assert parse_config("quota-backend-bytes = 1000001").map_bytes() % MIB == 0


def test_the_runtime_directory_is_short_enough_for_sockets(tmp_path: Path) -> None:
    near = config_from_table({"data-dir": "/d"})
    far = config_from_table({"data-dir": str(tmp_path / ("x" * 100))})
    other = config_from_table({"data-dir": str(tmp_path / ("y" * 100))})
    assert near.runtime_dir == "/d/run"
    assert len(far.runtime_dir) < SOCKET_PATH_BYTES_MAX
    assert far.runtime_dir != other.runtime_dir


def test_localhost_is_listened_on_by_address_and_advertised_as_written() -> None:
    config = parse_config('listen-peer-urls = "tcp://localhost:2380"')
    assert config.listen_peer_urls == ("tcp://127.0.0.1:2380",)
    assert config.initial_cluster == "default=tcp://localhost:2380"


# --- reading -----------------------------------------------------------------------------------


def test_every_kind_of_value_is_read() -> None:
    config = parse_config(
        """
        name = "a"
        pre-vote = false
        listen-peer-urls = ["tcp://127.0.0.1:1", "tcp://127.0.0.2:2"]
        listen-native-client-urls = "tcp://127.0.0.1:3, tcp://127.0.0.2:4"
        watch-progress-notify-interval = "1h30m"
        auto-compaction-retention = 0
        [supervisor]
        restart-window-seconds = 3
        """
    )
    assert config.pre_vote is False
    assert config.listen_peer_urls == ("tcp://127.0.0.1:1", "tcp://127.0.0.2:2")
    assert config.listen_native_client_urls == ("tcp://127.0.0.1:3", "tcp://127.0.0.2:4")
    assert config.watch_progress_notify_interval == pytest.approx(5400)
    assert config.supervisor.restart_window_seconds == pytest.approx(3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("100ms", 0.1), ("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), ("250us", 0.00025)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-1s", "5 m", "1d", "1s2", "ms5"])
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 10**11))
def test_a_duration_survives_writing(microseconds: int) -> None:
    seconds = microseconds / 1e6
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


def test_a_missing_file_is_a_problem_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        load_config(tmp_path / "absent.toml")


def test_a_file_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b'name = "\xff\xfe"')
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        load_config(path)


def test_broken_toml_is_a_problem_with_its_line() -> None:
    assert "line 2" in problems_of("name = 'a'\nfoo = = 1")["syntax"]


# --- problems ----------------------------------------------------------------------------------


def test_all_problems_are_reported_at_once() -> None:
    found = problems_of(
        """
        heartbeat-interval = 0
        pre-vote = "yes"
        max-txn-opps = 3
        [wal]
        segment-bytes = -1
        [gatway]
        """
    )
    assert {"heartbeat-interval", "pre-vote", "max-txn-opps", "wal.segment-bytes", "gatway"} <= set(
        found
    )


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("heartbeat-intervall = 1", "heartbeat-intervall", '"heartbeat-interval"'),
        ("election_timeout = 1000", "election_timeout", '"election-timeout"'),
        ("Name = 'a'", "Name", '"name"'),
        ("[raft]\nticks = 5", "raft.ticks", "remove it"),
        ("[raft]\ninflight-bytes = 5", "raft.inflight-bytes", '"raft.inflight-bytes-max"'),
        ("[wall]", "wall", '"wal"'),
        ("[wal.deep]", "wal.deep", "remove it"),
    ],
)
def test_an_unknown_key_is_an_error_with_a_suggestion(text: str, key: str, meant: str) -> None:
    assert "unknown key" in (problem := problems_of(text)[key])
    assert meant in problem


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ("name = 5", "name", "a text in quotes"),
        ("heartbeat-interval = '100'", "heartbeat-interval", "a whole number"),
        ("heartbeat-interval = 100.5", "heartbeat-interval", "a whole number"),
        ("heartbeat-interval = true", "heartbeat-interval", "a whole number"),
        ("pre-vote = 1", "pre-vote", "true or false"),
        ("log-outputs = [1]", "log-outputs", "a list of texts"),
        ("compaction-sleep-interval = 10", "compaction-sleep-interval", "a text with a unit"),
        ("compaction-sleep-interval = '10'", "compaction-sleep-interval", "not a duration"),
        ("raft = 5", "raft", "must be a table"),
    ],
)
def test_a_wrong_type_is_an_error_with_an_example(text: str, key: str, why: str) -> None:
    assert why in problems_of(text)[key]


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ("heartbeat-interval = 0", "heartbeat-interval", "between 1 and 10000 (ms)"),
        ("election-timeout = 60000", "election-timeout", "between 5 and 50000"),
        ("max-request-bytes = 0", "max-request-bytes", "between 1024"),
        ("log-level = 'loud'", "log-level", 'one of "debug"'),
        ("initial-cluster-state = 'old'", "initial-cluster-state", '"new", "existing"'),
        (
            "watch-progress-notify-interval = '1ms'",
            "watch-progress-notify-interval",
            "100ms and 24h",
        ),
        ("[gateway]\nnative-processes = 17", "gateway.native-processes", "between 0 and 16"),
        ("[supervisor]\ndrain-seconds = -1", "supervisor.drain-seconds", "between 0"),
    ],
)
def test_a_value_beyond_its_limit_is_an_error_with_the_limit(text: str, key: str, why: str) -> None:
    assert why in problems_of(text)[key]


def test_the_election_timeout_must_be_five_heartbeats() -> None:
    assert "election-timeout = 2500" in problems_of("heartbeat-interval = 500")["election-timeout"]
    parse_config("heartbeat-interval = 500\nelection-timeout = 2500")


def test_a_request_must_fit_its_frame() -> None:
    assert (
        "max-request-bytes" in problems_of("max-request-bytes = 5000000")["gateway.frame-bytes-max"]
    )


@pytest.mark.parametrize(
    ("urls", "why"),
    [
        ("udp://127.0.0.1:2380", "must start with tcp://"),
        ("tcp://127.0.0.1", "with a port"),
        ("tcp://127.0.0.1:99999", "with a port"),
        ("tcp://:2380", "scheme://host:port"),
        ("tcp://example.com:2380", "an IP address or localhost"),
        ("tcp://127.0.0.1:2380/path", "end after the port"),
        ("tcp://127.0.0.1:2380,tcp://127.0.0.1:2380", "given twice"),
    ],
)
def test_listen_urls_are_checked(urls: str, why: str) -> None:
    assert why in problems_of(f'listen-peer-urls = "{urls}"')["listen-peer-urls"]


def test_at_least_one_url_is_needed() -> None:
    assert (
        "at least one" in problems_of("listen-native-client-urls = []")["listen-native-client-urls"]
    )


def test_every_interface_can_be_listened_on_and_not_advertised() -> None:
    found = problems_of('listen-peer-urls = "tcp://0.0.0.0:2380"')
    assert "every interface" in found["initial-advertise-peer-urls"]
    parse_config(
        """
        listen-peer-urls = "tcp://0.0.0.0:2380"
        initial-advertise-peer-urls = "tcp://10.0.0.1:2380"
        """
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_is_used_once_within_the_node(host: str) -> None:
    text = f"""
    listen-native-client-urls = "tcp://{host}:2380"
    advertise-native-client-urls = "tcp://10.0.0.1:2380"
    """
    assert "uses the port of listen-peer-urls" in problems_of(text)["listen-native-client-urls"]


@pytest.mark.parametrize(
    ("mode", "text", "retention"),
    [
        ("periodic", "0", 0),
        ("periodic", "5", 5 * 3600),
        ("periodic", "1h30m", 5400),
        ("revision", "1000", 1000),
    ],
)
def test_retention_means_what_the_mode_says(mode: str, text: str, retention: float) -> None:
    parse_config(f"auto-compaction-mode = '{mode}'\nauto-compaction-retention = '{text}'")
    assert parse_retention(mode, text) == retention


@pytest.mark.parametrize("mode", ["periodic", "revision"])
@pytest.mark.parametrize("text", ["-1", "-1h", "-0.5s"])
def test_a_negative_retention_is_refused(mode: str, text: str) -> None:
    found = problems_of(f"auto-compaction-mode = '{mode}'\nauto-compaction-retention = '{text}'")
    assert "must be" in found["auto-compaction-retention"]


def test_a_wrong_retention_is_named_with_its_mode() -> None:
    assert (
        "hours or a duration"
        in problems_of("auto-compaction-retention = '1x'")["auto-compaction-retention"]
    )
    text = "auto-compaction-mode = 'revision'\nauto-compaction-retention = '1h'"
    assert "a number of revisions" in problems_of(text)["auto-compaction-retention"]


# --- membership --------------------------------------------------------------------------------


def test_the_name_must_be_a_member() -> None:
    found = problems_of(f'name = "other"\ninitial-cluster = "{THREE}"')
    assert 'no member with this node\'s name "other"' in found["initial-cluster"]


def test_the_advertised_urls_must_be_those_of_the_cluster() -> None:
    found = problems_of(f'name = "node1"\ninitial-cluster = "{THREE}"')
    assert "other URLs than initial-advertise-peer-urls" in found["initial-cluster"]


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        ("default", "is not name=url"),
        ("default=tcp://127.0.0.1:2380,b=tcp://127.0.0.1:2380", '"default" has this URL too'),
        ("default=tcp://127.0.0.1:2380,default=tcp://127.0.0.1:2380", "given twice"),
        ("default=tcp://127.0.0.1:2380,b=udp://127.0.0.1:2390", "must start with tcp://"),
    ],
)
def test_a_wrong_initial_cluster_is_reported(cluster: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f'initial-cluster = "{cluster}"')
    assert any(
        problem.key == "initial-cluster" and why in problem.why for problem in caught.value.problems
    )


def test_a_member_may_have_several_urls() -> None:
    text = "a=tcp://10.0.0.1:1,b=tcp://10.0.0.2:1,a=tcp://10.0.1.1:1"
    members = parse_initial_cluster(text)
    assert members == {"a": ("tcp://10.0.0.1:1", "tcp://10.0.1.1:1"), "b": ("tcp://10.0.0.2:1",)}
    assert parse_initial_cluster(format_initial_cluster(members)) == members


def test_ids_are_those_of_etcd() -> None:
    # The ids every etcd that is started without arguments has.
    member = member_id_of(["http://localhost:2380"], "etcd-cluster")
    assert member == 0x8E9E05C52164694D
    assert cluster_id_of([member]) == 0xCDF818194E3A8C32


def test_ids_do_not_depend_on_order() -> None:
    assert member_id_of(["b", "a"], "t") == member_id_of(["a", "b"], "t")
    assert cluster_id_of([1, 2, 3]) == cluster_id_of([3, 1, 2])


def test_an_added_member_has_another_id_than_a_founder() -> None:
    assert member_id_of(["a"], "t", added_at=1) != member_id_of(["a"], "t")


def test_every_member_computes_the_same_cluster() -> None:
    ports = {"node0": 2380, "node1": 2390, "node2": 2400}
    configs = [
        config_from_table(
            {
                "name": name,
                "listen-peer-urls": [f"tcp://127.0.0.1:{port}"],
                "listen-native-client-urls": [f"tcp://127.0.0.1:{port + 2}"],
                "initial-cluster": THREE,
            }
        )
        for name, port in ports.items()
    ]
    members = configs[0].initial_members()
    assert [each.id for each in members] == sorted(each.id for each in members)
    assert all(config.initial_members() == members for config in configs)
    assert len({config.cluster_id() for config in configs}) == 1
    by_name = {each.name: each.id for each in members}
    assert [config.member_id() for config in configs] == [by_name[name] for name in ports]


# --- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_whole", [False, True])
def test_a_config_survives_writing(is_whole: bool) -> None:
    config = parse_config(
        """
        name = "quote \\" and backslash \\\\ and tab"
        pre-vote = false
        compaction-sleep-interval = "1500us"
        log-outputs = ["stdout", "file \\" x.log"]
        [raft]
        nice = 0
        [supervisor]
        drain-seconds = 0.25
        """
    )
    assert parse_config(config.to_toml(is_whole=is_whole)) == config


def test_only_what_differs_is_written() -> None:
    text = parse_config("[raft]\nnice = 0").to_toml()
    assert "[raft]\nnice = 0\n" in text
    assert "heartbeat-interval" not in text
    assert "[wal]" not in text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    assert validate(load_config(path)) == ()


def test_the_three_examples_form_one_cluster() -> None:
    trio = [load_config(path) for path in EXAMPLES if path.stem.startswith("three-nodes")]
    assert len(trio) == 3
    assert len({config.cluster_id() for config in trio}) == 1
    assert len({config.member_id() for config in trio}) == 3


def test_a_config_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config(None).name = "other"  # type: ignore[misc]


# --- HTTP ----------------------------------------------------------------------------------------


def test_http_listeners_may_be_left_out_and_must_be_served_by_somebody() -> None:
    assert parse_config("").listen_metrics_urls == ()
    urls = 'listen-metrics-urls = ["http://127.0.0.1:2381"]'
    assert parse_config(urls).listen_metrics_urls == ("http://127.0.0.1:2381",)
    found = problems_of(f"{urls}\n[gateway]\netcd-processes = 0")
    assert "there are none" in found["listen-metrics-urls"]


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ('listen-metrics-urls = ["https://127.0.0.1:1"]', "listen-metrics-urls", "TLS"),
        ('listen-client-http-urls = ["http://a:1"]', "listen-client-http-urls", "IP address"),
        ('listen-client-http-urls = ["http://127.0.0.1:2379"]', "listen-client-http-urls", "port"),
        ('metrics = "all"', "metrics", "basic"),
    ],
)
def test_what_http_cannot_do_is_said(text: str, key: str, why: str) -> None:
    assert why in problems_of(text)[key]


# --- TLS between members ---------------------------------------------------------------------------

PEER_HTTPS = 'listen-peer-urls = "https://127.0.0.1:2380"\n'
PEER_SECTION = "[peer-transport-security]\n"


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        (
            PEER_HTTPS,
            "listen-peer-urls",
            "cannot listen on TLS for 127.0.0.1:2380: KeyFile and CertFile are not presented",
        ),
        (
            PEER_SECTION + 'cert-file = "c"',
            "peer-transport-security",
            "KeyFile and CertFile must both be present[key: , cert: c]",
        ),
        (
            PEER_SECTION + 'key-file = "k"',
            "peer-transport-security",
            "KeyFile and CertFile must both be present[key: k, cert: ]",
        ),
        (
            PEER_SECTION + 'client-key-file = "k"',
            "peer-transport-security",
            "ClientKeyFile and ClientCertFile must both be present or both absent: key: k, cert: ]",
        ),
        (
            PEER_SECTION + 'allowed-cn = ["a"]\nallowed-hostname = ["b"]',
            "peer-transport-security",
            "AllowedCNs and AllowedHostnames are mutually exclusive",
        ),
        (
            'initial-advertise-peer-urls = "https://127.0.0.1:2"\ninitial-cluster = "default=https://127.0.0.1:2"',
            "initial-advertise-peer-urls",
            "this member listens for others without",
        ),
    ],
)
def test_what_members_certificates_lack_is_said(text: str, key: str, why: str) -> None:
    assert why in problems_of(text)[key]


def test_members_have_tls_if_a_url_or_a_setting_says_so() -> None:
    assert not parse_config("").has_peer_tls()
    assert parse_config(PEER_HTTPS + PEER_SECTION + "auto-tls = true").has_peer_tls()
    # Others may come to have it.
    assert parse_config(PEER_SECTION + 'trusted-ca-file = "ca"').has_peer_tls()
    others = 'name = "a"\ninitial-cluster = "a=tcp://127.0.0.1:2380,b=https://127.0.0.1:3"'
    assert parse_config(others).has_peer_tls()


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "[::]"])
def test_native_clients_in_clear_off_this_machine_need_consent(host: str) -> None:
    text = f'listen-native-client-urls = "tcp://{host}:2382"\nadvertise-native-client-urls = "tcp://a:1"\n'
    assert "in clear" in problems_of(text)["listen-native-client-urls"]
    assert parse_config(text + "allow-clear-native-clients = true").allow_clear_native_clients
    # Where nobody listens, nothing is in clear.
    assert parse_config(text + "[gateway]\nnative-processes = 0").gateway.native_processes == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"])
def test_native_clients_of_this_machine_need_none(host: str) -> None:
    config = parse_config(f'listen-native-client-urls = "tcp://{host}:2382"')
    assert not config.allow_clear_native_clients

"""etcd's YAML files."""

from __future__ import annotations

import pytest

from zetcd.launcher.config_file import read_config_file
from zetcd.launcher.settings import LauncherError, Settings

SAMPLE = """
name: 'default'
data-dir: /var/lib/etcd
snapshot-count: 10000
heartbeat-interval: 100
quota-backend-bytes: 0
listen-peer-urls: http://localhost:2380
listen-client-urls: http://localhost:2379,http://127.0.0.1:12379
grpc-keepalive-timeout: 20000000000
cors:
strict-reconfig-check: false
log-outputs: [stderr]
client-transport-security:
  cert-file: c.pem
  client-cert-auth: true
  auto-tls: false
  allowed-cn: [a, b]
peer-transport-security:
  cert-file: p.pem
  allowed-cn: [c]
socket-options: {reuse-port: true}
experimental-snapshot-catch-up-entries: 17
force-new-cluster: false
"""


def read(text: str) -> Settings:
    return read_config_file("etcd.yml", text)


def test_a_file_sets_flags() -> None:
    settings = read(SAMPLE)
    values = settings.values()
    assert values["listen-client-urls"] == ("http://127.0.0.1:12379", "http://localhost:2379")
    assert values["grpc-keepalive-timeout"] == pytest.approx(20)
    assert values["cert-file"] == "c.pem"
    assert values["client-cert-auth"] is True
    assert values["peer-cert-file"] == "p.pem"
    assert values["peer-cert-allowed-cn"] == ("c",)
    assert settings.given["client-cert-allowed-cn"] == ("a", "b")
    assert values["socket-reuse-port"] is True
    assert values["snapshot-catchup-entries"] == 17
    assert "cors" not in values
    assert settings.warnings == []


def test_an_empty_file_sets_nothing() -> None:
    assert read("").values() == {}


def test_unknown_keys_are_warned_of() -> None:
    settings = read("nam: a\nclient-transport-security: {cert: x}\n")
    assert settings.values() == {}
    assert settings.warnings == [
        'unknown key "nam" in etcd.yml',
        'unknown key "client-transport-security.cert" in etcd.yml',
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name: [", "error converting YAML to JSON"),
        ("- name", "one map of settings"),
        (
            "grpc-keepalive-timeout: 20s",
            "cannot unmarshal string .*keepalive-timeout of type time.D",
        ),
        ("name: 5", "cannot unmarshal number into Go struct field configYAML.name of type string"),
        ("snapshot-count: -1", "cannot unmarshal number -1 .* of type uint"),
        ("snapshot-count: true", "cannot unmarshal bool .* of type uint"),
        ("pre-vote: 1", "cannot unmarshal number .* of type bool"),
        ("peer-transport-security: a", "invalid peer-transport-security"),
        ("listen-peer-urls: a", "unexpected error setting up listen-peer-urls: URL scheme must be"),
    ],
)
def test_what_a_file_may_not_say(text: str, why: str) -> None:
    with pytest.raises(LauncherError, match=why):
        read(text)

"""What is made, and what is refused, before a node starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from tests.certificates import Authority
from tests.peer_security import member_certificate, peer_security
from zetcd.config import Config, ConfigError, parse_config
from zetcd.runtime.certificates import with_certificates

HTTPS = 'listen-peer-urls = "https://127.0.0.1:1"\n'
AUTO = "[peer-transport-security]\nauto-tls = true\n"


def config_of(tmp_path: Path, text: str) -> Config:
    return parse_config(f'data-dir = "{tmp_path / "data"}"\n{text}')


def test_members_make_their_own_certificate_if_they_are_told_to(tmp_path: Path) -> None:
    config = with_certificates(config_of(tmp_path, HTTPS + AUTO))
    security = config.peer_transport_security
    assert Path(security.cert_file) == tmp_path / "data" / "fixtures" / "peer" / "cert.pem"
    assert Path(security.key_file).is_file()
    assert with_certificates(config_of(tmp_path, HTTPS + AUTO)) == config


def test_given_ones_count_more_and_are_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    text = peer_security(authority, member_certificate(authority), "auto-tls = true")
    structlog.reset_defaults()
    with capture_logs() as logs:
        config = with_certificates(config_of(tmp_path, HTTPS + text))
    assert "ignoring peer auto TLS since certs given" in [each["event"] for each in logs]
    assert not config.peer_transport_security.auto_tls


def test_certificates_beside_a_url_in_clear_are_warned_of(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    text = peer_security(authority, member_certificate(authority))
    structlog.reset_defaults()
    with capture_logs() as logs:
        with_certificates(config_of(tmp_path, text))
    assert [each["event"] for each in logs] == [
        "scheme is HTTP while key and cert files are present; ignoring key and cert files",
        "starting with peer TLS",
    ]


@pytest.mark.parametrize("name", ["cert_file", "key_file", "trusted_ca_file", "client_crl_file"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    authority = Authority(tmp_path / "authority")
    text = peer_security(authority, member_certificate(authority))
    key = name.replace("_", "-")
    lines = [line for line in text.splitlines() if not line.startswith(f"{key} =")]
    lines.append(f'{key} = "{tmp_path}/no-such-file"')
    with pytest.raises(ConfigError) as caught:
        with_certificates(config_of(tmp_path, HTTPS + "\n".join(lines)))
    (problem,) = caught.value.problems
    assert problem.key == "peer-transport-security"
    assert "no-such-file" in problem.value
    assert "cannot be used" in problem.why


def test_without_https_nothing_is_read_or_said(tmp_path: Path) -> None:
    config = config_of(tmp_path, "")
    with capture_logs() as logs:
        assert with_certificates(config) is config
    assert logs == []

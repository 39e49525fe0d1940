"""Certificates that a member makes for itself."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509

from zetcd.runtime.self_signed import self_signed


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_it_is_for_the_hosts_and_as_long_as_asked(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "fixtures" / "client", ["127.0.0.1", "localhost"], 3)
    found = load(certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert (found.not_valid_after_utc - dt.datetime.now(dt.UTC)).days in (3 * 365 - 1, 3 * 365)
    assert key.stat().st_mode & 0o777 == 0o600


def test_it_is_kept_as_long_as_it_can_be_used(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, ["localhost"], 1)
    serial = load(certificate).serial_number
    self_signed(tmp_path, ["localhost"], 1)
    assert load(certificate).serial_number == serial
    key.unlink()
    self_signed(tmp_path, ["localhost"], 1)
    assert load(certificate).serial_number != serial
    certificate.write_text("damaged")
    self_signed(tmp_path, ["localhost"], 1)
    load(certificate)

"""Names of cipher suites."""

from __future__ import annotations

import ssl

import pytest

from zetcd.config.cipher_suites import (
    OPENSSL_NAMES,
    TLS13_NAMES,
    openssl_ciphers,
    unknown_suites,
)


@pytest.mark.parametrize("name", OPENSSL_NAMES)
def test_openssl_knows_every_suite(name: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(openssl_ciphers((name,)))
    assert OPENSSL_NAMES[name] in [cipher["name"] for cipher in context.get_ciphers()]


def test_names() -> None:
    names = ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", *TLS13_NAMES, "TLS_NOTHING")
    assert openssl_ciphers(names) == "ECDHE-RSA-AES128-GCM-SHA256"
    assert unknown_suites(names) == ("TLS_NOTHING",)

"""Whether a member's certificate is for the address that it comes from."""

from __future__ import annotations

import asyncio

import pytest

from zetcd.runtime.peer_names import address_refusal
from zetcd.runtime.tls import PeerCertificate


def certificate(*names: tuple[str, str]) -> PeerCertificate:
    return {"subjectAltName": names}


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ((), ""),
        ((("IP Address", "127.0.0.1"),), ""),
        ((("IP Address", "10.0.0.1"), ("IP Address", "127.0.0.1")), ""),
        (
            (("IP Address", "10.0.0.1"), ("IP Address", "10.0.0.2")),
            "x509: certificate is valid for 10.0.0.1, 10.0.0.2, not 127.0.0.1",
        ),
        # Its addresses are looked up.
        ((("DNS", "localhost"),), ""),
        ((("IP Address", "10.0.0.1"), ("DNS", "localhost")), ""),
        (
            (("DNS", "nobody.invalid"), ("DNS", "a..b")),
            'tls: "127.0.0.1" does not match any of DNSNames ["nobody.invalid" "a..b"]',
        ),
    ],
)
def test_the_rules_are_etcds(names: tuple[tuple[str, str], ...], refusal: str) -> None:
    assert asyncio.run(address_refusal(certificate(*names), "127.0.0.1")) == refusal

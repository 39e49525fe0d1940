"""Settings of ``[peer-transport-security]`` for tests with members that talk TLS."""

from __future__ import annotations

import shutil

from tests.certificates import Authority, Issued


def member_certificate(authority: Authority, name: str = "member") -> Issued:
    """Return a certificate for members on loopback."""
    return authority.issue(name, hosts=("localhost",), addresses=("127.0.0.1",))


def peer_security(authority: Authority, issued: Issued, *more: str) -> str:
    """Return the section with mutual TLS, and more lines of it."""
    lines = (
        "[peer-transport-security]",
        f'cert-file = "{issued.certificate}"',
        f'key-file = "{issued.key}"',
        "client-cert-auth = true",
        f'trusted-ca-file = "{authority.file}"',
        *more,
    )
    return "\n".join(lines) + "\n"


def replace_certificate(old: Issued, new: Issued) -> None:
    """Put a certificate and its key in the place of others, as a renewal does."""
    shutil.copy(new.key, old.key)
    shutil.copy(new.certificate, old.certificate)

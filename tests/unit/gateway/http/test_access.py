"""Hosts, origins and certificates (CVE-2018-1098, CVE-2018-1099, CVE-2018-16886)."""

from __future__ import annotations

import pytest

from tests.unit.gateway.http.browser import Browser
from zetcd.gateway.http import HttpOptions, Request
from zetcd.gateway.http.access import host_of, is_host_allowed

CORS_NAMES = {
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
}


@pytest.mark.parametrize(
    ("header", "host"),
    [("a", "a"), ("a:2379", "a"), ("[::1]:2379", "::1"), ("[::1]", "::1"), ("::1", "::1")],
)
def test_host_is_without_port(header: str, host: str) -> None:
    assert host_of(Request("GET", "/", (), (("host", header),))) == host


def test_with_tls_every_host_will_do() -> None:
    options = HttpOptions(host_whitelist=("b",))
    assert is_host_allowed("a", options, is_secure=True)
    assert not is_host_allowed("a", options, is_secure=False)
    assert is_host_allowed("b", options, is_secure=False)


@pytest.mark.parametrize("target", ["/health", "/v3/kv/range", "/nowhere"])
def test_a_host_that_is_not_listed_is_told_so(target: str) -> None:
    browser = Browser(host_whitelist=("good.example",))
    assert browser.say(f"GET {target} HTTP/1.1\r\nHost: evil.example:2379\r\n\r\n") == []
    status, headers, body = browser.answer()
    assert status == 421
    assert b"evil.example" in body
    assert b"host-whitelist" in body
    assert headers["content-type"] == "text/plain; charset=utf-8"
    browser.get("/health", {"Host": "good.example:1"})


def test_every_origin_by_default() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/range", headers={"Origin": "http://page.example"})
    browser.transport.answer(call.token, b"")
    browser.listen()
    _, headers, _ = browser.answer()
    assert headers["access-control-allow-origin"] == "*"
    assert headers.keys() >= CORS_NAMES


def test_pages_of_other_origins_get_no_headers_and_no_calls() -> None:
    browser = Browser(cors=("http://good.example",))
    good = browser.call("/v3/kv/range", headers={"Origin": "http://good.example"})
    browser.transport.answer(good.token, b"")
    browser.listen()
    assert browser.answer()[1]["access-control-allow-origin"] == "http://good.example"

    evil = {"Origin": "http://evil.example"}
    assert (
        browser.say("OPTIONS /v3/kv/put HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\n\r\n")
        == []
    )
    status, headers, _ = browser.answer()
    assert status == 200
    assert not CORS_NAMES & headers.keys()

    asked = browser.get("/health", evil)
    assert asked.request.path == "/health"
    browser = Browser(cors=("http://good.example",))
    body = '{"key":"YQ=="}'
    assert (
        browser.say(
            f"POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        == []
    )
    status, headers, answer = browser.answer()
    assert status == 403
    assert b'"code":7' in answer
    assert not CORS_NAMES & headers.keys()


def test_preflight() -> None:
    browser = Browser()
    browser.say("OPTIONS /v3/kv/put HTTP/1.1\r\nHost: a\r\nOrigin: http://page.example\r\n\r\n")
    status, headers, body = browser.answer()
    assert (status, body) == (200, b"")
    assert "content-type" not in headers
    assert "authorization" in headers["access-control-allow-headers"]


def test_a_call_carries_its_token_and_its_metadata_and_nothing_else() -> None:
    call = Browser().call(
        "/v3/kv/range",
        headers={
            "Authorization": "secret",
            "Grpc-Metadata-Hasleader": "true",
            "X-Forwarded-User": "root",
            "Cookie": "token=root",
            "X-Client-Cn": "root",
        },
    )
    assert call.head.metadata == (("authorization", "secret"), ("hasleader", "true"))
    assert call.head.get("hasleader") == "true"

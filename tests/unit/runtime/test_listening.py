"""A URL that is taken, or that this machine cannot have, is named before anything starts."""

from __future__ import annotations

import socket

import pytest

from zetcd.errors import ConfigError, PortInUse
from zetcd.runtime.listening import check_listen_urls


def test_a_free_port_may_be_listened_on_afterwards() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    check_listen_urls([("listen-peer-urls", f"tcp://127.0.0.1:{port}")])
    socket.create_server(("127.0.0.1", port)).close()


def test_a_port_in_use_is_named_after_the_patience_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        pauses: list[float] = []
        with pytest.raises(PortInUse, match=f"listen-peer-urls {url}"):
            check_listen_urls(
                [("listen-peer-urls", url)], patience_seconds=0.1, pause=pauses.append
            )
    assert sum(pauses) == pytest.approx(0.1)


def test_a_port_that_becomes_free_is_taken() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    check_listen_urls([("listen-peer-urls", url)], pause=lambda _seconds: server.close())


def test_an_address_of_another_machine_is_a_problem_of_the_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        check_listen_urls([("listen-peer-urls", "tcp://192.0.2.1:2380")])
    (problem,) = caught.value.problems
    assert problem.key == "listen-peer-urls"
    assert "Cannot assign requested address" in problem.why

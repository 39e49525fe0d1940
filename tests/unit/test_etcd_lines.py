"""The lines that tools wait for in etcd's log."""

from __future__ import annotations

from zetcd import etcd_lines
from zetcd.config import config_from_table

CONFIG = config_from_table(
    {
        "listen-client-urls": ["http://127.0.0.1:2379", "unix:///s"],
        "advertise-client-urls": ["http://127.0.0.1:2379"],
    }
)


def test_each_listener_is_ready() -> None:
    lines = list(etcd_lines.ready(CONFIG))
    messages = [line.message for line in lines]
    assert messages.count("ready to serve client requests") == 2
    insecure = "serving client traffic insecurely; this is strongly discouraged!"
    addresses = [line.fields["address"] for line in lines if line.message == insecure]
    assert addresses == ["127.0.0.1:2379", "/s"]


def test_the_start_names_the_parameters() -> None:
    *_, line = etcd_lines.starting(CONFIG, is_initialized=True)
    assert line.message == "starting an etcd server"
    assert line.fields["member-initialized"] is True
    assert line.fields["election-timeout"] == "1000ms"


def test_the_end() -> None:
    assert etcd_lines.closing(CONFIG).message == "closing etcd server"
    assert etcd_lines.closed(CONFIG).message == "closed etcd server"
    assert etcd_lines.closed(CONFIG).fields["name"] == "default"

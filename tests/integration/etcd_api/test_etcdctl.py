"""etcdctl 3.6 against three members: what its commands print, and with which exit code they end."""

from __future__ import annotations

import re

import pytest

from tests.integration.etcd_api.etcdctl import Etcdctl

pytestmark = [pytest.mark.integration, pytest.mark.clients, pytest.mark.timeout(2400)]


#: In order: command, what stands on its standard input, a pattern of all that it prints.
COMMANDS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("put", "ctl/a", "1"), "", r"OK\n"),
    (("put", "ctl/a"), "2", r"OK\n"),
    (("put", "--prev-kv", "ctl/a", "3"), "", r"OK\nctl/a\n2\n"),
    (("put", "ctl/b", "4"), "", r"OK\n"),
    (("get", "ctl/a"), "", r"ctl/a\n3\n"),
    (("get", "--print-value-only", "ctl/a"), "", r"3\n"),
    (("get", "--prefix", "--keys-only", "ctl/"), "", r"ctl/a\n\nctl/b\n\n"),
    (("get", "--prefix", "--order", "DESCEND", "--limit", "1", "ctl/"), "", r"ctl/b\n4\n"),
    (
        ("get", "--prefix", "--sort-by", "VERSION", "--order", "ASCEND", "ctl/"),
        "",
        r"ctl/b\n4\nctl/a\n3\n",
    ),
    (("get", "--consistency", "s", "ctl/none"), "", r""),
    (("get", "--hex", "ctl/a"), "", r"\\x63\\x74\\x6c\\x2f\\x61\n\\x33\n"),
    (
        ("get", "-w", "fields", "ctl/a"),
        "",
        r'(?s).*"ClusterID" : \d+\n.*"Key" : "ctl/a"\n.*"Count" : 1\n',
    ),
    (("get", "-w", "fields", "--count-only", "--prefix", "ctl/"), "", r'(?s).*"Count" : 2\n'),
    (
        ("txn",),
        'ver("ctl/a") = "3"\n\nput ctl/c 5\nget ctl/c\n\n\n',
        r"SUCCESS\n\nOK\n\nctl/c\n5\n",
    ),
    (("txn",), 'val("ctl/a") > "9"\n\nput ctl/c 6\n\ndel ctl/c\n\n', r"FAILURE\n\n1\n"),
    (("del", "--prev-kv", "ctl/b"), "", r"1\nctl/b\n4\n"),
    (("del", "--prefix", "ctl/"), "", r"1\n"),
    (("del", "ctl/none"), "", r"0\n"),
    (("alarm", "list"), "", r""),
    (("alarm", "disarm"), "", r""),
    (
        ("member", "list"),
        "",
        r"([0-9a-f]+, started, node\d, \S+, http://127.0.0.1:\d+, false\n){3}",
    ),
    (("member", "list", "-w", "table"), "", r"(?s)\+-.*\| +ID +\| STATUS .*-\+\n"),
    (
        ("endpoint", "health"),
        "",
        r"(127\S+ is healthy: successfully committed proposal: took = \S+\n){3}",
    ),
    (("endpoint", "status"), "", r"(127\S+, [0-9a-f]+, 3\.6\.\d+, .*\n){3}"),
    (("endpoint", "status", "-w", "table"), "", r"(?s)\+-.*\| +ENDPOINT .*-\+\n"),
    (("endpoint", "hashkv"), "", r"(127\S+, \d+, \d+\n){3}"),
    (("endpoint", "status", "--cluster"), "", r"(http://127\S+, [0-9a-f]+, 3\.6\.\d+, .*\n){3}"),
    (
        ("endpoint", "health", "--cluster"),
        "",
        r"(http://127\S+ is healthy: successfully committed proposal: took = \S+\n){3}",
    ),
    (
        ("defrag",),
        "",
        r"(Finished defragmenting etcd member\[127.0.0.1:\d+\]. took \S+\n){3}",
    ),
    (("auth", "disable"), "", r"Authentication Disabled\n"),
    (("downgrade", "cancel"), "", r"Downgrade cancel success, cluster version 3\.6\n"),
    (("auth", "status"), "", r"Authentication Status: false\nAuthRevision: 1\n"),
    (("version",), "", r"etcdctl version: 3\.6\.\d+\nAPI version: 3\.6\n"),
    (("lock", "ctl-lock", "echo", "inside"), "", r"inside\n"),
)


def test_commands_print_what_they_print_with_etcd(etcdctl: Etcdctl) -> None:
    wrong = []
    for command, stdin, pattern in COMMANDS:
        done = etcdctl.run(*command, stdin=stdin)
        # endpoint health writes to standard error, as etcd's own tests know.
        printed = done.stdout or (done.stderr if done.returncode == 0 else "")
        if done.returncode or not re.fullmatch(pattern, printed):
            wrong.append(f"{command}: {done.returncode} {printed!r} {done.stderr!r} != {pattern!r}")
    assert not wrong, "\n".join(wrong)


_NO_USERS = "Unimplemented desc = zetcd: not implemented: users and roles"
_USERS_AND_ROLES: tuple[tuple[str, ...], ...] = (
    ("user", "list"),
    ("user", "add", "ann:password"),
    ("user", "get", "ann"),
    ("user", "delete", "ann"),
    ("user", "grant-role", "ann", "reader"),
    ("user", "revoke-role", "ann", "reader"),
    ("role", "list"),
    ("role", "add", "reader"),
    ("role", "get", "reader"),
    ("role", "delete", "reader"),
    ("role", "grant-permission", "reader", "read", "key"),
    ("role", "revoke-permission", "reader", "key"),
)

REFUSALS: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("get", "--rev", "999999999", "a"), 1, "mvcc: required revision is a future revision"),
    (("put", "--lease", "1267", "a", "b"), 1, "requested lease not found"),
    (("put", "--ignore-value", "ctl/missing"), 1, "key not found"),
    (("compaction", "999999999"), 1, "mvcc: required revision is a future revision"),
    (("lease", "revoke", "1267"), 1, "requested lease not found"),
    (("member", "remove", "1"), 1, "etcdserver: member not found"),
    (("member", "promote", "1"), 1, "etcdserver: member not found"),
    (
        ("member", "update", "1", "--peer-urls", "http://127.0.0.1:1"),
        1,
        "etcdserver: member not found",
    ),
    (("move-leader", "1"), 1, "etcdserver: bad leader transferee"),
    (("downgrade", "enable", "3.5"), 1, "etcdserver: invalid downgrade target version"),
    *((each, 1, _NO_USERS) for each in _USERS_AND_ROLES),
    (("auth", "enable"), 1, "Unimplemented desc = zetcd: not implemented: authentication"),
    (("get",), 128, "get command needs one argument"),
    (("get", "-w", "table", "a"), 4, ""),
)


def test_refusals_have_their_text_and_exit_code(etcdctl: Etcdctl) -> None:
    wrong = []
    for command, code, text in REFUSALS:
        done = etcdctl.run(*command)
        if done.returncode != code or text not in done.stderr:
            wrong.append(f"{command}: {done.returncode} {done.stdout!r} {done.stderr!r}")
    assert not wrong, "\n".join(wrong)


def test_leases(etcdctl: Etcdctl) -> None:
    granted = re.fullmatch(
        r"lease ([0-9a-f]{16}) granted with TTL\(600s\)\n", etcdctl.output("lease", "grant", "600")
    )
    assert granted is not None
    lease = granted[1]
    etcdctl.output("put", "--lease", lease, "ctl-lease", "x")
    left = etcdctl.output("lease", "timetolive", "--keys", lease)
    assert re.fullmatch(
        rf"lease {lease} granted with TTL\(600s\), remaining\(\d+s\), attached keys\(\[ctl-lease\]\)\n",
        left,
    )
    kept = etcdctl.output("lease", "keep-alive", "--once", lease)
    assert kept == f"lease {lease} keepalived with TTL(600)\n"
    assert lease in etcdctl.output("lease", "list")
    assert etcdctl.output("lease", "revoke", lease) == f"lease {lease} revoked\n"
    assert etcdctl.output("get", "ctl-lease") == ""
    assert etcdctl.output("lease", "timetolive", lease) == f"lease {lease} already expired\n"


def test_json_has_the_numbers_of_the_store(etcdctl: Etcdctl) -> None:
    put = etcdctl.json("put", "ctl-json", "x")
    got = etcdctl.json("get", "ctl-json")
    assert got["kvs"][0]["mod_revision"] == put["header"]["revision"]
    assert (got["kvs"][0]["key"], got["count"]) == ("Y3RsLWpzb24=", 1)
    status = etcdctl.json("endpoint", "status")
    assert len({each["Status"]["leader"] for each in status}) == 1
    assert etcdctl.output("compaction", str(put["header"]["revision"])) == (
        f"compacted revision {put['header']['revision']}\n"
    )


def test_watch_shows_what_happens_from_a_revision_on(etcdctl: Etcdctl) -> None:
    revision = etcdctl.json("put", "ctl-watch", "1")["header"]["revision"]
    etcdctl.output("put", "ctl-watch", "2")
    etcdctl.output("del", "ctl-watch")
    with etcdctl.running("watch", "--prev-kv", "--rev", str(revision), "ctl-watch") as watching:
        assert watching.stdout is not None
        # Each event: its kind, the pair before if there was one, the pair.
        wanted = [
            "PUT",
            "ctl-watch",
            "1",
            "PUT",
            "ctl-watch",
            "1",
            "ctl-watch",
            "2",
            "DELETE",
            "ctl-watch",
            "2",
            "ctl-watch",
        ]
        seen: list[str] = []
        while len(seen) < len(wanted):
            seen += watching.stdout.readline().split()
        assert seen == wanted

"""A command line is read as Go's flag package reads it."""

from __future__ import annotations

import pytest

from zetcd.launcher.command_line import HelpWanted, UsageError, read_command_line


@pytest.mark.parametrize(
    ("arguments", "given", "rest"),
    [
        (["--name", "a"], {"name": "a"}, ()),
        (["-name=a"], {"name": "a"}, ()),
        (["--name=a=b"], {"name": "a=b"}, ()),
        (["--name="], {"name": ""}, ()),
        (["--name", "--data-dir"], {"name": "--data-dir"}, ()),
        (["--name", "a", "--name", "b"], {"name": "b"}, ()),
        (["--auto-tls"], {"auto-tls": True}, ()),
        (["--auto-tls=false"], {"auto-tls": False}, ()),
        (["--auto-tls", "false"], {"auto-tls": True}, ("false",)),
        (["stray", "--name", "a"], {}, ("stray", "--name", "a")),
        (["--", "--name"], {}, ("--name",)),
        (["-"], {}, ("-",)),
        (["--grpc-keepalive-timeout", "1m"], {"grpc-keepalive-timeout": 60.0}, ()),
        (
            ["--experimental-initial-corrupt-check"],
            {"experimental-initial-corrupt-check": True},
            (),
        ),
        (["--snapshot", "x"], {"snapshot": "x"}, ()),
    ],
)
def test_reads(arguments: list[str], given: dict[str, object], rest: tuple[str, ...]) -> None:
    settings, remaining = read_command_line(arguments)
    assert (settings.given, remaining) == (given, rest)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--no-such-flag=1"], "flag provided but not defined: -no-such-flag"),
        (["---name"], "bad flag syntax: ---name"),
        (["--=x"], "bad flag syntax: --=x"),
        (["--name"], "flag needs an argument: -name"),
        (["--pre-vote=maybe"], 'invalid boolean value "maybe" for -pre-vote: parse error'),
        (
            ["--heartbeat-interval", "fast"],
            'invalid value "fast" for flag -heartbeat-interval: parse error',
        ),
        (
            ["--listen-client-urls", "localhost"],
            (
                'invalid value "localhost" for flag -listen-client-urls: '
                "URL scheme must be http, https, unix, or unixs: localhost"
            ),
        ),
    ],
)
def test_refuses(arguments: list[str], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_command_line(arguments)
    assert str(caught.value) == why


@pytest.mark.parametrize("argument", ["-h", "--help", "-help"])
def test_help(argument: str) -> None:
    with pytest.raises(HelpWanted):
        read_command_line(["--name", "a", argument, "--unknown"])

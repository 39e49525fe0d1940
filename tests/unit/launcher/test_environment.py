"""Variables: between flags and defaults, never beside the flag of the same meaning."""

from __future__ import annotations

import pytest

from zetcd.launcher.command_line import read_command_line
from zetcd.launcher.environment import Shadowed, add_environment, unrecognized, variable_of
from zetcd.launcher.settings import LauncherError, Settings


def test_the_variable_of_a_flag() -> None:
    assert variable_of("listen-client-urls") == "ETCD_LISTEN_CLIENT_URLS"


def test_a_variable_sets_what_no_flag_does() -> None:
    settings, _ = read_command_line(["--name", "a"])
    used = add_environment(
        settings, {"ETCD_SNAPSHOT_COUNT": "7", "ETCD_DATA_DIR": "", "PATH": "x", "NAME": "y"}
    )
    assert settings.values() == {"name": "a", "snapshot-count": 7}
    assert used == {"ETCD_SNAPSHOT_COUNT": "7"}


def test_a_variable_beside_its_flag_is_fatal() -> None:
    settings, _ = read_command_line(["--name", "a"])
    with pytest.raises(Shadowed, match="is shadowed by corresponding command-line flag") as caught:
        add_environment(settings, {"ETCD_NAME": "a"})
    assert caught.value.variable == "ETCD_NAME"


def test_a_value_that_means_nothing_names_its_variable() -> None:
    with pytest.raises(LauncherError) as caught:
        add_environment(Settings(), {"ETCD_PRE_VOTE": "maybe"})
    assert str(caught.value) == 'invalid value "maybe" for ETCD_PRE_VOTE: parse error'


def test_variables_that_look_like_etcds() -> None:
    environment = {"ETCD_NAMES": "a", "ETCD_VERIFY": "all", "ETCD_NAME": "a", "ETCDCTL_API": "3"}
    assert unrecognized(environment) == ("ETCD_NAMES",)

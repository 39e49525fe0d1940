"""Responsible for reading etcd's YAML file: flags by name, durations as nanoseconds, TLS in nested maps.

A key that nobody knows is warned of and ignored (etcd ignores it without a word).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import yaml

from zetcd.launcher.flags import ACCEPTED, Flag, Kind
from zetcd.launcher.settings import LauncherError, Settings
from zetcd.launcher.values import Value, parse, seconds_of_nanoseconds

#: The maps of TLS, and the beginning of the flags that say the same.
_SECURITY: Final = {"client-transport-security": "", "peer-transport-security": "peer-"}
#: Keys of these maps whose flag has another name, for clients and for peers.
_SECURITY_FLAGS: Final = {
    "allowed-cn": ("client-cert-allowed-cn", "peer-cert-allowed-cn"),
    "allowed-hostname": ("client-cert-allowed-hostname", "peer-cert-allowed-hostname"),
    "skip-client-san-verification": ("", "peer-skip-client-san-verification"),
}
#: Other maps: the flag of each key.
_NESTED: Final = {
    "socket-options": {
        "reuse-port": "socket-reuse-port",
        "reuse-address": "socket-reuse-address",
    },
    "discovery-config": {"token": "discovery-token"},
}
#: The one key that is not its flag's name.
_RENAMED: Final = {
    "experimental-snapshot-catch-up-entries": "experimental-snapshot-catchup-entries"
}
#: What this module reads beside flags: names of clients' certificates, which has no flag.
ALLOWED_CN: Final = "client-cert-allowed-cn"


def read_config_file(path: str, text: str) -> Settings:
    """Return the flags that a file sets.

    Raises:
        LauncherError: it is not YAML, or a value is of the wrong type.
    """
    try:
        # Safe: makes plain values only.
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LauncherError(f"error converting YAML to JSON: yaml: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise LauncherError("error unmarshaling JSON: the file must hold one map of settings")
    settings = Settings(file=path)
    for key, value in content.items():
        _take(settings, str(key), value)
    return settings


def _take(settings: Settings, key: str, value: object) -> None:
    if key in _SECURITY:
        _take_security(settings, key, value)
    elif key in _NESTED:
        _take_nested(settings, key, value)
    else:
        _set(settings, _RENAMED.get(key, key), key, value)


def _take_security(settings: Settings, key: str, value: object) -> None:
    is_peer = bool(_SECURITY[key])
    for inner, content in _map_of(key, value).items():
        if inner in _SECURITY_FLAGS:
            name = _SECURITY_FLAGS[inner][is_peer]
        else:
            name = _SECURITY[key] + inner
        _set(settings, name, f"{key}.{inner}", content)


def _take_nested(settings: Settings, key: str, value: object) -> None:
    for inner, content in _map_of(key, value).items():
        if key == "discovery-config" and inner == "client":
            endpoints = _map_of(f"{key}.client", content).get("endpoints")
            if endpoints:
                _set(settings, "discovery-endpoints", f"{key}.client.endpoints", endpoints)
            continue
        _set(settings, _NESTED[key].get(inner, ""), f"{key}.{inner}", content)


def _map_of(key: str, value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise LauncherError(f"invalid {key}")
    return cast(Mapping[str, object], value)


def _set(settings: Settings, name: str, key: str, value: object) -> None:
    if value is None:
        return
    if name == ALLOWED_CN:
        settings.given[name] = tuple(map(str, value)) if isinstance(value, list) else (str(value),)
        return
    flag = ACCEPTED.get(name)
    if flag is None or name in ("config-file", "version"):
        settings.warnings.append(f'unknown key "{key}" in {settings.file}')
        return
    settings.given[name] = _value(flag, key, value)


def _value(flag: Flag, key: str, value: object) -> Value:
    """Return a value of YAML as the flag's; the type must be the one that etcd's decoder wants."""
    if isinstance(value, bool):
        if flag.kind is not Kind.BOOL:
            raise _mismatch(key, "bool", flag)
        return value
    if isinstance(value, int):
        return _number(flag, key, value)
    if isinstance(value, list) and flag.kind in (Kind.STRINGS, Kind.URLS):
        return tuple(map(str, value))
    if isinstance(value, str) and flag.kind in (Kind.STRING, Kind.URLS, Kind.STRINGS):
        try:
            return parse(flag, value)
        except ValueError as error:
            raise LauncherError(f"unexpected error setting up {key}: {error}") from error
    raise _mismatch(key, {str: "string", float: "number"}.get(type(value), "object"), flag)


def _number(flag: Flag, key: str, value: int) -> Value:
    if flag.kind is Kind.DURATION:
        return seconds_of_nanoseconds(value)
    if flag.kind not in (Kind.INT, Kind.UINT, Kind.UINT32):
        raise _mismatch(key, "number", flag)
    try:
        return parse(flag, str(value))
    except ValueError as error:
        raise _mismatch(key, f"number {value}", flag) from error


_GO_TYPES: Final = {
    Kind.STRING: "string",
    Kind.BOOL: "bool",
    Kind.INT: "int64",
    Kind.UINT: "uint",
    Kind.UINT32: "uint32",
    Kind.DURATION: "time.Duration",
    Kind.URLS: "string",
    Kind.STRINGS: "string",
}


def _mismatch(key: str, found: str, flag: Flag) -> LauncherError:
    return LauncherError(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
        f"{found} into Go struct field configYAML.{key} of type {_GO_TYPES[flag.kind]}"
    )

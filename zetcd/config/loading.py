"""Responsible for turning a TOML file into a checked `Config`.

The only place that asks the environment: where temporary directories are, and who the user is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from zetcd.config.cross_checks import validate
from zetcd.config.rules import key_of, read_section, shown, unknown_key
from zetcd.config.tree import SECTIONS, Config
from zetcd.config.urls import format_initial_cluster, with_address
from zetcd.errors import ConfigError, Problem

#: Bytes of the longest path of a socket between actors; the kernel ends at 107.
SOCKET_PATH_BYTES_MAX: Final = 80
#: The attribute of each table of a file.
_SECTION_NAMES: Final = {key_of(attribute): attribute for attribute in SECTIONS}
#: Longest name of a socket within the runtime directory.
_SOCKET_NAME_LONGEST: Final = "etcd-gateway-255"


def load_config(path: Path | str | None = None) -> Config:
    """Return the configuration in the TOML file ``path``; without one, a single node with defaults.

    Raises:
        ConfigError: the file cannot be read, or it has problems; all of them at once.
    """
    if path is None:
        return config_from_table({})
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        problem = Problem(
            "file", shown(str(path)), error.strerror or str(error), "name another file"
        )
        raise ConfigError(problems=[problem], source=str(path)) from error
    except UnicodeDecodeError as error:
        problem = Problem("file", shown(str(path)), str(error), "save it as UTF-8")
        raise ConfigError(problems=[problem], source=str(path)) from error
    return parse_config(text, source=str(path))


def parse_config(text: str, source: str = "") -> Config:
    """Return the configuration that the TOML ``text`` holds; raises `ConfigError`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = Problem("syntax", "", str(error), "mend the TOML; texts need quotes")
        raise ConfigError(problems=[problem], source=source) from error
    return config_from_table(table, source)


def config_from_table(table: Mapping[str, object], source: str = "") -> Config:
    """Return the configuration of a parsed file, with TOML's keys; raises `ConfigError`."""
    problems: list[Problem] = []
    values = read_section(Config, table, "", problems)
    for name, content in table.items():
        if isinstance(content, dict):
            _read_actor(name, content, values, problems)
        elif name in _SECTION_NAMES:
            problems[:] = [each for each in problems if each.key != name]
            problems.append(Problem(name, shown(content), "must be a table", f"write [{name}]"))
    # The attributes come from `read_section`, which gives each its declared type.
    config = resolved(dataclasses.replace(Config(), **values))  # type: ignore[arg-type]
    problems += validate(config)
    if problems:
        raise ConfigError(problems=problems, source=source)
    return config


def _read_actor(
    name: str, content: dict[str, object], values: dict[str, object], problems: list[Problem]
) -> None:
    attribute = _SECTION_NAMES.get(name)
    if attribute is None:
        problems.append(unknown_key(name, content, _SECTION_NAMES))
        return
    kind = SECTIONS[attribute]
    problems.extend(
        unknown_key(key, inner, (), f"{name}.")
        for key, inner in content.items()
        if isinstance(inner, dict)
    )
    section = read_section(kind, content, f"{name}.", problems)
    values[attribute] = kind(**section)


def resolved(config: Config) -> Config:
    """Return ``config`` with what its empty values stand for, and with absolute paths."""
    data_dir = Path(config.data_dir or f"{config.name}.zetcd").absolute()
    peer_urls = config.initial_advertise_peer_urls or config.listen_peer_urls
    return dataclasses.replace(
        config,
        data_dir=str(data_dir),
        wal_dir=str(Path(config.wal_dir).absolute() if config.wal_dir else data_dir / "wal"),
        runtime_dir=str(
            Path(config.runtime_dir).absolute() if config.runtime_dir else _runtime_dir(data_dir)
        ),
        listen_peer_urls=tuple(map(with_address, config.listen_peer_urls)),
        listen_native_client_urls=tuple(map(with_address, config.listen_native_client_urls)),
        initial_advertise_peer_urls=peer_urls,
        advertise_client_urls=config.advertise_client_urls or config.listen_client_urls,
        advertise_native_client_urls=(
            config.advertise_native_client_urls or config.listen_native_client_urls
        ),
        initial_cluster=(
            config.initial_cluster or format_initial_cluster({config.name: peer_urls})
        ),
        auto_compaction_retention=config.auto_compaction_retention or "0",
    )


def _runtime_dir(data_dir: Path) -> Path:
    """Return ``<data-dir>/run``, or a short name below the temporary directory if that is long."""
    directory = data_dir / "run"
    if len(os.fsencode(directory / _SOCKET_NAME_LONGEST)) <= SOCKET_PATH_BYTES_MAX:
        return directory
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"zetcd-{os.getuid()}-{digest}"

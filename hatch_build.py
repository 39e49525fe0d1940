"""Responsible for what is made when zetcd is built or installed: protobuf modules, and compiled ones if asked for.

The modules of the .proto files lie beside their sources, in an editable install too, and are not in version control.
With ``ZETCD_COMPILE=1`` a wheel also holds the busiest modules as machine code, made by mypyc from their types;
the interpreter prefers them to the sources beside them. An editable install is never compiled: it runs what is edited.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Sources of the etcd API, from the root of the repository.
PROTO_FOLDER: Final = Path("zetcd/gateway/etcd/proto")
#: Where modules are compiled, from the root of the repository.
COMPILE_FOLDER: Final = Path("build/compile")
#: The compiler's option -O: 2 takes twice as long for no gain that could be measured.
_OPTIMISATION: Final = "1"
#: Beside those of the user, instead of the interpreter's own: no debug information, and counting may wrap.
_C_FLAGS: Final = "-fwrapv -g0"


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs protoc, and mypyc if asked to, before the files of the wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the modules and their type stubs, and take them into the wheel."""
        root = Path(self.root)
        generate(root, root)
        build_data["artifacts"].append(f"/{PROTO_FOLDER}/*_pb2.py*")
        if version == "editable" or os.environ.get("ZETCD_COMPILE", "0") != "1":
            return
        sources = chosen(root, self.config["compile"], self.config["compile-except"])
        target = root / COMPILE_FOLDER
        shutil.rmtree(target, ignore_errors=True)
        for library in compile_modules(root, target, sources):
            build_data["force_include"][str(library)] = str(library.relative_to(target / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel now: 150 MB of C and objects."""
        del version, build_data, artifact_path
        shutil.rmtree(Path(self.root) / COMPILE_FOLDER, ignore_errors=True)


def generate(root: Path, target: Path) -> None:
    """Write the modules of the sources below ``root`` to the same folder below ``target``.

    Raises:
        RuntimeError: protoc found something wrong; it has said what.
    """
    sources = sorted(str(path.relative_to(root)) for path in (root / PROTO_FOLDER).glob("*.proto"))
    # protoc finds its own well-known types there.
    known = files("grpc_tools") / "_proto"
    options = [f"-I{root}", f"-I{known}", f"--python_out={target}", f"--pyi_out={target}"]
    if protoc.main(["protoc", *options, *sources]):
        raise RuntimeError(f"protoc refused {', '.join(sources)}")


def chosen(root: Path, patterns: Sequence[str], exceptions: Sequence[str]) -> list[str]:
    """Return the files below ``root`` that match a pattern and no exception, sorted.

    Raises:
        RuntimeError: a pattern matches nothing.
    """
    found: set[str] = set()
    for pattern in patterns:
        for each in _alternatives(pattern):
            paths = _matching(root, each)
            if not paths:
                raise RuntimeError(f"pyproject.toml: compile: nothing matches {each}")
            found |= paths
    for pattern in exceptions:
        for each in _alternatives(pattern):
            found -= _matching(root, each)
    return sorted(found)


def _matching(root: Path, pattern: str) -> set[str]:
    return {str(path.relative_to(root)) for path in root.glob(pattern)}


def _alternatives(pattern: str) -> Iterator[str]:
    """Yield the patterns that ``a{b,c}d`` stands for; there is at most one pair of braces."""
    braces = re.search(r"\{(.*)\}", pattern)
    for each in braces[1].split(",") if braces else ("",):
        yield pattern[: braces.start()] + each + pattern[braces.end() :] if braces else pattern


def compile_modules(root: Path, target: Path, sources: Sequence[str]) -> list[Path]:
    """Compile ``sources`` into ``target``/lib; returns the libraries, one for each module and one for all.

    Raises:
        SystemExit: mypyc found something wrong; it has said what.
        setuptools.errors.CompileError: there is no C compiler, or Python's headers are missing.
    """
    # Needed only here: whoever wants no compiled modules needs no mypyc.
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    before = Path.cwd()
    os.chdir(root)  # mypy finds its configuration and zetcd's packages there
    try:
        gateways = [each for each in sources if each.startswith("zetcd/gateway/")]
        others = [each for each in sources if each not in gateways]
        extensions = mypycify(
            list(sources),
            opt_level=_OPTIMISATION,
            debug_level="0",
            # Two halves of about the same size, for two cores.
            separate=[(gateways, "zetcd_gateways"), (others, "zetcd_others")],
            target_dir=str(target / "c"),
        )
        os.environ["CFLAGS"] = f"{os.environ.get('CFLAGS', '')} {_C_FLAGS}".strip()
        command = build_ext(Distribution({"name": "zetcd", "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(target / "lib"), str(target / "temp")
        command.parallel = True
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return sorted((target / "lib").rglob("*.so"))


if __name__ == "__main__":
    generate(Path(__file__).parent, Path(__file__).parent)

"""Responsible for what is made when zetcd is built or installed: Python modules of the .proto files.

The modules lie beside their sources, in an editable install too, and are not in version control.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Sources of the etcd API, from the root of the repository.
PROTO_FOLDER: Final = Path("zetcd/gateway/etcd/proto")


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs protoc before the files of the wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the modules and their type stubs, and take them into the wheel."""
        del version
        root = Path(self.root)
        generate(root, root)
        build_data["artifacts"].append(f"/{PROTO_FOLDER}/*_pb2.py*")


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


if __name__ == "__main__":
    generate(Path(__file__).parent, Path(__file__).parent)

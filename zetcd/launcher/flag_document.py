"""Responsible for `docs/etcd-flags.md`, which is made from the table of flags.

python -m zetcd.launcher.flag_document > docs/etcd-flags.md
"""

from __future__ import annotations

from collections import Counter

from zetcd.launcher.feature_gates import GATES
from zetcd.launcher.flags import (
    EXPERIMENTAL_FLAGS,
    EXPERIMENTAL_GATES,
    EXPERIMENTAL_PREFIX,
    FLAGS,
    LEGACY_FLAGS,
    Flag,
    Treatment,
)

_HEAD = """\
# The flags of `zetcd etcd`

`zetcd etcd` takes the flags, variables (`ETCD_` and the flag in capitals) and YAML files of etcd 3.6.
Made by `python -m zetcd.launcher.flag_document` from `zetcd/launcher/flags.py`; do not edit.

* *acted on*: it does what it does in etcd, or what the note says.
* *ignored*: a value other than etcd's default is accepted and warned of.
* *refused*: a value other than etcd's default ends the start with exit code 1,
  because a member that ignored it would not be what was asked for.
"""


def document() -> str:
    """Return the whole document."""
    counts = Counter(flag.treatment for flag in FLAGS.values())
    summary = (
        f"{len(FLAGS)} flags: {counts[Treatment.ACTED_ON]} acted on, "
        f"{counts[Treatment.IGNORED]} ignored, {counts[Treatment.REFUSED]} refused; "
        f"and {len(EXPERIMENTAL_FLAGS) + len(EXPERIMENTAL_GATES)} deprecated "
        f"and {len(LEGACY_FLAGS)} forgotten names.\n"
    )
    parts = [_HEAD, summary]
    section = ""
    for flag in FLAGS.values():
        if flag.section != section:
            section = flag.section
            parts.append(
                f"\n## {section}\n\n| Flag | etcd's default | zetcd | |\n| --- | --- | --- | --- |"
            )
        parts.append(_row(flag))
    parts += [
        "\n## Feature gates\n",
        "| Gate | zetcd |\n| --- | --- |",
        *(f"| `{name}` | {note or 'as in etcd with it, always'} |" for name, note in GATES.items()),
        "\n## Deprecated names\n",
        "Taken as the flag without `experimental-`, with a warning: "
        + ", ".join(f"`{EXPERIMENTAL_PREFIX}{name}`" for name in EXPERIMENTAL_FLAGS)
        + ".\n",
        "Taken as a feature gate, with a warning: "
        + ", ".join(
            f"`{EXPERIMENTAL_PREFIX}{name}` ({gate})" for name, gate in EXPERIMENTAL_GATES.items()
        )
        + ".\n",
        "Accepted and ignored, as in etcd: "
        + ", ".join(f"`{name}`" for name in LEGACY_FLAGS)
        + ".",
    ]
    return "\n".join(parts) + "\n"


def _row(flag: Flag) -> str:
    default = f"`{flag.default}`" if flag.default else ""
    treatment = flag.treatment.value.partition(" with")[0]
    return f"| `{flag.name}` | {default} | {treatment} | {flag.note} |"


if __name__ == "__main__":
    import sys

    sys.stdout.write(document())

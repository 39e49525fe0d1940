"""The documents name what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zetcd.gateway.etcd.local_answers import LOCAL_ANSWERS
from zetcd.gateway.etcd.methods import etcd_methods
from zetcd.messages.codec import TAGS

DOCS = Path(__file__).parents[2] / "docs"
_USER_ADD = "/etcdserverpb.Auth/UserAdd"
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def test_every_tagged_message_is_in_the_table_of_messages() -> None:
    text = (DOCS / "messages.md").read_text()
    missing = [message.__name__ for message in TAGS.values() if f"`{message.__name__}`" not in text]
    assert missing == []


def test_the_table_of_messages_names_no_message_that_does_not_exist() -> None:
    text = (DOCS / "messages.md").read_text()
    cells = [line.split("|")[2] for line in text.splitlines() if line.count("|") >= 4]
    named = {name for cell in cells for name in re.findall(r"`([A-Z]\w+)`", cell)}
    assert sorted(named - {message.__name__ for message in TAGS.values()}) == []


@pytest.mark.parametrize(
    "file",
    [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda file: str(file.relative_to(DOCS.parent)),
)
def test_links_lead_somewhere(file: Path) -> None:
    local = [link for link in LINK.findall(file.read_text()) if "://" not in link]
    assert [link for link in local if not (file.parent / link).exists()] == []


def test_tests_that_documents_name_exist() -> None:
    named = {
        (path, name)
        for file in DOCS.rglob("*.md")
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", file.read_text())
    }
    assert len(named) > 50
    missing = []
    for path, name in sorted(named):
        file = DOCS.parent / path
        if not file.exists() or f"def {name}(" not in file.read_text():
            missing.append(f"{path}::{name}")
    assert missing == []


def test_the_table_of_compatibility_names_every_rpc() -> None:
    text = (DOCS / "etcd-compatibility.md").read_text()
    table = text[text.index("## RPCs") : text.index("## Single answers")]
    words = set(re.findall(r"\w+", table))
    by_service = {"Lock", "Election", "Health"}
    missing = []
    for path in etcd_methods():
        service, name = path.removeprefix("/").rpartition(".")[2].split("/")
        is_auth = service == "Auth" and LOCAL_ANSWERS[path] is LOCAL_ANSWERS[_USER_ADD]
        if service not in by_service and name not in words and not is_auth:
            missing.append(path)
    assert missing == []
    assert {"Lock", "Election", "grpc", "health"} <= words

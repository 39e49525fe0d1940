"""The documents name what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zetcd.messages.codec import TAGS

DOCS = Path(__file__).parents[2] / "docs"
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

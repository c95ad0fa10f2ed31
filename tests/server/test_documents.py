"""The documents name only files that exist, and their links work."""

import re
from pathlib import Path

import pytest

from tests.support.live import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PATH = re.compile(
    r"(?<![\w/.])((?:config|events|integrations|rules|tests|templates|docs)/[\w./-]+)"
)
MAX_WORDS = 1300


def headings(document: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading(document):
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        there = document.parent / name if name else document
        assert there.exists(), link
        assert not anchor or anchor in headings(there), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(document):
    named = PATH.findall(document.read_text(encoding="utf-8"))
    missing = {name for name in named if not (ROOT / name.rstrip(".")).exists()}
    assert missing == set()


def test_the_readme_is_short_enough_to_be_read():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MAX_WORDS

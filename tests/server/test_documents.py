"""The documents name only files that exist, and their links work."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.live import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOP = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")]
DOCUMENTS = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_target_of_make_that_is_named_exists(document):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_the_security_policy_leaves_no_gap_to_fill_in():
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "<!--" not in policy
    assert re.findall(r"\[[^\]]+\](?!\()", policy) == []


def test_the_project_names_its_readme_and_no_address_that_it_does_not_have():
    assert PROJECT["project"]["readme"] == "README.md"
    assert "urls" not in PROJECT["project"]


def modules_with(pattern: str) -> set[str]:
    """The modules of the program, as "events/queue/wake.py", whose text matches the pattern."""
    return {
        str(path.relative_to(ROOT))
        for app in ("config", "events", "integrations", "rules")
        for path in (ROOT / app).rglob("*.py")
        if "migrations" not in path.parts
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }


def test_the_table_of_the_design_has_each_folder_of_events_in_the_order_of_the_imports():
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = design.partition("| folder of `events/` |")[2].partition("\n\n")[0]
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == ["events"])
    # The commands, and the tables that all folders share.
    folders = [folder for folder in layers if folder not in {"management", "models"}]
    assert re.findall(r"^\| `(\w+)/` \|", table, re.MULTILINE) == folders[::-1]


def test_every_module_with_sql_of_its_own_is_named_in_the_design():
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"^- \*\*SQL of our own\.\*\*.*?^(?=- )", design, re.MULTILINE | re.DOTALL)
    named = PATH.findall(told)
    written = modules_with(r"\.cursor\b|\.raw\(|\.execute\(|\bRawSQL\(")
    assert {each for each in written if not each.startswith(tuple(named))} == set()
    assert {each for each in named if not any(one.startswith(each) for one in written)} == set()


def test_only_admit_itself_is_asked_by_http_past_the_exchanges():
    senders = modules_with(r"\bHTTPS?Connection\b|\bimport requests\b|\burlopen\b")
    assert senders == {
        "integrations/calls/exchanges.py",
        "integrations/calls/deadline.py",
        "config/server/probe.py",  # asks our own web server
        "events/receiving/sample_sale.py",  # posts to our own webhook
    }

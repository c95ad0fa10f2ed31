"""Reports only read: a page that only asks changes nothing."""

import ast

import pytest

from tests.support.live import ROOT

REPORTS = sorted((ROOT / "events" / "reports").rglob("*.py"))
WRITES = {
    "save",
    "create",
    "delete",
    "bulk_create",
    "bulk_update",
    "get_or_create",
    "update_or_create",
    "atomic",
    "record",
    "record_all",
    "record_each",
    "wake",
}


def writes_in(source: str) -> list[str]:
    """The calls in this code that write, such as "save". A dict's `update` names no columns."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [
        (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", ""))
        for call in calls
    ]
    return [
        name
        for name, call in zip(named, calls, strict=True)
        if name in WRITES or (name == "update" and call.keywords)
    ]


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_a_report_writes_nothing(path):
    assert writes_in(path.read_text(encoding="utf-8")) == []


def test_what_writes_is_seen():
    assert writes_in("rows.update(state=1)\nwake()\nrow.save()") == ["update", "wake", "save"]
    assert writes_in("known.update(more)\nrows.count()") == []

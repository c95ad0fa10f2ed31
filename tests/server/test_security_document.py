"""docs/security.md names exactly the requirements of OWASP ASVS 5.0 of levels 1 and 2."""

import ast
import re

from tests.support.live import ROOT

# Section of the standard: how many requirements of these levels it has; they are its first ones.
SECTIONS = """
    1.1:2 1.2:9 1.3:11 1.4:3 1.5:2 2.1:3 2.2:3 2.3:4 2.4:1 3.2:2 3.3:4 3.4:6 3.5:5 3.7:2
    4.1:3 4.2:1 4.3:2 4.4:4 5.1:1 5.2:3 5.3:2 5.4:3 6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4
    7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2 8.1:2 8.2:3 8.3:1 8.4:1 9.1:3 9.2:4
    10.1:2 10.2:2 10.3:4 10.4:11 10.5:5 10.6:2 10.7:3 11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1
    12.1:3 12.2:2 12.3:4 13.1:1 13.2:5 13.3:2 13.4:5 14.1:2 14.2:4 14.3:3 15.1:3 15.2:3 15.3:7
    16.1:1 16.2:5 16.3:4 16.4:3 16.5:3 17.1:1 17.2:4 17.3:2
"""
Number = tuple[int, ...]
# "6.2.1", a whole section "6.6" or chapter "17", or all from one to another.
NAMED = re.compile(r"(?<![\d.])(\d+(?:\.\d+){0,2})(?:–(\d+\.\d+\.\d+))?(?=[ ,])")


def number(text: str) -> Number:
    return tuple(map(int, text.split(".")))


REQUIREMENTS = {
    (*number(section), each)
    for section, _, most in (word.partition(":") for word in SECTIONS.split())
    for each in range(1, int(most) + 1)
}


def named() -> list[tuple[Number, Number]]:
    """What the first cells name: the first and the last number, or part of one, of each."""
    lines = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
    # The numbers come first in a cell; what follows may count something else.
    heads = (re.match(r"\| ([\d., –]+ )", line) for line in lines)
    found = [pair for head in heads if head for pair in NAMED.findall(head[1])]
    return [(number(first), number(last or first)) for first, last in found]


def test_each_requirement_is_named_and_no_other():
    told = set()
    for first, last in named():
        is_meant = {
            each
            for each in REQUIREMENTS
            if first <= each[: len(first)] and each[: len(last)] <= last
        }
        assert is_meant, f"{first} is no requirement of level 1 or 2"
        assert len(first) < 3 or {first, last} <= REQUIREMENTS, f"{first} or {last} is of level 3"
        told |= is_meant
    assert sorted(REQUIREMENTS - told) == []


ASKS = {"ask", "ask_owner", "ask_before_file"}


def functions_that_ask() -> set[str]:
    """The functions of pages that ask for the password or code, as "people.new_link"."""
    pages = (ROOT / "config" / "admin" / "pages").rglob("*.py")
    texts = {path.stem: path.read_text(encoding="utf-8") for path in pages}
    return {
        f"{module}.{function.name}"
        for module, text in texts.items()
        if "from config.admin.parts.confirm import" in text
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ASKS
    }


def test_the_table_of_what_asks_again_is_that_of_the_code():
    document = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    _, head, after = document.partition("| area | what asks | page")
    table = (head + after).partition("\n\n")[0]
    named = re.findall(r"`(\w+\.\w+)`", table)
    assert sorted(named) == sorted(functions_that_ask())

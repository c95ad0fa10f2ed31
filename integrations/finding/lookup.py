"""Find integrations, courses and bundles by the names and numbers that a person types."""

import difflib
from collections.abc import Iterable

from integrations.models import Destination, Integration
from integrations.targets import Target


def integration(name: str) -> Integration:
    """Return the integration with this name, or the only one if `name` is "".

    Raises LookupError with a sentence.
    """
    known = {each.name: each for each in Integration.objects.order_by("name")}
    if not name and len(known) == 1:
        return next(iter(known.values()))
    if not name:
        raise LookupError(f"Say which one with --integration.{_there_are(known)}")
    if name not in known:
        raise LookupError(f"There is no integration {name}.{_nearest(name, known)}")
    return known[name]


def destination(integration: Integration, text: str) -> Destination:
    """Return the course or bundle with this name or Thinkific ID.

    "course:501" tells a course from a bundle with the same ID. Raises LookupError with a sentence.
    """
    rows = list(Destination.objects.filter(integration=integration).order_by("name", "pk"))
    found = [row for row in rows if is_named(text, row.name, row.target)]
    if len(found) == 1:
        return found[0]
    if found:
        several = " or ".join(row.target for row in found)
        raise LookupError(f"{integration} has several that are called {text}. Say {several}.")
    nearest = _nearest(text, [row.name for row in rows]) or " See Courses in the admin."
    raise LookupError(f"{integration} has no course or bundle {text}.{nearest}")


def is_named(text: str, name: str, target: str) -> bool:
    """Return whether the text is this course's or bundle's name, target ("course:501") or ID."""
    word = text.strip().casefold()
    return word in {name.strip().casefold(), target, str(Target.parse(target).number)}


def _nearest(word: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(names), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _there_are(names: Iterable[str]) -> str:
    known = ", ".join(names)
    return f" There are: {known}." if known else " None is connected yet."

"""The sentence that history stores of a rule, as the list of rules says it."""

from django.utils.text import capfirst
from django.utils.translation import override

from integrations.sentences import Said, facts, joined, parts
from rules.actions import ACTIONS


def in_short(sentence: str) -> str:
    """Return a `Rule.sentence` in the form of the list of rules, with the rule's product.

    "Product Purchased, Watercolor → enroll in Course Two · Art Academy". Any other text is returned
    as it is, such as one that an older version of Admit stored.
    """
    does = _does(sentence)
    return f"{when_in_short(sentence)} → {does}" if does else sentence


def in_two_lines(sentence: str) -> tuple[str, str]:
    """Split a `Rule.sentence` into what the rule does, in the same form, and when.

    Of any other text, return all of it and "".
    """
    does = _does(sentence)
    return (capfirst(does), when_in_short(sentence)) if does else (sentence, "")


def _does(sentence: str) -> str:
    """Return "enroll in Course Two · Art Academy", "" for any other text."""
    first, *how = parts(sentence) if isinstance(sentence, Said) else [Said(sentence)]
    known = facts(first)
    if not known.keys() >= {"trigger", "product", "action", "place"}:
        return ""
    spec = next((each for each in ACTIONS.values() if str(each.label) == known["action"]), None)
    if spec is None:
        return ""
    place = facts(known["place"])  # {} for an action without a course: its place is the site
    what = str(spec.in_short).format(name=place.get("name", known["place"]))
    return joined([what, place.get("site"), *how], " · ")


def when_in_short(sentence: str) -> str:
    """Return when a rule runs, of its `Rule.sentence`: "Product Purchased, Watercolor".

    Any other text is returned as it is.
    """
    known = facts(parts(sentence)[0]) if isinstance(sentence, Said) else {}
    if not known.keys() >= {"trigger", "product"}:
        return sentence
    return joined([known["trigger"], known["product"]], ", ")


def labels_said(part: str) -> list[str]:
    """Return the English labels of the actions whose short form contains this text.

    People read and search for the short form, such as "enroll", while history stores the label with
    a rule's sentence, such as "Create Course Enrollment".
    """
    like = part.casefold()
    found = [
        each for each in ACTIONS.values() if like in str(each.in_short).format(name="").casefold()
    ]
    with override(None):
        return [str(each.label) for each in found]

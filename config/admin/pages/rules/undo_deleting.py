"""Undoing what one step deleted: offered for a minute on the page where it was done."""

from datetime import timedelta
from itertools import groupby

from django.http import HttpRequest
from django.utils import timezone

from config.admin.parts.badges import legible
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import Said, say, say_count
from rules import undoing
from rules.models import Rule

# For how long after a deletion a page offers to undo it. Changes offers it later too.
OFFERED = timedelta(minutes=1)
STEPS = 5


def step(request: HttpRequest, product: Product | None = None) -> tuple[AuditEntry, Said] | None:
    """Return the person's latest deletion that can be undone: one of its entries, and words.

    With a `product`, only deletions that were about it.
    """
    if not request.user.has_perms(["rules.change_rule", "rules.add_rule"]):
        return None
    lately = AuditEntry.objects.filter(
        act=Act.RULE_DELETED,
        who=request.user.get_username(),
        at__gte=timezone.now() - OFFERED,
    ).order_by("-pk")
    entries = list(lately)
    there = Rule.objects.filter(pk__in=[int(entry.number) for entry in entries]) if entries else ()
    known = {str(rule.pk) for rule in there}
    left = [entry for entry in entries if entry.number not in known]
    found = [list(step) for _, step in groupby(left, _mark)]
    if product is not None:
        found = [step for step in found if any(_is_about(each, product) for each in step)]
    undoable = (step for step in found[:STEPS] if not undoing.why_not(step[0]))
    return next(((step[0], _in_words(step)) for step in undoable), None)


def _mark(entry: AuditEntry) -> tuple[object, str]:
    """Return what the entries of one step have in common."""
    return entry.step or entry.at, entry.place


def gone_with(entry: AuditEntry) -> tuple[Said, Said] | None:
    """Return how many of the rules deleted with this one are still gone, and the button for them.

    None if none is.
    """
    if entry.act != Act.RULE_DELETED:
        return None
    gone = undoing.still_gone(entry)
    others = len([each for each in gone if each != entry])
    if not others:
        return None
    text = say_count(
        others,
        "1 rule deleted with it is still gone.",
        "{number} rules deleted with it are still gone.",
    )
    if others < len(gone):
        return text, say("Restore all {number}", number=len(gone))
    return text, say_count(others, "Restore it too", "Restore them too")


def _is_about(entry: AuditEntry, product: Product) -> bool:
    kept = (entry.before or {}).get("product")
    return isinstance(kept, dict) and kept.get("number") == product.pk


def _in_words(step: list[AuditEntry]) -> Said:
    return say_count(
        len(step),
        "Deleted a moment ago: {rule}",
        "Deleted a moment ago: {number} rules, among them {rule}",
        rule=legible(step[-1].name, 300),
    )

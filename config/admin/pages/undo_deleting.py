"""Undoing at once what one step has deleted: offered for a minute where it was done."""

from datetime import timedelta
from itertools import groupby

from django.http import HttpRequest
from django.utils import timezone

from config.admin.parts.badges import legible
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import Said, say_count
from rules import undoing
from rules.models import Rule

# So long after a deletion a page offers to undo it; Changes does so later too.
OFFERED = timedelta(minutes=1)
STEPS = 5
# What the button posts besides: all of the step comes back, not only one rule.
STEP = "step"


def steps(request: HttpRequest) -> list[tuple[AuditEntry, Said]]:
    """What this person deleted a moment ago and can have back: an entry of each step, in words."""
    if not request.user.has_perms(["rules.change_rule", "rules.add_rule"]):
        return []
    lately = AuditEntry.objects.filter(
        act=Act.RULE_DELETED,
        who=request.user.get_username(),
        at__gte=timezone.now() - OFFERED,
    ).order_by("-pk")
    entries = list(lately)
    there = Rule.objects.filter(pk__in=[int(entry.number) for entry in entries]) if entries else ()
    known = {str(rule.pk) for rule in there}
    left = [entry for entry in entries if entry.number not in known]
    found = [list(step) for _, step in groupby(left, lambda entry: (entry.at, entry.place))]
    undoable = [step for step in found[:STEPS] if not undoing.why_not(step[0])]
    return [(step[0], _in_words(step)) for step in undoable]


def _in_words(step: list[AuditEntry]) -> Said:
    return say_count(
        len(step),
        "Deleted a moment ago: {rule}",
        "Deleted a moment ago: {number} rules, among them {rule}",
        rule=legible(step[-1].name, 300),
    )

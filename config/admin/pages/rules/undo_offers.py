"""Links to undo what one step added or deleted. After a deletion, pages show one for a minute."""

from datetime import timedelta
from itertools import groupby
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from config.admin.parts.badges import legible
from config.admin.parts.buttons import BACK
from config.admin.parts.params import row_in
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import Said, say, say_count
from rules import product_undoing, undoing
from rules.models import Rule

# How long after a deletion a page offers to undo it. Changes offers it later, too.
OFFERED = timedelta(minutes=1)
STEPS = 5
EDITS, ADDS, DELETES = "rules.change_rule", "rules.add_rule", "rules.delete_rule"
# The permission needed beside EDITS to undo an act.
NEEDED = {Act.RULE_DELETED: ADDS, Act.RULE_ADDED: DELETES, Act.PRODUCT_DELETED: ADDS}
ADDS_PRODUCTS = "integrations.add_product"
OF_RULES = {Act.RULE_DELETED, Act.RULE_ADDED}
# The parameter of an address that has the number of an entry of the step to undo.
UNDOES = "undoes"


def step(request: HttpRequest, product: Product | None = None) -> tuple[AuditEntry, Said] | None:
    """Return (an entry, what was deleted) for the rules that this person deleted a moment ago.

    This is the newest step that can be undone; with `product`, the newest one that deleted a rule
    of it. None if there is none, or if the person may not restore rules.
    """
    if not request.user.has_perms([EDITS, ADDS]):
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


def may(request: HttpRequest, entry: AuditEntry) -> bool:
    """Return whether this person may undo the entry: added or deleted rules, a deleted product."""
    if entry.act not in NEEDED:
        return False
    wanted = [EDITS, NEEDED[Act(entry.act)]]
    product = product_undoing.number_in(entry) if entry.act != Act.RULE_ADDED else None
    if product is not None and product_undoing.is_missing(product):
        wanted.append(ADDS_PRODUCTS)
    return request.user.has_perms(wanted)


def asked(request: HttpRequest, *acts: Act) -> AuditEntry | None:
    """Return the entry that the address names, or None if it is not of one of these acts."""
    return row_in(AuditEntry.objects.filter(act__in=acts), request.GET.get(UNDOES))


def taken_back(entry: AuditEntry) -> dict[int, int]:
    """Return {rule ID: entry ID} for the changes of this entry's step that still stand."""
    return {int(each.number): each.pk for each in undoing.left(undoing.of_step(entry))}


def address(entry: AuditEntry, back: str = "") -> str:
    """Return the address of the page that undoes the whole step of this entry."""
    return _undoing(reverse("admin:undo-step"), entry, back)


def address_of_one(entry: AuditEntry, back: str) -> str:
    """Return the address of the page that asks before this entry's added rule is deleted."""
    return _undoing(reverse("admin:rules_rule_delete", args=[entry.number]), entry, back)


def _undoing(page: str, entry: AuditEntry, back: str) -> str:
    return f"{page}?{urlencode({UNDOES: entry.pk} | ({BACK: back} if back else {}))}"


def label(act: str, left: int, *, whole: bool) -> Said:
    """Return the label of the link that undoes what is left of a step: `left` rules.

    `whole` says whether these are all rules of the step.
    """
    if whole:
        return say("Undo all {number}", number=left)
    if act == Act.RULE_ADDED:
        return say_count(left, "Delete the other one", "Delete the other {number}")
    return say_count(left, "Restore the other one", "Restore the other {number}")


def with_it(entry: AuditEntry) -> tuple[Said, Said] | None:
    """Return (sentence, label of a link) about other rules of its step that can be undone, too.

    None if there are none.
    """
    if entry.act not in OF_RULES:
        return None
    step = undoing.of_step(entry)
    left = undoing.left(step)
    others = len([each for each in left if each != entry])
    if not others:
        return None
    if entry.act == Act.RULE_ADDED:
        text = say_count(
            others,
            "1 rule added with it is still there.",
            "{number} rules added with it are still there.",
        )
    else:
        text = say_count(
            others,
            "1 rule deleted with it is still gone.",
            "{number} rules deleted with it are still gone.",
        )
    return text, label(entry.act, len(left), whole=entry in left)


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

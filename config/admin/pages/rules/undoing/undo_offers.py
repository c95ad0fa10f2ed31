"""Links to undo what one step did to rules. After a deletion, pages show one for a minute."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from config.admin.parts.badges import brief, rule_text
from config.admin.parts.buttons import BACK, address_name
from config.admin.parts.params import row_in
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import Said, joined, say, say_count
from rules.history import product_undoing, steps, undoing
from rules.models import Rule

# How long after a deletion a page offers to undo it. Changes offers it later, too.
OFFER_LASTS = timedelta(minutes=1)
MAX_STEPS = 5
EDITS, ADDS, DELETES = "rules.change_rule", "rules.add_rule", "rules.delete_rule"
# The permission needed beside EDITS to undo an act.
NEEDED = {
    Act.RULE_ADDED: DELETES,
    Act.RULE_CHANGED: EDITS,
    Act.RULE_DELETED: ADDS,
    Act.PRODUCT_CHANGED: "integrations.change_product",
    Act.PRODUCT_DELETED: ADDS,
}
ADDS_PRODUCTS = "integrations.add_product"
# The acts that bring products back if these are gone.
RESTORES = {Act.RULE_CHANGED, Act.RULE_DELETED, Act.PRODUCT_DELETED}
# The parameter of an address that has the number of an entry of the step to undo.
UNDOES = "undoes"


@dataclass(frozen=True, slots=True)
class Offer:
    """What this person deleted a moment ago: an entry of it, a sentence, and where to post.

    What is posted to `page` undoes it.
    """

    entry: AuditEntry
    text: Said
    page: str

    @property
    def takes_back(self) -> bool:
        """Whether the deletion was an undo itself, so that this would bring back what it undid."""
        return self.entry.undoes is not None


def latest_deletion(request: HttpRequest, product: Product | None = None) -> Offer | None:
    """Return the offer to undo a deletion of rules.

    This is the newest step that can be undone; with `product`, the newest one that deleted a rule
    of it. None if there is none, or if the person may not restore rules.
    """
    if not request.user.has_perms([EDITS, ADDS]):
        return None
    entries = list(_lately(request, Act.RULE_DELETED))
    there = Rule.objects.filter(pk__in=[int(entry.number) for entry in entries]) if entries else ()
    known = {str(rule.pk) for rule in there}
    left = [entry for entry in entries if entry.number not in known]
    found = [list(step) for _, step in groupby(left, _mark)]
    if product is not None:
        found = [step for step in found if any(_is_about(each, product) for each in step)]
    undoable = (step for step in found[:MAX_STEPS] if not undoing.why_not(step[0]))
    return next(
        (Offer(step[0], _in_words(step), address(step[0])) for step in undoable),
        None,
    )


def latest_deleted_product(request: HttpRequest) -> Offer | None:
    """Return the offer to restore the product, with its rules, that was deleted last."""
    entry = _lately(request, Act.PRODUCT_DELETED).first()
    if entry is None or undoing.why_not(entry) or not may_undo(request, entry):
        return None
    page = reverse(f"admin:{address_name(AuditEntry, 'undo')}", args=[entry.pk])
    rules = len(steps.every([entry])[entry.pk].left)
    if not rules:
        text = say("Deleted a moment ago: {product}", product=brief(entry.name))
        return Offer(entry, text, page)
    text = say_count(
        rules,
        "Deleted a moment ago: {product}, with 1 rule",
        "Deleted a moment ago: {product}, with {number} rules",
        product=brief(entry.name),
    )
    return Offer(entry, text, page)


def _lately(request: HttpRequest, act: Act) -> QuerySet[AuditEntry]:
    mine = AuditEntry.objects.filter(act=act, who=request.user.get_username())
    return mine.filter(at__gte=timezone.now() - OFFER_LASTS).order_by("-pk")


def _mark(entry: AuditEntry) -> tuple[object, str]:
    """Return what the entries of one step have in common."""
    return entry.step or entry.at, entry.place


def may_undo(request: HttpRequest, entry: AuditEntry, *, whole_step: bool = False) -> bool:
    """Return whether this person may undo the entry, which is about a rule or product.

    Undoing may restore products, which needs a permission of its own: with `whole_step`, the
    products of all entries of the step.
    """
    if not _may_undo_act(request, entry):
        return False
    if entry.act not in RESTORES or request.user.has_perm(ADDS_PRODUCTS):
        return True
    entries = steps.of_step(entry) if whole_step else [entry]
    return not product_undoing.missing(_products(entries))


def which_may_be_undone(
    request: HttpRequest, steps_of: Mapping[AuditEntry, Iterable[AuditEntry]]
) -> set[int]:
    """Return the pk of those of these entries that this person may undo, with all of their step.

    Takes the same queries for any number.
    """
    mine = {entry: of for entry, of in steps_of.items() if _may_undo_act(request, entry)}
    if request.user.has_perm(ADDS_PRODUCTS):
        return {entry.pk for entry in mine}
    products = {
        entry.pk: _products([entry, *of]) if entry.act in RESTORES else set()
        for entry, of in mine.items()
    }
    missing = product_undoing.missing(set().union(*products.values()))
    return {pk for pk, its in products.items() if not its & missing.keys()}


def _may_undo_act(request: HttpRequest, entry: AuditEntry) -> bool:
    return entry.act in NEEDED and request.user.has_perms([EDITS, NEEDED[Act(entry.act)]])


def _products(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the numbers of the products that undoing these entries restores if they are gone."""
    return {number for each in entries if (number := product_undoing.number_in(each)) is not None}


def requested_entry(request: HttpRequest, *acts: Act) -> AuditEntry | None:
    """Return the entry that the address names, or None if it is not of one of these acts."""
    return row_in(AuditEntry.objects.filter(act__in=acts), request.GET.get(UNDOES))


def undoable_entries(entry: AuditEntry) -> dict[int, int]:
    """Return {rule ID: entry ID} for the changes of this entry's step that still stand."""
    return {int(each.number): each.pk for each in steps.still_standing(steps.of_step(entry))}


def address(entry: AuditEntry, back: str = "") -> str:
    """Return the address of the page that undoes the whole step of this entry."""
    return _undoing(reverse("admin:undo-step"), entry, back)


def address_of_one(entry: AuditEntry, back: str) -> str:
    """Return the address of the page that asks before this entry's added rule is deleted."""
    return _undoing(reverse("admin:rules_rule_delete", args=[entry.number]), entry, back)


def latest_address(request: HttpRequest, act: Act, rules: Iterable[Rule], back: str = "") -> str:
    """Return the address that undoes what this person did to these rules a moment ago, "" if none.

    It undoes the whole step, as Changes does.
    """
    numbers = [str(rule.pk) for rule in rules]
    entry = _lately(request, act).filter(number__in=numbers).first()
    if entry is None or not may_undo(request, entry, whole_step=True) or undoing.why_not(entry):
        return ""
    return address(entry, back)


def with_undo(
    request: HttpRequest, text: str, act: Act, rules: Iterable[Rule], back: str = ""
) -> str:
    """Return the text of a message, followed by a link to undo what it tells."""
    page = latest_address(request, act, rules, back)
    return format_html('{} <a href="{}">{}</a>', text, page, say("Undo")) if page else text


def _undoing(page: str, entry: AuditEntry, back: str) -> str:
    return f"{page}?{urlencode({UNDOES: entry.pk} | ({BACK: back} if back else {}))}"


def label(left: int, *, whole: bool) -> Said:
    """Return the label of the link that undoes what is left of a step: `left` rules.

    `whole` says whether these are all rules of the step.
    """
    if whole:
        return say("Undo all {number}", number=left)
    return say_count(left, "Undo the other one", "Undo the other {number}")


def stay(act: str, found: steps.Step) -> Said | str:
    """Return what became of the rules of a step that its undo leaves alone; "" if there are none.

    For example "10 were changed since and stay, 2 were deleted since."
    """
    if act == Act.RULE_DELETED:
        there = say_count(found.there, "1 is there again", "{number} are there again")
        gone = say_count(found.gone, "1 was deleted again", "{number} were deleted again")
    else:
        there = say_count(
            found.there, "1 was changed since and stays", "{number} were changed since and stay"
        )
        gone = say_count(found.gone, "1 was deleted since", "{number} were deleted since")
    parts = [text for text, number in ((there, found.there), (gone, found.gone)) if number]
    return say("{clauses}.", clauses=joined(parts, by=", ")) if parts else ""


def same_step_offer(entry: AuditEntry) -> tuple[Said, Said] | None:
    """Return (sentence, label of a link) about other rules of its step that can be undone, too.

    None if there are none.
    """
    if entry.act not in steps.OF_RULES:
        return None
    left = steps.still_standing(steps.of_step(entry))
    others = len([each for each in left if each != entry])
    if not others:
        return None
    return _with_it(entry.act, others), label(len(left), whole=entry in left)


def _with_it(act: str, others: int) -> Said:
    match act:
        case Act.RULE_ADDED:
            return say_count(
                others,
                "1 rule added with it is still there.",
                "{number} rules added with it are still there.",
            )
        case Act.RULE_CHANGED:
            return say_count(
                others,
                "1 rule was changed with it and can be undone, too.",
                "{number} rules were changed with it and can be undone, too.",
            )
        case _:
            return say_count(
                others,
                "1 rule deleted with it is still gone.",
                "{number} rules deleted with it are still gone.",
            )


def _is_about(entry: AuditEntry, product: Product) -> bool:
    kept = (entry.before or {}).get("product")
    return isinstance(kept, dict) and kept.get("number") == product.pk


def _in_words(step: list[AuditEntry]) -> Said:
    return say_count(
        len(step),
        "Deleted a moment ago: {rule}",
        "Deleted a moment ago: {number} rules, among them {rule}",
        rule=rule_text(step[-1].name),
    )

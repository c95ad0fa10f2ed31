"""What to do after a rule was edited: other rules with its old course, and buyers who have it."""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass

from django.contrib import messages
from django.db.models import Max
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules import earlier_offer, former_days_notices, leftover_groups
from config.admin.pages.rules.given import change_links, given_by_rule, given_words
from config.admin.parts.buttons import page_of, see_them, way_back
from events.reports.changed_rules.left_behind import left_behind
from integrations.audit import Act
from integrations.models import AuditEntry, Destination
from integrations.sentences import joined, say
from rules import changing, leftovers, stopping
from rules.history import leftover_causes
from rules.models import Rule

# For how many rules, the ones edited last, a page looks up who has what they gave before.
MAX_EDITED = 5


def beside(rule: Rule) -> SafeString | None:
    """Return, for the rule's own page, that rules beside it name what no rule gives anymore.

    These are rules of its product, or global ones if it is global. None if there are none: the
    sentence is shown as long as it is true.
    """
    product = rule.product
    known = (
        Rule.objects.concerning(product)
        if product
        else leftovers.concerning_all(rule.marketplace_id)
    )
    found = [each.rule for each in leftovers.of_product(product, known)]
    if not found:
        return None
    if rule not in found:
        text = given_words.still_named(found, product)
    elif leftover_causes.changed_itself(rule, leftover_causes.of_rules([rule]).get(rule.pk)):
        text = leftover_groups.in_words([rule], changed=True)
    elif product:
        text = say("No rule of this product gives {course} anymore.", course=rule.destination)
    else:
        text = say("No rule gives {course} anymore.", course=rule.destination)
    label = say("See the product") if product else say("See the global rules")
    return _with_link(text, rule, label)


@dataclass(frozen=True, slots=True)
class LeftByEdit:
    """A rule that leads elsewhere since an edit, and who has what it gave before.

    The edit is `by_other` if another person than the reader made it, who sees it before moving.
    """

    rule: Rule
    text: SafeString
    by_other: bool


def left_behind_context(
    request: HttpRequest, rules: Iterable[Rule], *, back: str = ""
) -> dict[str, object]:
    """Return what the templates show of buyers whom edits of these rules left behind."""
    found = _left_by_edits(request, rules, back=back)
    return {"left_by_edits": found, "left_by_others": any(each.by_other for each in found)}


def _left_by_edits(request: HttpRequest, rules: Iterable[Rule], *, back: str) -> list[LeftByEdit]:
    """Return the rules whose edit left buyers behind, the last edit first; none if it is not so.

    For a person who may not move buyers there are none.
    """
    if not allowed(request, given_by_rule.PERMISSION):
        return []
    numbers = {str(rule.pk): rule for rule in rules}
    entries = AuditEntry.objects.filter(
        act=Act.RULE_CHANGED,
        kind=Rule._meta.model_name,
        number__in=numbers,
        before__has_any_keys=changing.DEFINING_FIELDS,
    )
    last = entries.order_by().values("number").annotate(last=Max("pk")).order_by("-last")
    newest = AuditEntry.objects.filter(
        pk__in=list(last.values_list("last", flat=True)[:MAX_EDITED])
    )
    told = []
    for each in newest.order_by("-pk"):
        others = each.who != request.user.get_username() and not each.undoes
        links = change_links.of_entries(request, [each] if others else [])
        text = given_by_rule.sentence(int(each.number), back=back, changes=links)
        if text:
            told.append(LeftByEdit(numbers[each.number], text, by_other=bool(links)))
    return told


def to_tell(request: HttpRequest, rule: Rule, form: "ModelForm[Rule]") -> list[tuple[int, str]]:
    """Return (level, message) for what is left to do after this edit, the buyers who have it first.

    Of the buyers it says nothing to a person who goes back to the product's page, which does.
    """
    changed = set(form.changed_data)
    told: list[tuple[int, str]] = []
    if "delay_days" in changed and (waiting := former_days_notices.sentence(request, [rule])):
        told.append((messages.WARNING, waiting))
    if rule.product is not None and way_back(request) == page_of(rule.product):
        return told
    if changed & {*changing.DEFINING_FIELDS}:
        before = form.initial.get("destination") if "destination" in changed else None
        if stops := _stops(rule, before):
            told.append((messages.WARNING, stops))
            before = None  # the other rules name what is given, and this one does not
        if text := sentence(rule, before, back=way_back(request)):
            told.append((messages.WARNING, text))
    if changed & {*changing.EFFECTIVE_FIELDS}:
        page = way_back(request) or reverse("admin:rules_rule_changelist")
        if earlier := earlier_offer.sentence(request, [rule], page):
            told.append((messages.WARNING, earlier))
    return told


def _stops(rule: Rule, before: int | None) -> str:
    """Return what nothing does anymore since this edit, like turning the rule off; or ""."""
    if before is None:
        return ""
    course = Destination.objects.select_related("integration").filter(pk=before).first()
    if course is None:
        return ""
    former = copy(rule)
    former.destination, former.integration = course, course.integration
    return stopping.no_longer_done([former])


def sentence(rule: Rule, before: int | None, *, back: str = "") -> SafeString | None:
    """Return all that is left to do after this edit, in one message; None if nothing is.

    `before` is the pk of the course or bundle that the rule led to, None if it still does. A
    product's page says it for as long as it is true, so the message leads there. The page of the
    buyers, if it is `back`, needs no link to itself.
    """
    left, behind = _left(rule, before), left_behind(rule.pk)
    is_here = given_by_rule.is_here(back)
    buyers = None if is_here else given_by_rule.with_link(behind, given_by_rule.address(rule.pk))
    if not left:
        return buyers
    text = given_words.still_named(left, rule.product)
    if not buyers:
        return _with_link(text, rule, see_them(len(left)))
    if rule.product is None:
        return format_html("{} {}", _with_link(text, rule, see_them(len(left))), buyers)
    text = joined([text, given_words.in_words(behind)])
    link = format_html(
        '<a class="button primary small" href="{}">{}</a>',
        page_of(rule.product),
        say("See the product"),
    )
    return format_html("{} {}", text, link)


def _left(rule: Rule, before: int | None) -> list[Rule]:
    """Return the other rules that lead where this one led."""
    if before is None:
        return []
    same = Rule.objects.filter(marketplace=rule.marketplace_id, product=rule.product_id)
    left = same.filter(destination=before).exclude(pk=rule.pk)
    return list(left.select_related("destination"))


def _with_link(text: str, rule: Rule, label: str) -> SafeString:
    """Return the text with a link to the other rules beside this one."""
    page = reverse("admin:rules_rule_changelist") + "?scope__exact=global"
    if rule.product is not None:
        page = page_of(rule.product)
    return format_html('{} <a href="{}">{}</a>', text, page, label)

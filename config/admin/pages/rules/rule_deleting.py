"""Deleting rules, or turning them off: rules that belong to them are deleted too, or named."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules import left_over
from config.admin.pages.rules.given import given_by_rule
from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts.badges import brief, rule_text
from config.admin.parts.buttons import BACK, page_of, see_them, way_back
from config.admin.parts.params import row_ids
from events.reports.access import active_access
from integrations.audit import Act
from integrations.models import Customer, Product
from integrations.sentences import Said, say, say_count
from rules import changing, leftovers
from rules.history.rule_changes import number_before
from rules.listing import listed
from rules.models import Rule

# How many buyers or courses a sentence names.
NAMES_SHOWN = 3
# How many rules the page that asks lists.
MAX_LISTED = 200
# Posted by the button that also deletes those, and the field with those that the page showed.
TOO, COMPANION = "too", "companion"


def context(chosen: Collection[int]) -> dict[str, Any]:
    """Return what the page that asks says about the rules that belong to these."""
    found = list(leftovers.left_over_without(set(chosen)))
    number = len(chosen) + len(found)
    rules = Rule.objects.filter(pk__in=chosen).select_related("destination")
    return {
        "anybody_has": active_access.exists_for_rules(rules),
        "companions": found,
        "they_belong": _they_belong(len(found), several=len(chosen) > 1),
        "ends": any(rule.spec.ends_access for rule in found),
        "what_they_do": _what_they_do(found),
        "all_of_them": say_count(number, "Delete 1 rule", "Delete all {number} rules"),
    }


def address(request: HttpRequest, rule: int) -> str:
    """Return the address of the page that asks before this rule is deleted, and leads back here."""
    page = reverse("admin:rules_rule_delete", args=[rule])
    return f"{page}?{urlencode({BACK: request.get_full_path()})}"


def back_from(request: HttpRequest, rule: int) -> HttpResponseRedirect | None:
    """Redirect to the page that led to the question, unless that was the deleted rule's own."""
    back = _back(request, [rule])
    return HttpResponseRedirect(back) if back else None


def _back(request: HttpRequest, deleted: Iterable[int]) -> str:
    """Return the page that led to the question, "" for none or for a deleted rule's own."""
    back = way_back(request)
    gone = {page_of(Rule(pk=each)) for each in deleted}
    return "" if back.split("?")[0] in gone else back


def is_told(request: HttpRequest, page: str) -> bool:
    """Return whether this page itself says what was deleted just now, with the way to undo it."""
    found = undo_offers.latest_deletion(request)
    if found is None:
        return False
    product = number_before(found.entry, "product")
    lists = ("admin:rules_rule_changelist", "admin:coverage", "admin:left-over")
    own = page_of(Product(pk=product)) if product else ""
    return page.split("?")[0] in {own, *map(reverse, lists)}


def _tells_all(page: str, products: Collection[int]) -> bool:
    """Return whether this page says what rules of these products left: it is that of one."""
    return page.split("?")[0] in {page_of(Product(pk=each)) for each in products}


def delete(request: HttpRequest, chosen: Collection[int]) -> None:
    """Delete these rules, and those that belong to them if the button said so, in one step.

    If the address says that this undoes an entry that added them, the audit says so, too.
    """
    too, added = _too(request, chosen), undo_offers.requested_entry(request, Act.RULE_ADDED)
    rules = list(Rule.objects.filter(pk__in=chosen).with_names())
    products = {rule.product_id for rule in rules if rule.product_id}
    changing.delete(
        Rule.objects.filter(pk__in=[*chosen, *too]),
        undoes=undo_offers.undoable_entries(added) if added else None,
    )
    if too:
        messages.success(request, _went_too(len(too), rules))
    back = _back(request, [*chosen, *too])
    if not _tells_all(back, products):
        left = left_over.of_rules(request, rules)
        given = given_by_rule.sentence(*chosen, back=back) if len(chosen) == 1 else None
        given = given or given_by_rule.of_deleted_rules(request, products, back=back)
        for told in filter(None, (left, given)):
            messages.warning(request, told)
    if added and (others := undo_offers.same_step_offer(added)):
        link = undo_offers.address(added, back=way_back(request))
        messages.warning(request, format_html('{} <a href="{}">{}</a>', others[0], link, others[1]))


def ask(request: HttpRequest, page: Any, chosen: QuerySet[Rule]) -> Any:
    """Add what belongs to these rules, and who has access by them, to Django's page that asks.

    Also add the address of the page that led there.
    """
    if isinstance(page, TemplateResponse):
        rules: list[Any] = list(chosen)
        told = context([rule.pk for rule in rules]) | {"left_behind": _buyers(request, rules)}
        told["title"] = say_count(len(rules), "Delete 1 rule", "Delete all {number} rules")
        # The page does not list all of very many rules: those that buyers have access by go first.
        told["queryset"] = sorted(rules, key=lambda rule: not hasattr(rule, "buyers"))
        for rule in told["queryset"][:MAX_LISTED]:
            rule.called = rule_text(rule.sentence())
        page.context_data = (page.context_data or {}) | told | {"back": way_back(request)}
    return page


def _buyers(request: HttpRequest, rules: Sequence[Any]) -> Said | str:
    """Return how many buyers have access by these rules; set `buyers` of each to a sentence.

    The sentence names some of the rule's buyers. "" if there are none, or if the person may not
    end it for them.
    """
    if not allowed(request, given_by_rule.PERMISSION):
        return ""
    has: dict[int, list[int]] = defaultdict(list)
    for rule, customer in active_access.holders_by_rule([rule.pk for rule in rules]):
        has[rule].append(customer)
    named = Customer.objects.in_bulk({pk for each in has.values() for pk in each[:NAMES_SHOWN]})
    emails = {pk: brief(customer.readable_email) for pk, customer in named.items()}
    for rule in rules:
        if mine := has.get(rule.pk):
            names = [emails.get(pk, "") for pk in mine]
            who = {"who": listed(names, NAMES_SHOWN)}
            rule.buyers = say_count(
                len(mine),
                "1 buyer has access through it: {who}.",
                "{number} buyers have access through it: {who}.",
                **who,
            )
    if not has:
        return ""
    more = sum(map(len, has.values())) > active_access.MAX_HOLDERS
    return say_count(
        len({pk for each in has.values() for pk in each}),
        "1 buyer has access through these rules, and keeps it until you end it.",
        "{number}{more} buyers have access through these rules, and keep it until you end it.",
        more="+" if more else "",
    )


def stay_on(chosen: Collection[int]) -> SafeString | None:
    """Return that rules still give what the ones turned off gave; None if none does.

    That a refund still ends it is right, so it is not mentioned.
    """
    found = [rule for rule in leftovers.left_over_without(set(chosen)) if rule.spec.gives_access]
    if not found:
        return None
    text = say_count(
        len(found),
        "1 rule that gives it back is still on. {does}",
        "{number} rules that give it back are still on. {does}",
        does=_what_they_do(found),
    )
    products = {rule.product for rule in found}
    product = products.pop() if len(products) == 1 else None
    page = page_of(product) if product else reverse("admin:rules_rule_changelist")
    return format_html('{} <a href="{}">{}</a>', text, page, see_them(len(found)))


def _they_belong(number: int, *, several: bool) -> Said:
    if several:
        return say_count(
            number,
            "This rule belongs to them, and would keep running:",
            "These {number} rules belong to them, and would keep running:",
        )
    return say_count(
        number,
        "This rule belongs to it, and would keep running:",
        "These {number} rules belong to it, and would keep running:",
    )


def _went_too(number: int, deleted: Sequence[Rule]) -> Said:
    if len(deleted) != 1:
        return say_count(
            number,
            "1 rule that belonged to them is deleted as well.",
            "{number} rules that belonged to them are deleted as well.",
        )
    return say_count(
        number,
        "1 rule that belonged to “{rule}” is deleted as well.",
        "{number} rules that belonged to “{rule}” are deleted as well.",
        rule=rule_text(deleted[0].sentence()),
    )


def _too(request: HttpRequest, chosen: Collection[int]) -> list[int]:
    """Return the rules that the page showed, if they should go too and still belong to these."""
    if TOO not in request.POST:
        return []
    shown = set(row_ids(request.POST.getlist(COMPANION)))
    return [rule.pk for rule in leftovers.left_over_without(set(chosen)) if rule.pk in shown]


def _what_they_do(found: Collection[Rule]) -> Said | str:
    """Return what those rules do that give a course, which people expect least."""
    giving = [rule for rule in found if rule.spec.gives_access]
    if not giving:
        return ""
    names = dict.fromkeys(brief(rule.destination) for rule in giving)
    return say(
        "Later buyers whose payment recovers, or who are restarted, would still get {courses}.",
        courses=listed([*names], NAMES_SHOWN),
    )

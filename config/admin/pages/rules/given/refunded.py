"""The page of buyers who were refunded and still have the course: end it, or let them keep it.

It also lists those whom a person let keep it after a cancellation.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from config.admin.menu import allowed
from config.admin.pages import bulk_actions
from config.admin.pages.rules.given import change_links, keeping, turned_off
from config.admin.pages.rules.given.change_links import Link
from config.admin.pages.rules.given.given_by_rule import PERMISSION
from config.admin.parts.badges import brief, rule_text
from config.admin.parts.buttons import BACK, page_of, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids
from events.access import holdings, sentences
from events.execution import moving
from events.execution.rerun import Rerun
from events.models import Grant, RuleRun
from events.reports.changed_rules import refunded
from events.reports.changed_rules.refunded import Refunded
from events.reports.owed.promise import LATELY
from events.reports.sentences import ending_rules
from events.reports.sentences.ending_rules import Ending
from integrations.audit import Act
from integrations.models import Customer, Destination, Product
from integrations.sentences import Said, Text, joined, say, say_count
from rules.listing import listed, of_several
from rules.models import Rule
from rules.triggers import Trigger

COURSES_NAMED = 3
PEOPLE_NAMED = 10
# The name of the button that undoes the keeping of all.
ALL = "all_again"
# The address of New rule, filled in, its label, and what the rule is about.
MissingRule = tuple[str, Said, Product, Destination]
# In the address: everybody is chosen.
EVERY = "every"


def address(products: Collection[int] = (), *, back: str = "") -> str:
    """Return the address of the page, for buyers of these products (IDs) or of all."""
    asked: dict[str, Any] = {"product": sorted(products)} if products else {}
    asked |= {BACK: back} if back else {}
    return f"{reverse('admin:refunded')}?{urlencode(asked, doseq=True)}".rstrip("?")


def in_words(found: Sequence[Refunded]) -> Said | str:
    """Return "2 buyers were refunded and still have Ink: no rule ended it."; "" for none.

    Buyers to whom a person or a rule gave it again have a sentence of their own.
    """
    return joined(
        [
            _still_has((each.not_ended for each in found), say("no rule ended it")),
            _still_has((each.given_back for each in found), say("a person gave it back")),
            _still_has((each.given_again for each in found), say("a rule gave it again")),
        ]
    )


def _still_has(of_buyers: Iterable[Sequence[Grant]], why: Said) -> Said | str:
    grants = [grant for of_buyer in of_buyers for grant in of_buyer]
    customers = len({grant.customer_id for grant in grants})
    if not customers:
        return ""
    names = dict.fromkeys(brief(grant.name) for grant in grants)
    return say_count(
        customers,
        "1 buyer was refunded and still has {courses}: {why}.",
        "{number} buyers were refunded and still have {courses}: {why}.",
        courses=of_several([*names], COURSES_NAMED, customers),
        why=why,
    )


def kept_on_purpose(customers: Iterable[Customer]) -> Said | str:
    """Return "Kept on purpose: Flo West.", for whom a person let keep it; "" for nobody."""
    names = {each.pk: brief(each.name or each.readable_email) for each in customers}
    if not names:
        return ""
    return say("Kept on purpose: {people}.", people=listed([*names.values()], PEOPLE_NAMED))


def show(request: HttpRequest) -> HttpResponse:
    """List them by GET. By POST the `chosen` lose it or keep it.

    `again` undoes the keeping of one purchase, by the ID of its event, or of all.

    With `product`, only buyers of these products are listed, unless there are none.
    """
    back = way_back(request) or reverse("admin:index")
    every = refunded.refunded_with_access()
    every_kept = _every_kept()
    asked = set(row_ids(request.GET.getlist("product")))
    products = asked & {each.event.product_id for each in [*every, *every_kept]}
    kept = _of_products(products, every_kept)
    if "again" in request.POST or ALL in request.POST:
        return _mention_again(request, kept)
    if request.method == "POST":
        numbers = set(row_ids(request.POST.getlist("chosen")))
        chosen = [each for each in every if each.event.pk in numbers]
        return _settle(request, chosen, back)
    found = _of_products(products, every)
    missing, off = _missing_rules(found)
    return render(
        request,
        "admin/refunded.html",
        title=say("Refunded, but still has access"),
        told=in_words(found),
        found=found,
        others=len(every) + len(every_kept) > len(found) + len(kept),
        here=_here(request),
        choose_all=_here(request, every=True) if len(found) > 1 else "",
        all_chosen=EVERY in request.GET or len(found) == 1,  # there is nobody to choose among
        missing=_with_changes(request, missing) if allowed(request, "rules.add_rule") else [],
        turned_off=turned_off.of_rules(request, off),
        **_kept(kept),
        back=back,
    )


def _every_kept() -> list[Refunded]:
    """Return what buyers keep on purpose, after a refund or a cancellation, the newest first."""
    kept = refunded.refunded_with_access(kept=True)
    told = {each.event.pk for each in kept}
    kept += [each for each in refunded.canceled_and_kept() if each.event.pk not in told]
    return sorted(kept, key=lambda each: each.refund.received_at, reverse=True)


def _here(request: HttpRequest, *, every: bool = False) -> str:
    """Return the address of the page, with all chosen or as it is at first."""
    asked = request.GET.copy()
    asked.pop(EVERY, None)
    if every:
        asked[EVERY] = "1"
    return f"{request.path}?{asked.urlencode()}".rstrip("?")


def _mention_again(request: HttpRequest, kept: Sequence[Refunded]) -> HttpResponse:
    wanted = row_ids(request.POST.getlist("again"))
    again = [each for each in kept if ALL in request.POST or each.event.pk in wanted]
    moving.undo_keep((each.refund, each.grants) for each in again)
    if again:
        refunds = [each for each in again if not each.is_canceled]
        customers = {each.grants[0].customer for each in again if each.is_canceled}
        text = joined([say("Admit asks about it again."), in_words(refunds), _asked_on(customers)])
        messages.success(request, text)
    return HttpResponseRedirect(request.get_full_path())


def _asked_on(canceled: Iterable[Customer]) -> Said | str:
    """Say where Admit asks about canceled buyers, whom no page lists; "" for nobody."""
    names = sorted(brief(each.name or each.readable_email) for each in canceled)
    if not names:
        return ""
    who = listed(names, PEOPLE_NAMED)
    return say("After a cancellation, it asks on the page of the customer: {people}.", people=who)


def _of_products(products: Collection[int], found: Sequence[Refunded]) -> Sequence[Refunded]:
    """Return the buyers of these products, or all of them if there are no products."""
    return [each for each in found if not products or each.event.product_id in products]


def _kept(found: Sequence[Refunded]) -> dict[str, Any]:
    """Return what the page shows of those who keep it on purpose."""
    kept = [
        (each, grant, sentences.let_keep([grant]), holdings.key_of(grant))
        for each in found
        for grant in each.grants
    ]
    labels = {"again": keeping.mention_again(1), "all_again": keeping.mention_again(len(kept))}
    return {"kept": kept, "all": ALL} | labels


def _settle(request: HttpRequest, chosen: Sequence[Refunded], back: str) -> HttpResponse:
    if not chosen:
        messages.warning(request, say("Nobody was chosen, so nothing was changed."))
        return HttpResponseRedirect(request.get_full_path())
    if "keep" in request.POST:
        why = request.POST.get("reason", "")
        moving.keep(((each.refund, each.grants) for each in chosen), Act.REFUNDED_KEPT, why=why)
        customers = {grant.customer_id for each in chosen for grant in each.grants}
        text = say_count(len(customers), "1 buyer keeps it.", "{number} buyers keep it.")
        messages.success(request, text)
        return HttpResponseRedirect(request.get_full_path())
    batch = bulk_actions.new_batch(request, say("End what was refunded"))
    purchases = [(each.event, [grant.pk for grant in each.grants], ()) for each in chosen]
    endings = {each.event.pk: each.refund for each in chosen}
    left = moving.move(purchases, batch, why=moving.REFUNDED, endings=endings)
    # The page shows these only while somebody is still in.
    for text, page, label in _for_the_next(request, chosen):
        messages.warning(request, format_html('{} <a href="{}">{}</a>', text, page, label))
    return bulk_actions.start_and_show(
        request, batch, left, Rerun(len(batch.run_ids), left).sentence(), back
    )


def _for_the_next(
    request: HttpRequest, found: Iterable[Refunded]
) -> Iterator[tuple[Said, str, Text]]:
    """Yield what is left to do for the next refund: a sentence, the page to do it, and its label.

    Only what the person may do.
    """
    found = list(found)
    links, off = _missing_rules(found)
    of_one = len({each.event.product_id for each in found}) == 1
    for page, label, product, _ in links if allowed(request, "rules.add_rule") else ():
        text = say("No rule ends it at the next refund.")
        if not of_one:  # the others may have a rule
            name = brief(product.name)
            text = say("No rule ends it at the next refund of {product}.", product=name)
        yield text, page, label
    for rule in off if allowed(request, "rules.change_rule") else ():
        yield say("The rule that ends it is off."), page_of(rule), rule_text(rule.sentence())


def _missing_rules(
    found: Iterable[Refunded],
) -> tuple[list[MissingRule], list[Rule]]:
    """Return what these refunds lacked, for each product and course.

    These are a MissingRule, with New rule filled in, or the rule itself if it is off.
    What a rule gave again lacks none, nor does what no rule gives anymore or what is gone from
    Thinkific. Takes three queries at most.
    """
    endings = {
        _ending(each, run): (run, each.event.product)
        for each in found
        if not each.again
        for run in each.runs
    }
    rules, given = ending_rules.ending_rules(endings), ending_rules.given_now(endings)
    links: list[MissingRule] = []
    off: dict[int, Rule] = {}
    for ending, (run, product) in endings.items():
        rule, course = rules.get(ending), given.get(ending)
        if course is None or product is None or (rule and rule.enabled):
            continue
        if rule is not None:
            off[rule.pk] = rule
        else:
            links.append((*_new_rule(run, product, course), product, course))
    return links, [*off.values()]


def _with_changes(
    request: HttpRequest, missing: Sequence[MissingRule]
) -> list[tuple[str, Said, Sequence[Link]]]:
    """Add links to what others changed lately in the rule that gives it: that may be the mistake.

    The rule that is missing would then make it permanent.
    """
    given = {(product.pk, course.pk) for *_, product, course in missing}
    changes = change_links.of_given(request, given, timezone.now() - LATELY)
    return [
        (page, label, changes.get((product.pk, course.pk), ()))
        for page, label, product, course in missing
    ]


def _ending(each: Refunded, run: RuleRun) -> Ending:
    bought = each.event
    place = (run.integration_id, run.target)
    return Ending(bought.marketplace_id, bought.product_id, each.refund.trigger, *place)


def _new_rule(run: RuleRun, product: Product, course: Destination) -> tuple[str, Said]:
    asked = {
        "product": product.pk,
        "trigger": Trigger.PRODUCT_REFUNDED.value,
        "integration": run.integration_id,
        "action": run.spec.opposite,
        "destination": course.pk,
    }
    text = say(
        "New rule: a refund of {product} ends {course}",
        product=brief(product.name),
        course=brief(course.name),
    )
    return f"{reverse('admin:new-rule')}?{urlencode(asked)}", text


PAGES = [Page("refunded/", "refunded", show, PERMISSION)]

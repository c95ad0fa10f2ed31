"""Buyers from before a rule: who they are, and what each would get, before anything runs."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.pages import bulk_actions
from config.admin.pages.rules import earlier_words, left_over
from config.admin.pages.rules.earlier_offer import (
    MOST_RULES,
    address,
    of_cancellation,
    refunded_page,
    sentence,
)
from config.admin.pages.rules.given import given_by_rule
from config.admin.parts.badges import brief
from config.admin.parts.buttons import page_of, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids, row_in
from events.execution.rerun import Rerun, rerun
from events.models import Batch, RuleRun
from events.reports import review
from events.reports.earlier import backfill
from events.reports.earlier.earlier_buyers import BackfillCandidate, Preview
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.models import Product
from integrations.sentences import Said, say, say_count
from rules import pairing
from rules.models import Rule

# The name of the button that enrolls the buyers for whom a person undid what was given.
UNDONE = "undone"
# In what is posted: the page let the person choose, and ran for nobody else.
CHOOSE = "choose"
# In the address: everybody is chosen.
EVERY = "every"


def show(request: HttpRequest) -> HttpResponse:
    """Show the earlier buyers for each `rule`, perhaps of one `product`. A POST enrolls them.

    Buyers for whom a person undid what was given are enrolled only by the button UNDONE. Of those
    who canceled, the person chooses who loses it: they may have paid for a time that is not over.
    Where a global rule was off, the person chooses who gets it.
    """
    asked = request.POST if request.method == "POST" else request.GET
    numbers = row_ids(asked.getlist("rule"))[:MOST_RULES]
    rules = list(Rule.objects.filter(pk__in=numbers).with_names().order_by("pk"))
    if not rules:
        messages.error(request, say("This rule no longer exists. Somebody has deleted it."))
        return HttpResponseRedirect(way_back(request) or reverse("admin:index"))
    product = row_in(Product.objects.all(), asked.get("product"))
    preview = backfill.preview(*rules, product=product)
    if request.method == "POST":
        return _run(request, rules, product, preview)
    gives = all(rule.gives_on_purchase for rule in rules)
    ends = all(rule.spec.ends_access for rule in rules)
    return render(
        request,
        "admin/earlier.html",
        title=_title(len(rules), gives=gives),
        rules=rules,
        off=[rule for rule in rules if not rule.enabled],
        product=product,
        gives=gives,
        ends=ends,
        told="" if gives else earlier_words.in_words(rules, preview),
        choose=refunded_page(request, preview),
        preview=preview,
        may_be_marked=any(review.may_be_marked(each.event) for each in preview.left_out),
        most=backfill.MAX_EVENTS,
        back=way_back(request),
        origin=_origin(request, product or rules[0].product),
        **(_ticks(request) if _is_to_choose(rules, preview, ends=ends) else {}),
    )


def _is_to_choose(rules: Sequence[Rule], preview: Preview, *, ends: bool) -> bool:
    """Return whether a person chooses for whom the rules run.

    Where a global rule was off, those who bought then are chosen at first.
    """
    return bool(preview.missed) or (ends and any(map(of_cancellation, rules)))


def _ticks(request: HttpRequest) -> dict[str, Any]:
    """Return what the page needs so that a person can choose; EVERY chooses all at once."""
    others = request.GET.copy()
    others.pop(EVERY, None)
    here = f"{request.path}?{others.urlencode()}"
    every = EVERY in request.GET
    return {"ticks": True, "all_chosen": every, "turn": here if every else f"{here}&{EVERY}=1"}


def _chosen(request: HttpRequest, preview: Preview) -> list[BackfillCandidate]:
    if UNDONE in request.POST:
        return preview.undone
    rows = [*preview.run, *preview.unchanged]
    if CHOOSE not in request.POST:
        return rows
    numbers = set(row_ids(request.POST.getlist("chosen")))
    return [row for row in rows if row.event.pk in numbers]


def _run(
    request: HttpRequest,
    rules: Sequence[Rule],
    product: Product | None,
    preview: Preview,
) -> HttpResponse:
    chosen = _chosen(request, preview)
    back = address(rules, product, back=way_back(request))
    if not chosen and CHOOSE in request.POST:
        messages.warning(request, say("Nobody was chosen, so nothing was changed."))
        return HttpResponseRedirect(back)
    if not preview.more and len(chosen) == preview.number:
        # The list is empty now, so the way back leads past it.
        back = _origin(request, product or rules[0].product)[0]
    batch = bulk_actions.new_batch(request, _title_of_batch(rules))
    only = {each.event.pk: each.rules for each in chosen}
    came = rerun([each.event for each in chosen], batch=batch, only=only)
    _record(rules, came, batch)
    text = came.sentence() if chosen else say("Nothing was queued: nobody is left.")
    return bulk_actions.start_and_show(request, batch, came.left, text, back)


def _record(rules: Sequence[Rule], came: Rerun, batch: Batch) -> None:
    """Record for how many buyers each rule was run, and what came of it for all rules together.

    A rule that ran for no buyer gets no entry.
    """
    runs = RuleRun.objects.filter(pk__in=batch.run_ids, rule__in=rules).order_by()
    buyers = dict(runs.values_list("rule").annotate(Count("customer", distinct=True)))
    queued = {"queued": came.queued} | ({BATCH: batch.pk} if batch.pk else {})
    ran = [rule for rule in rules if rule.pk in buyers]
    audit.record_each(
        Act.BUYERS_ENROLLED, ran, after=lambda rule: {"buyers": buyers[rule.pk]} | queued
    )


def _title(rules: int, *, gives: bool) -> Said:
    if gives:
        return say_count(rules, "Earlier buyers", "Earlier buyers, for {number} rules")
    return say_count(
        rules,
        "Customers the rule has not run for",
        "Customers that {number} rules have not run for",
    )


def _title_of_batch(rules: Sequence[Rule]) -> Said:
    if len(rules) == 1:
        return say("For earlier buyers: {rule}", rule=rules[0].in_words())
    return say("For earlier buyers: {number} rules", number=len(rules))


def offer(request: HttpRequest, rules: Iterable[Rule], back: str) -> None:
    """Add messages with links to what is left to do after these rules were saved.

    They are about buyers who have what deleted rules of the same products gave, about leftover
    rules of these products, and about those for whom these rules were on too late. `back` is the
    page that shows the messages; the page of a rule itself says who these last ones are.
    """
    rules = list(rules)
    giving = [rule for rule in rules if pairing.is_to_give(rule)][:MOST_RULES]
    products = {rule.product_id for rule in giving if rule.product_id}
    kept, moved = given_by_rule.told_of_deleted(request, products)
    if kept:
        messages.warning(request, kept)
    if left := left_over.of_rules(request, giving):
        messages.warning(request, left)
    is_own_page = len(rules) == 1 and back == page_of(rules[0])
    if not is_own_page and (text := sentence(request, rules, back, moved)):
        messages.warning(request, text)


def _origin(request: HttpRequest, product: Product | None) -> tuple[str, str]:
    """Return (address, name) of where to go back: the page before, the product, or the rules.

    The name is "" for most pages that a person comes from.
    """
    back = way_back(request)
    if back == reverse("admin:index"):
        return back, say("Overview")
    if back:
        return back, ""
    if product is not None:
        page = reverse("admin:integrations_product_change", args=[product.pk])
        return page, brief(product.name) or product.external_id
    return f"{reverse('admin:rules_rule_changelist')}?scope__exact=global", say("Global rules")


PAGES = [Page("earlier/", "earlier", show, "events.rerun_eventlog")]

"""Who has access by a rule, or by what it gave before it was changed or deleted; moving them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from urllib.parse import urlencode, urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages import bulk_actions
from config.admin.pages.rules.given import given_parts, given_words, keeping
from config.admin.pages.rules.given.change_links import Link
from config.admin.parts.buttons import BACK, page_of, see_them, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_id, row_ids
from events.execution import moving
from events.execution.rerun import Rerun
from events.reports.changed_rules.left_behind import (
    MAX_RUNS,
    LeftBehind,
    LeftBehindPurchase,
    by_deleted_rules,
    kept_of,
    kept_runs,
    left_behind,
)
from integrations.models import Product
from integrations.sentences import Said, say, say_count
from rules import leftovers
from rules.models import Rule

# The parameter that says how many products the address leaves out.
OTHERS = "others"
# The parameter for one customer.
CUSTOMER = "customer"
# The parameter by which those who have what the rule gives now come first.
STILL = "still"
PERMISSION = "events.by_hand_grant"


def sentence(rule: int, *, back: str = "", changes: Sequence[Link] = ()) -> SafeString | None:
    """Return how many buyers have what this rule gave and no rule gives now, with a link.

    The link leads to the page that moves them, and that page back to `back`. None if there are
    none, or if `back` is that page. Call it after the change. `changes` are as in `with_link`.
    """
    page = address(rule, back=back)
    return None if is_here(back) else with_link(left_behind(rule), page, changes=changes)


def of_deleted_rules(
    request: HttpRequest, products: Collection[int], *, back: str = ""
) -> SafeString | None:
    """Return the sentence about what all deleted rules gave to buyers of these products.

    None if there are none, if `back` is the page of them, or for a person who may not move them.
    """
    return told_of_deleted(request, products, back=back)[0]


def told_of_deleted(
    request: HttpRequest, products: Collection[int], *, back: str = ""
) -> tuple[SafeString | None, set[tuple[int, int]]]:
    """Return the same sentence, and (event ID, rule ID) of those whom its page moves to a rule."""
    if not products or is_here(back) or not allowed(request, PERMISSION):
        return None, set()
    found = by_deleted_rules(products)
    moved = {(row.event.pk, rule.pk) for row in found.rows if not row.why_not for rule in row.gives}
    return with_link(found, address_of(products, back=back)), moved


def with_link(found: LeftBehind, page: str, *, changes: Sequence[Link] = ()) -> SafeString | None:
    """Return the sentence about these buyers, with a link to `page`; None if there are none.

    Links to `changes` that may be the mistake come first, and then no link stands out.
    """
    if not found.rows:
        return None
    leads = found.moves and not changes
    links = [("", *each) for each in changes]
    links.append(("primary" if leads else "", page, label(found)))
    shown = format_html_join(" ", '<a class="button {} small" href="{}">{}</a>', links)
    return format_html("{} {}", given_words.in_words(found), shown)


def label(found: LeftBehind) -> Said:
    """Return the label of the link to the page: it says what can be done there."""
    if found.rule is not None and not found.rule.enabled:
        return say("See who")  # they can be moved once the rule is on
    return say("See and move them") if found.moves else say("See them and end it")


def is_here(back: str) -> bool:
    """Return whether the way back leads to the page below, which needs no link to itself."""
    return urlsplit(back).path == reverse("admin:given-by-rule")


def left_by_deleting(request: HttpRequest, rule: Rule) -> SafeString | None:
    """Return how many buyers have access by this rule and keep it when it is deleted, with a link.

    None if there are none, or if the person may not end it for them.
    """
    if not allowed(request, PERMISSION):
        return None
    found = left_behind(rule.pk)
    who = {run.grant.customer_id for run in found.still if run.grant}
    who |= {grant.customer_id for row in found.rows for grant in row.grants}
    if not who:
        return None
    text = say_count(
        len(who),
        "1 buyer has access through this rule, and keeps it until you end it.",
        "{number}{more} buyers have access through this rule, and keep it until you end it.",
        more="+" if found.more else "",
    )
    page = address(rule.pk, back=request.get_full_path())
    return format_html('{} <a href="{}">{}</a>', text, page, say("See who"))


def address(rule: int, *, back: str = "", still_first: bool = False) -> str:
    """Return the address of the page below, for the rule of this number.

    With `still_first` it begins with those who have what the rule gives now.
    """
    asked = {"rule": str(rule)} | ({STILL: "1"} if still_first else {}) | _way(back)
    return f"{reverse('admin:given-by-rule')}?{urlencode(asked)}"


def address_of(products: Collection[int], *, back: str = "") -> str:
    """Return the address of the page for what deleted rules gave to buyers of these products.

    An address has room for the first ones only, and for how many others there are.
    """
    asked = [("product", str(product)) for product in islice(products, given_parts.PRODUCTS)]
    if (others := len(products) - len(asked)) > 0:
        asked.append((OTHERS, str(others)))
    return f"{reverse('admin:given-by-rule')}?{urlencode([*asked, *_way(back).items()])}"


def _way(back: str) -> dict[str, str]:
    return {BACK: back} if back else {}


def show(request: HttpRequest) -> HttpResponse:
    """Show by GET who would be moved, how, and who has it anyway. A POST moves the `chosen`.

    For one `rule`, or for the deleted rules of each `product`; of one `customer` or of all.
    """
    products = row_ids(request.GET.getlist("product"))[: given_parts.PRODUCTS]
    number = row_id(request.GET.get("rule")) or 0
    customer = row_id(request.GET.get(CUSTOMER))
    found = _of(customer, by_deleted_rules(products) if products else left_behind(number))
    back, still_first = way_back(request) or _origin(found, products), STILL in request.GET
    here = address_of(products) if products else address(number)
    here += f"&{CUSTOMER}={customer}" if customer else ""
    kept = kept_runs(number, products)
    if "again" in request.POST:
        return keeping.undo_keep(request, kept, back)
    if "keep" in request.POST:
        if products:
            # The address names only the first products, but the form names everybody's access.
            found = _of(customer, by_deleted_rules(keeping.products(request)))
        return keeping.keep(request, found, back, here)
    if request.method == "POST":
        return _move(request, found, back, here)
    return render(
        request,
        "admin/many/given.html",
        **given_parts.context(request, found, kept, still_first=still_first),
        **given_parts.of_change(request, found, number),
        other_products=row_id(request.GET.get(OTHERS)) or 0,
        form_action=here,
        back=back,
    )


def _of(customer: int | None, found: LeftBehind) -> LeftBehind:
    """Return what is left behind of this customer, or of all for None."""
    if customer is None:
        return found
    rows = [row for row in found.rows if row.grants[0].customer_id == customer]
    return replace(found, rows=rows, still=())


def _origin(found: LeftBehind, products: Sequence[int]) -> str:
    if len(products) == 1:
        return reverse("admin:integrations_product_change", args=products)
    if found.rule is None:
        return reverse("admin:rules_rule_changelist")
    return reverse("admin:rules_rule_change", args=[found.rule.pk])


def where_kept(event: int, back: str) -> str:
    """Return the address of the page that shows what this event's buyer keeps, "" for nothing.

    The page leads back to `back`.
    """
    run = kept_of(event)
    if run is None:
        return ""
    if run.rule_id:
        return address(run.rule_id, back=back)
    return address_of([run.event.product_id], back=back) if run.event.product_id else ""


def _move(request: HttpRequest, found: LeftBehind, back: str, here: str) -> HttpResponse:
    chosen = set(row_ids(request.POST.get("chosen", "").split(","))[:MAX_RUNS])
    ends_only = "only_end" in request.POST
    # Refunded buyers cannot be moved, but their access can be ended.
    rows = [
        row
        for row in found.rows
        if row.event.pk in chosen and (not row.why_not or (ends_only and row.ending))
    ]
    batch = bulk_actions.new_batch(
        request, given_parts.title_of_end(found) if ends_only else given_parts.title(found)
    )
    purchases = [
        (row.event, [grant.pk for grant in row.grants], () if ends_only else row.gives)
        for row in rows
    ]
    why = moving.CHANGED if found.rule else moving.DELETED
    endings = {row.event.pk: row.ending for row in rows if row.ending}
    left = moving.move(purchases, batch, why=why, endings=endings)
    text = Rerun(len(batch.run_ids), left).sentence()
    product = found.rule.product if found.rule else None
    if product and found.rule and back == page_of(found.rule):
        # The product's page says what else is left to do after the rule was changed.
        back = page_of(product)
    answer = bulk_actions.start_and_show(request, batch, left, text, back)
    others = _left_over(product, rows) if product else None
    for told in filter(None, (others, _not_moved(found, chosen, here))):
        messages.warning(request, told)
    return answer


def _not_moved(found: LeftBehind, chosen: Collection[int], page: str) -> SafeString | None:
    """Return how many refunded buyers stay when these events' buyers are moved, with a link."""
    rows = [row for row in given_parts.refunded_rows(found) if row.event.pk not in chosen]
    if not rows:
        return None
    text = given_words.of_refunded(LeftBehind(found.rule, rows))
    return format_html('{} <a href="{}">{}</a>', text, page, say("See and end it"))


def _left_over(product: Product, moved: Iterable[LeftBehindPurchase]) -> SafeString | None:
    """Return how many rules of the product still name what these buyers had, with a link."""
    old = {(grant.integration_id, grant.target) for row in moved for grant in row.grants}
    found = leftovers.of_product(product, Rule.objects.concerning(product))
    left = [each.rule for each in found if (each.rule.integration_id, each.rule.target) in old]
    if not left:
        return None
    text = given_words.still_named(left, product)
    return format_html('{} <a href="{}">{}</a>', text, page_of(product), see_them(len(left)))


PAGES = [Page("given-by-rule/", "given-by-rule", show, PERMISSION)]

"""Who has access by a rule, or by what it gave before it was changed or deleted; moving them."""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages import many
from config.admin.pages.rules import keeping
from config.admin.parts.badges import brief
from config.admin.parts.buttons import page_of, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_id, row_ids
from events.execution import moving
from events.execution.rerun import Rerun
from events.reports.behind_all_rules import OfRule
from events.reports.left_behind import (
    MOST,
    Behind,
    LeftBehind,
    by_deleted_rules,
    kept_of,
    left_behind,
)
from events.reports.left_behind import kept as kept_by_buyers
from events.reports.many import Line
from integrations.models import Product
from integrations.sentences import Said, say, say_count
from rules import leftovers
from rules.listing import listed
from rules.models import Rule

COURSES_NAMED = 3
# How many products an address may name: a server reads 4,094 characters of one.
PRODUCTS = 200
PERMISSION = "events.by_hand_grant"


def sentence(rule: int) -> SafeString | None:
    """Return how many buyers have what this rule gave and no rule gives now, with a link.

    The link leads to the page that moves them. None if there are none. Call it after the change.
    """
    return with_link(left_behind(rule), address(rule))


def of_deleted_rules(request: HttpRequest, products: Collection[int]) -> SafeString | None:
    """Return the same for all that deleted rules gave to buyers of these products.

    None also for a person who may not move them.
    """
    if not products or not allowed(request, PERMISSION):
        return None
    found = by_deleted_rules(products)
    return with_link(found, address_of(products))


def with_link(found: LeftBehind, page: str) -> SafeString | None:
    """Return the same for what was found; `page` is the address that shows it."""
    if not found.rows:
        return None
    moves = any(row.gives for row in found.rows)
    label = say("See and move them") if moves else say("See them and end it")
    return format_html('{} <a href="{}">{}</a>', in_words(found), page, label)


def kept(request: HttpRequest, rule: Rule) -> SafeString | None:
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
        "1 buyer has access by this rule, and keeps it until you end it.",
        "{number}{more} buyers have access by this rule, and keep it until you end it.",
        more="+" if found.more else "",
    )
    return format_html('{} <a href="{}">{}</a>', text, address(rule.pk), say("See who"))


def in_words(found: LeftBehind | OfRule) -> Said:
    """Return a sentence such as: 2 buyers got Ink and Wash through this rule, and keep it."""
    values: dict[str, object] = {
        "courses": listed([*map(brief, found.courses)], COURSES_NAMED),
        "more": "+" if found.more else "",
    }
    if found.rule is None:
        return say_count(
            found.customers,
            "1 buyer got {courses} through a deleted rule, and keeps it.",
            "{number}{more} buyers got {courses} through a deleted rule, and keep it.",
            **values,
        )
    return say_count(
        found.customers,
        "1 buyer got {courses} through this rule, and keeps it.",
        "{number}{more} buyers got {courses} through this rule, and keep it.",
        **values,
    )


def address(rule: int) -> str:
    """Return the address of the page below, for the rule of this number."""
    return f"{reverse('admin:given-by-rule')}?rule={rule}"


def address_of(products: Iterable[int]) -> str:
    """Return the address of the page for what deleted rules gave to buyers of these products."""
    return f"{reverse('admin:given-by-rule')}?{_query(products)}"


def _query(products: Iterable[int]) -> str:
    return urlencode([("product", product) for product in islice(products, PRODUCTS)])


def show(request: HttpRequest) -> HttpResponse:
    """Show by GET who would be moved, how, and who has it anyway. A POST moves the `chosen`.

    For one `rule`, or for the deleted rules of each `product`.
    """
    products = row_ids(request.GET.getlist("product"))[:PRODUCTS]
    number = row_id(request.GET.get("rule")) or 0
    page = _query(products) if products else f"rule={number}"
    found = by_deleted_rules(products) if products else left_behind(number)
    back = way_back(request) or _origin(found, products)
    kept_runs = kept_by_buyers(number, products)
    if "again" in request.POST:
        return keeping.tell_again(request, kept_runs, back)
    if "keep" in request.POST:
        return keeping.keep(request, found, back, f"{request.path}?{page}")
    if request.method == "POST":
        return _move(request, found, back)
    can = [row.line for row in found.rows if not row.why_not]
    left_out = [row.line for row in found.rows if row.why_not]
    return render(
        request,
        "admin/many/given.html",
        title=_title(found),
        form_action=f"{request.path}?{page}",
        more=found.more,
        number=len(can),
        **_what_follows(found),
        lists=[_list(say("What will be done"), can), _list(say("Left out"), left_out)],
        chosen=[line.event.pk for line in can],
        keep=keeping.let_keep(found.customers),
        grants=[grant.pk for grant in found.grants],
        still=found.still[: many.LINES_SHOWN],
        others=len(found.still) - many.LINES_SHOWN,
        kept_runs=kept_runs,
        again=say_count(len(kept_runs), "Tell of it again", "Tell of these {number} again"),
        rule=found.rule,
        at_once=MOST,
        back=back,
    )


def _list(title: Said, lines: list[Line]) -> tuple[Said, list[Line], int]:
    """Return the heading, the lines that are shown, and how many more there are."""
    return title, lines[: many.LINES_SHOWN], len(lines) - many.LINES_SHOWN


def _title(found: LeftBehind) -> Said:
    if courses := _given(found.rows):
        return say("Move buyers to {courses}", courses=courses)
    if found.rule is None:
        return say("End what a deleted rule gave")
    if not found.rows:
        return say("Who has it by this rule")
    return say("End what the rule gave before")


def _given(rows: Iterable[Behind]) -> str:
    """Return the names of what these buyers get instead, "" for nothing."""
    names = dict.fromkeys(brief(rule.destination) for row in rows for rule in row.gives)
    return listed([*names], COURSES_NAMED)


def _what_follows(found: LeftBehind) -> dict[str, Said]:
    """Return the labels of the buttons, and what buyers who can be moved lose."""
    rows = [row for row in found.rows if not row.why_not]
    moved = LeftBehind(found.rule, rows)
    only_end = say_count(moved.customers, "End it for 1 buyer", "End it for {number} buyers")
    told = {"label": only_end}
    if courses := _given(rows):
        move = say_count(
            moved.customers,
            "Move 1 buyer to {courses}",
            "Move {number} buyers to {courses}",
            courses=courses,
        )
        told = {"label": move}
        # An edited rule fits its earlier buyers, so only a deleted one offers to end access and
        # give nothing.
        told |= {"only_end": only_end} if found.rule is None else {}
    ends = say(
        "Their access to {courses} ends, unless another purchase gives it.",
        courses=listed([*map(brief, moved.courses)], COURSES_NAMED),
    )
    return told | {"ends": ends}


def _origin(found: LeftBehind, products: Sequence[int]) -> str:
    if len(products) == 1:
        return reverse("admin:integrations_product_change", args=products)
    if found.rule is None:
        return reverse("admin:rules_rule_changelist")
    return reverse("admin:rules_rule_change", args=[found.rule.pk])


def where_kept(event: int) -> str:
    """Return the address of the page that shows what this event's buyer keeps, "" for nothing."""
    run = kept_of(event)
    if run is None:
        return ""
    if run.rule_id:
        return address(run.rule_id)
    return address_of([run.event.product_id]) if run.event.product_id else ""


def _move(request: HttpRequest, found: LeftBehind, back: str) -> HttpResponse:
    chosen = set(row_ids(request.POST.get("chosen", "").split(","))[:MOST])
    rows = [row for row in found.rows if row.event.pk in chosen and not row.why_not]
    batch = many.begin(request, _title(found))
    ends_only = "only_end" in request.POST
    purchases = [
        (row.event, [grant.pk for grant in row.grants], () if ends_only else row.gives)
        for row in rows
    ]
    why = moving.CHANGED if found.rule else moving.DELETED
    left = moving.move(purchases, batch, why=why)
    text = Rerun(len(batch.run_ids), left).sentence()
    product = found.rule.product if found.rule else None
    if product is None:
        return many.done(request, batch, left, text, back)
    # The product's page says what else is left to do after the rule was changed.
    answer = many.done(request, batch, left, text, page_of(product))
    if others := _left_over(product, rows):
        messages.warning(request, others)
    return answer


def _left_over(product: Product, moved: Iterable[Behind]) -> SafeString | None:
    """Return how many rules of the product still name what these buyers had, with a link."""
    old = {(grant.integration_id, grant.target) for row in moved for grant in row.grants}
    found = leftovers.judged(product, Rule.objects.concerning(product))
    left = [each.rule for each in found if (each.rule.integration_id, each.rule.target) in old]
    if not left:
        return None
    text = say_count(
        len(left),
        "1 other rule still names {course}.",
        "{number} other rules still name {course}.",
        course=listed([*dict.fromkeys(brief(rule.destination) for rule in left)], COURSES_NAMED),
    )
    return format_html('{} <a href="{}">{}</a>', text, page_of(product), say("See them"))


PAGES = [Page("given-by-rule/", "given-by-rule", show, PERMISSION)]

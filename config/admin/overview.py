"""The overview: what is left to set up, how it goes, and what needs somebody."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from config.admin.look import brief
from config.admin.pages import render
from events import backlog, figures, heard, subscriptions, waiting
from events.models import Delivery, RuleRun
from integrations import connect
from integrations.models import Destination, Integration, Marketplace, Product
from integrations.thinkific.explain import plain
from rules import pairing
from rules.models import Action, Rule, Scope
from rules.triggers import Trigger

BAR, GAP, HEIGHT = 26, 10, 120
LOOKED_AT = 50
NAMED = 5


@dataclass(frozen=True, slots=True)
class Task:
    """A line of the checklist; `url` is the very place where it is done."""

    text: str
    done: bool
    url: str


def show(request: HttpRequest) -> TemplateResponse:
    sites = list(Integration.objects.order_by("name"))
    accounts = list(Marketplace.objects.order_by("name"))
    tasks = _checklist(sites, accounts)
    days = figures.actions_by_day()
    done = sum(day.done for day in days)
    over = sum(day.done + day.failed for day in days)
    events, unmatched = figures.events_in_a_day()
    in_line = backlog.waiting()
    return render(
        request,
        "admin/index.html",
        title="Overview",
        tasks=[] if all(task.done for task in tasks) else tasks,
        events=figures.spoken(events),
        unmatched=figures.spoken(unmatched) if unmatched else "",
        done=figures.spoken(done),
        share=round(100 * done / over) if over else None,
        failed=figures.spoken(figures.failed()),
        waiting=figures.spoken(in_line),
        needed=backlog.time_needed(in_line) if in_line else "",
        bars=_bars(days),
        days=days,
        sites=[(site, _health(site)) for site in sites],
        attention=_told(figures.needing_somebody()),
        nothing_given=figures.paid_for_nothing(),
        not_understood=figures.not_understood(),
        missing=[each for account in accounts for each in heard.missing(account)],
        silent=figures.worker_is_silent(),
        unread=figures.unread(),
    )


def _told(runs: list[RuleRun]) -> list[tuple[RuleRun, str]]:
    """Each with what went wrong, in plain words."""
    told = waiting.reasons(runs)
    return [(run, told[run.pk]) for run in runs]


def _health(site: Integration) -> str:
    warning = connect.expiry_warning(site, timezone.localdate())
    return warning or plain(site.connection_message)


def _checklist(sites: list[Integration], accounts: list[Marketplace]) -> list[Task]:
    first = (
        reverse("admin:integrations_integration_change", args=[sites[0].pk])
        if sites
        else reverse("admin:integrations_integration_add")
    )
    samcart = reverse("admin:samcart")
    connected = any(site.connection == Integration.Connection.CONNECTED for site in sites)
    giving = [each.value for each in Action if each.gives_access]
    rules = Rule.objects.filter(enabled=True)
    return [
        Task("Thinkific connected", connected, first),
        Task(
            "Welcome Emails on in Thinkific: Support Your Students > Notifications (you tick it)",
            bool(sites) and all(site.welcome_emails_on for site in sites),
            first,
        ),
        _private(connected),
        Task("SamCart knows the address, and sent something", Delivery.objects.exists(), samcart),
        Task(
            "A rule that enrolls",
            rules.filter(action__in=giving).exists(),
            reverse("admin:new-rule"),
        ),
        Task(*_pairs()),
        Task(
            "A test order came through to Thinkific",
            figures.an_order_got_through(),
            reverse("admin:events_eventlog_changelist"),
        ),
        Task(
            "SamCart's own Thinkific rules are off (you tick it)",
            bool(accounts) and all(account.own_rules_off for account in accounts),
            f"{samcart}#own-rules",
        ),
    ]


def _private(connected: bool) -> Task:
    """Whether the courses that rules give are Private; those that are not are named."""
    text = "The courses you sell are Private, so that customers cannot cancel inside Thinkific"
    # Of what is not listed nobody knows how it stands now.
    public = Destination.objects.filter(_sold(), unlisted_at=None, gone_at=None, private=False)
    names = list(public.order_by("name").values_list("name", flat=True).distinct()[: NAMED + 1])
    if names:
        named = ", ".join(brief(name) for name in names[:NAMED])
        text += f" (not yet: {named}{' and more' if len(names) > NAMED else ''})"
    where = f"{reverse('admin:help')}#cancel"
    return Task(text, connected and not names, where)


def _sold() -> Q:
    """The courses that rules give, those inside of bundles too."""
    giving = [each.value for each in Action if each.gives_access]
    given = Destination.objects.filter(rules__enabled=True, rules__action__in=giving)
    wanted = Q(pk__in=given.values("pk"))
    bundles = given.filter(kind=Destination.Kind.BUNDLE, gone_at=None).distinct()
    for site, courses in bundles.values_list("integration", "course_ids"):
        wanted |= Q(integration=site, external_id__in=courses)
    return wanted & Q(kind=Destination.Kind.COURSE)


def _pairs() -> tuple[str, bool, str]:
    """Whether something ends what is given, for each product; the first hole is opened."""
    text = "Rules that end access and give it back"
    products = Product.objects.filter(
        rules__trigger=Trigger.PRODUCT_PURCHASED, rules__enabled=True
    ).distinct()[:LOOKED_AT]
    sold = subscriptions.sold_by_subscription(products)
    working = Rule.objects.filter(enabled=True).select_related("destination")
    rules = list(working.filter(product__in=list(products)))
    rules += working.filter(scope=Scope.GLOBAL)
    for product in products:
        mine = [rule for rule in rules if rule.marketplace_id == product.marketplace_id]
        if pairing.holes(product, mine, subscription=product.pk in sold):
            return text, False, reverse("admin:integrations_product_change", args=[product.pk])
    any_rule = any(not Action(rule.action).gives_access for rule in rules)
    return text, any_rule, reverse("admin:integrations_product_changelist")


def _bars(days: list[figures.Day]) -> list[dict[str, Any]]:
    """Where each part of each bar stands, in the units of the picture."""
    most = max((day.total for day in days), default=0) or 1
    bars = []
    for i, day in enumerate(days):
        top = float(HEIGHT)
        parts = []
        for kind, number in (("good", day.done), ("wait", day.other), ("bad", day.failed)):
            height = round(number / most * (HEIGHT - 10), 1)
            if number:
                height = max(height, 2.0)
                top -= height
                parts.append({"kind": kind, "y": round(top, 1), "height": height})
        bars.append({"x": GAP + i * (BAR + GAP), "parts": parts, "day": day})
    return bars

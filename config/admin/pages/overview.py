"""The overview: what is left to set up, how it goes, and what needs somebody."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from config.admin.pages import overview_headline
from config.admin.pages.log_filters import NOT_IN
from config.admin.parts.badges import brief
from config.admin.parts.page import render
from events.access import history
from events.execution import wait_reasons
from events.models import Delivery, RuleRun
from events.reports import (
    backfill,
    backlog,
    dashboard,
    promise,
    queue,
    subscriptions,
    trigger_coverage,
)
from integrations import app_registry, credentials
from integrations.models import Destination, Integration, Marketplace, Product
from integrations.thinkific.explain import trouble
from rules import actions, pairing
from rules.models import Rule, Scope
from rules.triggers import Trigger

BAR, GAP, HEIGHT = 26, 10, 120
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
    days = dashboard.actions_by_day()
    in_line = backlog.in_line()
    nothing = promise.unfulfilled()
    kept = promise.promise(nothing)
    missing = [each for account in accounts for each in trigger_coverage.missing(account)]
    facts = _facts(
        sites,
        not_in=kept.not_in,
        waiting_for_off=in_line.off,
        never_sent=len(missing),
        to_set_up=sum(not task.done for task in tasks),
    )
    came = dashboard.events_in_a_day()
    return render(
        request,
        "admin/index.html",
        title="Overview",
        facts=facts,
        headline=overview_headline.headline(
            facts, see=_see(), buyers=kept.buyers, on_the_way=kept.on_the_way
        ),
        tasks=tasks if facts.to_set_up else [],
        events=dashboard.format_count(came.events),
        events_note=overview_headline.events_note(came),
        done=dashboard.format_count(sum(day.done for day in days)),
        share=_share(days),
        failed=dashboard.format_count(facts.failed),
        held=dashboard.format_count(facts.held),
        waiting=dashboard.format_count(in_line.waiting),
        waiting_note=overview_headline.waiting_note(in_line, silent=facts.silent),
        bars=_bars(days),
        days=days,
        sites=_shown(sites),
        with_catalog=app_registry.with_catalog(),
        attention=_told(dashboard.needing_somebody()),
        nothing_given=dashboard.unfulfilled_products(nothing),
        missing=missing,
        unread=dashboard.unread(),
    )


def _see() -> str:
    """Where those are listed who paid and are not in."""
    return f"{reverse('admin:events_eventlog_changelist')}?result={NOT_IN}"


def _share(days: list[dashboard.DayTotals]) -> int | None:
    """How many of a hundred actions succeeded; rounded down: while one failed, not all did."""
    done = sum(day.done for day in days)
    over = sum(day.done + day.failed for day in days)
    return 100 * done // over if over else None


def _facts(
    sites: list[Integration],
    *,
    not_in: int,
    waiting_for_off: int,
    never_sent: int,
    to_set_up: int,
) -> overview_headline.Facts:
    unread = history.unread()
    on = [site for site in sites if site.enabled]
    closed = [site for site in on if site.connection == Integration.Connection.REFUSED]
    refused = [site for site in closed if app_registry.of(site).has_catalog]
    not_let_in = [site for site in refused if site.not_let_in]
    return overview_headline.Facts(
        silent=dashboard.worker_is_silent(),
        rejected=_names(site for site in refused if site not in not_let_in),
        not_let_in=_names(not_let_in),
        unsigned=_names(site for site in closed if site not in refused),
        unreachable=_names(
            site for site in on if site.connection == Integration.Connection.UNREACHABLE
        ),
        history=history.sentence(unread) if unread else "",
        stranded=0 if unread else dashboard.stranded(),
        failed=dashboard.failed(),
        held=dashboard.held(),
        not_in=not_in,
        not_understood=dashboard.not_understood(),
        waiting_for_off=waiting_for_off,
        never_sent=never_sent,
        expiring=sum(
            bool(credentials.expiry_warning(site, timezone.localdate())) for site in sites
        ),
        to_set_up=to_set_up,
    )


def _names(sites: Iterable[Integration]) -> tuple[str, ...]:
    return tuple(brief(site) for site in sites)


def _told(runs: list[RuleRun]) -> list[tuple[RuleRun, str]]:
    """Each with what went wrong, in plain words."""
    told = wait_reasons.reasons(runs)
    return [(run, told[run.pk]) for run in runs]


def _urgency(site: Integration) -> int:
    """The lower, the more it needs a person; what is calm comes last."""
    kinds = Integration.Connection
    connection = site.connection if site.enabled else None
    return [
        connection == kinds.REFUSED,
        connection == kinds.UNREACHABLE,
        bool(credentials.expiry_warning(site, timezone.localdate())),
        connection != kinds.CONNECTED,
        True,
    ].index(True)


def _shown(sites: list[Integration]) -> list[tuple[Integration, str, datetime | None]]:
    """Each with what is wrong with it and, while it is paused, until when."""
    pauses = queue.paused()
    return [
        (site, _health(site), pauses.get(site.pk) if site.enabled else None)
        for site in sorted(sites, key=_urgency)
    ]


def _health(site: Integration) -> str:
    if not app_registry.of(site).has_catalog:
        return site.connection_message
    warning = credentials.expiry_warning(site, timezone.localdate())
    return warning or trouble(site)


def _checklist(sites: list[Integration], accounts: list[Marketplace]) -> list[Task]:
    schools = [site for site in sites if app_registry.of(site).has_catalog]
    first = (
        reverse("admin:integrations_integration_change", args=[schools[0].pk])
        if schools
        else f"{reverse('admin:integrations_integration_add')}?app={app_registry.THINKIFIC.key}"
    )
    samcart = reverse("admin:samcart")
    connected = any(site.connection == Integration.Connection.CONNECTED for site in schools)
    giving = actions.giving_access()
    rules = Rule.objects.filter(enabled=True)
    return [
        Task("Thinkific connected", connected, first),
        Task(
            "Welcome Emails on in Thinkific: Support Your Students > Notifications (you tick it)",
            bool(schools) and all(site.welcome_emails_on for site in schools),
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
            dashboard.an_order_got_through(),
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
    giving = actions.giving_access()
    given = Destination.objects.filter(rules__enabled=True, rules__action__in=giving)
    wanted = Q(pk__in=given.values("pk"))
    bundles = given.filter(kind=Destination.Kind.BUNDLE, gone_at=None).distinct()
    for site, courses in bundles.values_list("integration", "course_ids"):
        wanted |= Q(integration=site, external_id__in=courses)
    return wanted & Q(kind=Destination.Kind.COURSE)


def _pairs() -> tuple[str, bool, str]:
    """Whether rules that give access have rules that end and restore it; names the first missing.

    By the same `pairing.holes` as the hint on a product's page, to which it leads.
    """
    text = "Rules that end access and give it back"
    # Those that are off too: one for a Subscription trigger tells how the product is sold.
    every = Rule.objects.select_related("destination", "integration", "marketplace")
    own: dict[int, list[Rule]] = defaultdict(list)
    everywhere: dict[int, list[Rule]] = defaultdict(list)
    for rule in every.order_by("pk"):
        if rule.product_id is None:
            everywhere[rule.marketplace_id].append(rule)
        else:
            own[rule.product_id].append(rule)
    for rules in everywhere.values():
        if found := _global_hole(rules):
            return f"{text} ({found[0]})", False, found[1]
    products = Product.objects.filter(pk__in=own).order_by("name", "pk")

    def holes(product: Product, *, subscription: bool) -> list[Trigger]:
        rules = own[product.pk] + everywhere[product.marketplace_id]
        return pairing.holes(product, rules, subscription=subscription)

    # How it is sold matters only where it would make a difference.
    unsure = [each for each in products if holes(each, subscription=True)]
    sold = subscriptions.sold_by_subscription(unsure)
    for product in unsure:
        if missing := holes(product, subscription=product.pk in sold):
            named = ", ".join(trigger.label for trigger in missing)
            page = reverse("admin:integrations_product_change", args=[product.pk])
            return f"{text} (not yet for {brief(product)}: {named})", False, page
    giving = any(
        backfill.gives_now(rule)
        for rules in (*own.values(), *everywhere.values())
        for rule in rules
    )
    return text, giving, reverse("admin:integrations_product_changelist")


def _global_hole(rules: list[Rule]) -> tuple[str, str] | None:
    """What does not end what a global rule gives, and where the rule for it is made."""
    holes = pairing.holes(None, rules, subscription=subscriptions.any_sold())
    if not holes:
        return None
    text = f"not yet for what global rules give: {holes[0].label}"
    for rule in pairing.companions(filter(backfill.gives_now, rules)):
        if rule.trigger == holes[0]:
            answers = {
                "scope": Scope.GLOBAL.value,
                "account": rule.marketplace_id,
                "integration": rule.integration_id,
                "action": rule.action,
                "trigger": rule.trigger,
                "destination": rule.destination_id,
            }
            return text, f"{reverse('admin:new-rule')}?{urlencode(answers)}"
    return text, f"{reverse('admin:rules_rule_changelist')}?scope__exact=global&state=off"


def _bars(days: list[dashboard.DayTotals]) -> list[dict[str, Any]]:
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

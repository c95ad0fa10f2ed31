"""The overview: what is left to set up, how it goes, and what needs a person."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from config.admin.menu import allowed
from config.admin.pages.log import log_filters
from config.admin.pages.overview import (
    overview_chart,
    overview_headline,
    overview_rules,
    overview_sites,
    overview_waiting,
)
from config.admin.pages.overview.events_note import events_note
from config.admin.pages.rules.given import left_behind_notices
from config.admin.pages.rules.given.given_by_rule import PERMISSION
from config.admin.pages.staff import others_changes
from config.admin.parts import checklist, checklist_task
from config.admin.parts.badges import brief
from config.admin.parts.page import render
from events.access import history
from events.alerts import finding, rounds, sentences
from events.alerts.problems import Problem, ProblemCode
from events.execution import wait_reasons
from events.models import RuleRun, Worker
from events.reports import counting, dashboard, days
from events.reports.changed_rules import left_behind_summary, refunded
from events.reports.owed import own_rules, own_rules_since, promise
from events.reports.system import backlog, trigger_coverage
from integrations import app_registry, credentials
from integrations.finding.ordering import by_name
from integrations.models import Integration, Marketplace
from integrations.sentences import Said, say
from rules import facts as facts_of_rules

# Problems that alerts report and no other part of this page shows.
ELSEWHERE = (
    ProblemCode.SITE_PAUSED,
    ProblemCode.OVERDUE,
    ProblemCode.SPOOL_WAITS,
    ProblemCode.DISK_LOW,
    ProblemCode.CANARY_FAILED,
    ProblemCode.SILENCE,
    ProblemCode.BACKUP_OLD,
    ProblemCode.NOT_CHECKED,
)

# At most this many integrations that need nobody are listed.
MOST_IN_ORDER = 10
# The permissions to tick what Admit cannot see.
TICKS = ("integrations.change_integration", "integrations.change_marketplace")
SEES_ALERTS = "events.view_rulerun"


def show(request: HttpRequest) -> TemplateResponse:
    sites = list(Integration.objects.order_by(by_name()))
    accounts = list(Marketplace.objects.order_by(by_name()))
    rules = facts_of_rules.by_place()
    path = checklist.path(checklist.tasks(sites, accounts, rules))
    in_line = backlog.waiting_counts(sites)
    behind, refunds = left_behind_summary.summarize(), refunded.refunded_with_access()
    unfulfilled = promise.unfulfilled()
    sales = overview_rules.read_sales(rules)
    not_enough = own_rules.grants_not_enough(sales.only_global, behind, rules)
    not_enough |= own_rules_since.grants(sales.not_given_yet)
    promised = promise.promise(unfulfilled, behind=not_enough)
    about_rules = overview_rules.summarize(request, rules, unfulfilled, sales)
    missing = {account: trigger_coverage.missing(account, rules) for account in accounts}
    problems = finding.lasting(codes=ELSEWHERE)
    facts = replace(
        _facts(sites, problems),
        not_in=promised.not_in,
        waiting_for_off=in_line.off,
        never_sent=sum(each.is_gap for found in missing.values() for each in found),
        to_set_up=path.total - len(path.done) if path and _may_set_up(request) else 0,
        behind=left_behind_notices.in_one_sentence(behind, refunds),
        **about_rules.facts,
    )
    return render(
        request,
        "admin/index.html",
        title=say("Overview"),
        **_beginning(request, facts, promised, path, _enter_key(request, sites)),
        **_setting_up(request, path, sites),
        problems=_told(request, problems),
        **_figures(facts, _period(request), in_line),
        **_integrations(request, sites),
        attention=_with_reasons(dashboard.needing_somebody()),
        behind=left_behind_notices.by_rule(request, behind, refunds),
        # While somebody is left to decide about, that line leads there as well.
        may_be_kept=not refunds and allowed(request, PERMISSION) and refunded.may_be_kept(),
        **about_rules.shown,
        **_never_sent(missing),
    )


def _setting_up(
    request: HttpRequest, path: checklist.Path | None, sites: list[Integration]
) -> dict[str, Any]:
    """Return the path. Before a school is connected it comes first, then what needs a person."""
    return {
        "path": path,
        "path_first": not any(site.refreshed_at for site in sites),
        "may_tick": request.user.has_perms(TICKS),
        # While there is more to set up, that comes first.
        "nobody_notified": path is None
        and allowed(request, SEES_ALERTS)
        and not rounds.anybody_is_notified(),
        "may_do": path is None or allowed(request, path.now.permission),
        "done_steps": _with_may(request, path.done if path else ()),
        "later_steps": _with_may(request, path.later if path else ()),
    }


def _with_may(
    request: HttpRequest, tasks: Iterable[checklist_task.Task]
) -> list[tuple[checklist_task.Task, bool]]:
    """Return each task with whether the person may do it: else its page refuses the person."""
    return [(each, allowed(request, each.permission)) for each in tasks]


def _told(request: HttpRequest, problems: Iterable[Problem]) -> list[tuple[Problem, Said, bool]]:
    """Return each problem with a sentence on it, and whether the person may fix it."""
    return [(each, sentences.sentence(each), each.may_fix(request.user)) for each in problems]


def _may_set_up(request: HttpRequest) -> bool:
    """Return whether steps that are left to set up are something for this person."""
    return any(map(request.user.has_perm, (checklist_task.SITES, checklist_task.RULES)))


def _never_sent(
    missing: dict[Marketplace, list[trigger_coverage.MissingTrigger]],
) -> dict[str, Any]:
    """Return the triggers that were never received, by account.

    For `no_last_payments`, Subscription Completed is one that plans of several payments need.
    """
    found = [(account, kinds) for account, kinds in missing.items() if kinds]
    return {
        "never_sent": found,
        "no_last_payments": [
            account for account, kinds in found if any(each.no_last_payments for each in kinds)
        ],
        "many_accounts": len(missing) > 1,
    }


def _beginning(
    request: HttpRequest,
    facts: overview_headline.Facts,
    promised: promise.Promise,
    path: checklist.Path | None,
    enter_key: str,
) -> dict[str, Any]:
    """Return whether there is more to see than what to set up, the headline, and who did what."""
    # The step at this page is done once SamCart has sent something.
    samcart = reverse("admin:samcart")
    received = path is None or any(task.url == samcart for task in path.done)
    has_begun = received or RuleRun.objects.exists()
    only_path = facts == overview_headline.Facts(to_set_up=facts.to_set_up)
    headline = _headline(facts, promised, enter_key) if has_begun or not only_path else None
    since = others_changes.since_last_visit(request)
    return {"facts": facts, "has_begun": has_begun, "headline": headline, "since_last_visit": since}


def _period(request: HttpRequest) -> days.Period:
    """Return the period that the address asks for; any unknown one means the usual one."""
    asked = request.GET.get("days", "")
    return days.until_now(int(asked) if asked in map(str, days.RANGES) else days.USUAL)


def _integrations(request: HttpRequest, sites: list[Integration]) -> dict[str, Any]:
    advise = allowed(request, "integrations.change_integration")
    shown = overview_sites.by_urgency(sites, advise=advise)
    in_order = [each for each in shown if not each.needs_somebody]
    return {
        "sites_in_need": [each for each in shown if each.needs_somebody],
        "sites_in_order": in_order[:MOST_IN_ORDER],
        "all_sites": len(shown) if len(in_order) > MOST_IN_ORDER else 0,
        "with_catalog": app_registry.with_catalog(),
    }


def _chart(period: days.Period) -> dict[str, Any]:
    return {
        "chart": overview_chart.draw(period.days),
        "compared": overview_chart.compared(period),
        "period": period,
        "ranges": days.RANGES,
    }


def _figures(
    facts: overview_headline.Facts, period: days.Period, in_line: backlog.WaitingCounts
) -> dict[str, Any]:
    """Return the four numbers beside the title with their notes, what waits, and the chart."""
    came = dashboard.events_in_a_day()
    return {
        "events": counting.format_count(came.events),
        "number_of_events": came.events,
        "events_note": events_note(came, not_in=facts.not_in),
        "done": counting.format_count(period.days[-1].done),
        "number_done": period.days[-1].done,
        "share": period.share,
        "failed": counting.format_count(facts.failed),
        "held": counting.format_count(facts.held),
        "waiting": counting.format_count(in_line.waiting),
        "waiting_note": overview_waiting.waiting_note(in_line, silent=facts.silent),
        "left": overview_waiting.not_carried_out(dashboard.unread(), in_line.waiting),
        **_chart(period),
    }


def _enter_key(request: HttpRequest, sites: Iterable[Integration]) -> str:
    """Return the address at which to enter a new key, if exactly one school has a wrong one.

    "" otherwise, or for a person who may not enter it.
    """
    wrong = [site for site in _refused(sites) if not site.denied]
    if len(wrong) != 1 or not allowed(request, "integrations.change_integration"):
        return ""
    return f"{reverse('admin:integrations_integration_change', args=[wrong[0].pk])}#id_secret"


def _headline(
    facts: overview_headline.Facts, promised: promise.Promise, enter_key: str
) -> overview_headline.Headline:
    log = reverse("admin:events_eventlog_changelist")
    return overview_headline.headline(
        facts,
        see=f"{log}?result={log_filters.NOT_IN}",
        see_ended=f"{log}?result={log_filters.ENDED}",
        enter_key=enter_key,
        buyers=promised.buyers,
        all_buyers=promised.all_buyers,
        on_the_way=promised.on_the_way,
        more_bought=promised.more_bought,
        purchases=promised.purchases,
        ended=promised.ended,
        undone=promised.undone,
    )


def _facts(sites: list[Integration], problems: list[Problem]) -> overview_headline.Facts:
    """Return the facts of the headline, without those that are found for the page anyway."""
    unread = history.unread()
    failed, held = dashboard.failed_and_held()
    on = [site for site in sites if site.enabled]
    closed = [site for site in on if site.connection == Integration.Connection.REFUSED]
    refused = _refused(sites)
    not_let_in = [site for site in refused if site.not_let_in]
    denied = [site for site in refused if site.denied]
    return overview_headline.Facts(
        silent=Worker.objects.are_silent(),
        rejected=_names(site for site in refused if site not in [*not_let_in, *denied]),
        not_let_in=_names(not_let_in),
        denied=_names(denied),
        unsigned=_names(site for site in closed if site not in refused),
        unreachable=_names(
            site for site in on if site.connection == Integration.Connection.UNREACHABLE
        ),
        problems=tuple(dict.fromkeys(str(each.kind.title) for each in problems)),
        history=history.sentence(unread) if unread else "",
        stranded=0 if unread else dashboard.stranded(),
        failed=failed,
        held=held,
        not_understood=dashboard.not_understood(),
        expiring=sum(
            bool(credentials.expiry_warning(site, timezone.localdate())) for site in sites
        ),
    )


def _refused(sites: Iterable[Integration]) -> list[Integration]:
    """Return the schools that are on and do not let Admit in."""
    refused = Integration.Connection.REFUSED
    on = [site for site in sites if site.enabled and site.connection == refused]
    return [site for site in on if app_registry.of(site).has_catalog]


def _names(sites: Iterable[Integration]) -> tuple[str, ...]:
    return tuple(brief(site) for site in sites)


def _with_reasons(runs: list[RuleRun]) -> list[tuple[RuleRun, str]]:
    """Return each action with what went wrong, in plain words."""
    told = wait_reasons.reasons(runs)
    return [(run, told[run.pk]) for run in runs]

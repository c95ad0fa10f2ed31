"""Actions that wait: how many there are, and how long they will take."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from events.models import EventLog, RuleRun, Worker
from events.models.runs import DELAYED, RuleRunQuerySet
from events.reports import counting
from events.reports.action_lists import in_line
from integrations import app_registry
from integrations.calls import rate_limit
from integrations.models import Integration
from integrations.sentences import Said, joined, say, say_count
from rules import actions

CALLS_PER_RUN = 2
# Calls a minute to expect where no limit is set: about ten are served at once.
UNLIMITED = 600
# A retry within this time counts as going on now.
SOON = timedelta(minutes=1)


def waiting(integration: Integration | None = None, *, planned: bool = False) -> int:
    """Return how many actions wait, at one site or at all; counted up to counting.MAX_COUNT.

    Endings of a later day do not wait, they are planned: they count only if `planned`.
    """
    every = RuleRun.objects.filter(status=RuleRun.Status.WAITING)
    runs = every if planned else in_line(every)
    if integration is not None:
        runs = runs.filter(integration=integration)
    return counting.count(runs)


def oldest_due_seconds() -> float | None:
    """Return for how many seconds the longest due action has been due; None if none is due."""
    oldest = RuleRun.objects.due().aggregate(at=Min("next_attempt_at"))["at"]
    return None if oldest is None else max(0.0, (timezone.now() - oldest).total_seconds())


@dataclass(frozen=True, slots=True)
class WaitingCounts:
    """How many actions wait, and how many of them cannot go on now, by reason.

    Of more than counting.MAX_COUNT that wait, only so many are looked at.
    """

    waiting: int = 0
    off: int = 0  # their site is turned off
    rejected: int = 0  # their site's key is rejected
    paused: int = 0  # their site is paused
    later: int = 0  # tried again at a time of their own
    ends: int = 0  # endings that wait for a later day; they are not in `waiting`

    @property
    def now(self) -> int:
        return max(0, self.waiting - self.off - self.rejected - self.paused - self.later)


def waiting_counts(sites: Iterable[Integration]) -> WaitingCounts:
    """Return how many actions wait, and for what.

    `sites` must be all integrations.
    """
    ends = counting.count(RuleRun.objects.of_a_later_day())
    some = in_line(RuleRun.objects.all()).order_by().values("pk")[: counting.MAX_COUNT]
    counted = RuleRun.objects.filter(pk__in=some).order_by()
    # Our clock is exact enough, and SQLite would add to its own once for each action.
    not_due = Count("pk", filter=Q(next_attempt_at__gt=timezone.now() + SOON))
    by_site = list(counted.values_list("integration").annotate(all=Count("pk"), later=not_due))
    if not by_site:
        return WaitingCounts(ends=ends)
    runs = Counter({site: number for site, number, _ in by_site})
    later = Counter({site: number for site, _, number in by_site})
    every = {site.pk: site for site in sites}
    off = {pk for pk, site in every.items() if not site.enabled}
    refused = {pk for pk, site in every.items() if site.connection == site.Connection.REFUSED}
    rejected = refused - off
    open_now = rate_limit.open_sites() - rejected
    return WaitingCounts(
        runs.total(),
        off=sum(runs[site] for site in off),
        rejected=sum(runs[site] for site in rejected),
        paused=sum(runs[site] for site in every.keys() - off - rejected - open_now),
        later=sum(later[site] for site in open_now),
        ends=ends,
    )


@dataclass(frozen=True, slots=True)
class IntegrationOff:
    """An integration that is off, and what happens as soon as it is turned on."""

    integration: Integration
    then: str


def turned_off(runs: Iterable[RuleRun]) -> list[IntegrationOff]:
    """Return the integrations that are off and for which some of these actions wait."""
    keeping = {
        run.integration.pk: run.integration
        for run in runs
        if run.status == RuleRun.Status.WAITING and not run.is_pending
        if run.integration is not None and not run.integration.enabled
    }
    return [IntegrationOff(each, when_on_sentence(each)) for each in keeping.values()]


@dataclass(frozen=True, slots=True)
class KeptOut:
    """What keeps buyers out until a person acts.

    `refused` are integrations that are on and whose key is refused, `off` those that are off.
    `waiting` are all actions to give access that wait for such an integration.
    """

    refused: Sequence[Integration]
    off: Sequence[IntegrationOff]
    waiting: RuleRunQuerySet


def kept_out(events: QuerySet[EventLog]) -> KeptOut:
    """Return the integrations for which actions of these events wait that are to give access.

    Takes two queries, and one for each integration that is off.
    """
    waits = RuleRun.objects.filter(
        status=RuleRun.Status.WAITING, action__in=actions.giving_access()
    ).order_by()
    closed = Integration.objects.filter(
        Q(enabled=False) | Q(connection=Integration.Connection.REFUSED)
    )
    sites = list(closed.order_by("name", "pk"))
    waits = waits.filter(integration__in=sites)
    keeping = set(
        waits.filter(event__in=events.values("pk")).values_list("integration", flat=True).distinct()
        if sites
        else ()
    )
    found = [site for site in sites if site.pk in keeping]
    return KeptOut(
        [site for site in found if site.enabled],
        [IntegrationOff(site, when_on_sentence(site)) for site in found if not site.enabled],
        waits,
    )


def when_on_sentence(integration: Integration) -> str:
    """Return "When it is on, 2 buyers get access."; "" if nothing waits for it."""
    waits = RuleRun.objects.filter(status=RuleRun.Status.WAITING, integration=integration)
    rows = list(waits.order_by().values_list("action", "code", "customer")[: counting.MAX_COUNT])
    gives, ends = actions.giving_access(), actions.ending_access()
    now = [action for action, code, _ in rows if code != DELAYED]
    buyers = len({customer for action, _, customer in rows if action in gives})
    ended, later = sum(action in ends for action in now), len(rows) - len(now)
    sent = sum(action not in gives and action not in ends for action in now)
    clauses = [
        buyers and say_count(buyers, "1 buyer gets access", "{number} buyers get access"),
        ended and say_count(ended, "1 action ends access", "{number} actions end access"),
        sent and say_count(sent, "1 message is sent", "{number} messages are sent"),
        later
        and say_count(
            later,
            "1 action ends access on a later day",
            "{number} actions end access on a later day",
        ),
    ]
    return say("When it is on, {what}.", what=joined(clauses, by=", ")) if rows else ""


def time_needed(runs: int, integration: Integration | None = None) -> Said:
    """Return how long the integration takes for this many actions, such as "about 1 minute".

    By default it is a Thinkific site, with two calls for each action.
    """
    app = app_registry.of(integration) if integration else app_registry.THINKIFIC
    calls = app.calls_per_minute() or UNLIMITED
    minutes = max(1, math.ceil(runs * (CALLS_PER_RUN if app.has_catalog else 1) / calls))
    time = _time(minutes)
    if runs >= counting.MAX_COUNT:
        return say("over {time}", time=time)
    return say("about {time}", time=time)


def _time(minutes: int) -> Said:
    if minutes < 100:
        return say_count(minutes, "1 minute", "{number} minutes")
    hours = round(minutes / 60)
    if hours < 48:
        return say_count(hours, "1 hour", "{number} hours")
    return say_count(hours // 24, "1 day", "{number} days")


def goes_on_sentence(runs: int, integration: Integration | None = None) -> str:
    """Say that this many waiting actions go on, once a worker has been woken.

    Return "37 waiting actions continue now, about 1 minute."; "" for none. No time is given
    while no worker runs.
    """
    if not runs:
        return ""
    if Worker.objects.are_silent():
        return say_count(
            runs,
            "1 waiting action continues as soon as a worker runs.",
            "{number} waiting actions continue as soon as a worker runs.",
            number=counting.format_count(runs),
        )
    return say_count(
        runs,
        "1 waiting action continues now, {time}.",
        "{number} waiting actions continue now, {time}.",
        number=counting.format_count(runs),
        time=time_needed(runs, integration),
    )

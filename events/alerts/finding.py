"""Find what is wrong now. Each cause has a check made of cheap queries; `find` does them all."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Exists, Min, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from events.alerts import silence
from events.alerts.problems import Problem, ProblemCode
from events.models import Alert, AlertRound, Canary, Delivery, EventLog, RuleRun, Worker
from events.models.runs import BRAKED
from events.receiving import disk, spool_contents
from events.reports.changed_rules import refunded
from events.reports.owed import promise
from integrations import app_registry
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration, Marketplace
from rules.triggers import Trigger

log = logging.getLogger(__name__)
Status = RuleRun.Status
# At most this many rows are looked at to count actions or people.
MAX_COUNT = 1000
# How many days before a token ends people are told, once for each number.
TOKEN_STAGES = (14, 7, 1)
BACKUP_AGE = timedelta(hours=26)
_UNDONE = RuleRun.objects.filter(status__in=[Status.FAILED, Status.HELD])
_SALES = EventLog.objects.filter(trigger=Trigger.PRODUCT_PURCHASED, by_hand="")
_BRAKED = Q(status=Status.HELD, code=BRAKED)


def find(now: datetime | None = None, codes: Iterable[ProblemCode] = ProblemCode) -> list[Problem]:
    """Return all problems with these codes, those that stop sales first.

    They include problems that have not lasted long enough to be told. If a check fails, the others
    are still done, and a problem NOT_CHECKED names its code.
    """
    now = now or timezone.now()
    found = [problem for code in codes if code in CHECKS for problem in _check(code, now)]
    return sorted(found, key=lambda problem: not problem.kind.stops_sales)


def _check(code: ProblemCode, now: datetime) -> list[Problem]:
    try:
        return list(CHECKS[code](now))
    except Exception:
        log.exception("look_failed", extra={"code": code.value})
        return [Problem(ProblemCode.NOT_CHECKED, code.value)]


def lasting(codes: Iterable[ProblemCode] = ProblemCode) -> list[Problem]:
    """Return the problems with these codes that have lasted longer than their kind may.

    Each knows since when it lasts, if it was seen before.
    """
    now = timezone.now()
    alerts = Alert.objects.filter(ended_at=None).values_list("code", "subject", "began_at")
    began = {(code, subject): at for code, subject, at in alerts}
    problems = find(now, codes)
    return [
        replace(each, since=each.since or began.get(each.key))
        for each in problems
        if each.has_lasted(now, began.get(each.key))
    ]


def _no_worker(now: datetime) -> Iterator[Problem]:
    if Worker.objects.are_silent():
        waiting = RuleRun.objects.filter(status=Status.WAITING)
        # If none was ever seen, one has been missing since the first account was made.
        since = (
            Worker.objects.last_seen() or Marketplace.objects.aggregate(at=Min("created_at"))["at"]
        )
        yield Problem(ProblemCode.NO_WORKER, since=since, buyers=_people(waiting))


def _keys_refused(now: datetime) -> Iterator[Problem]:
    refused = Integration.objects.filter(enabled=True, connection=Integration.Connection.REFUSED)
    for site in refused:
        not_let_in = app_registry.of(site).has_catalog and site.not_let_in
        yield _of_site(
            ProblemCode.KEY_REFUSED, site, never_connected=not_let_in, denied=site.denied
        )


def _paused(now: datetime) -> Iterator[Problem]:
    paused = Integration.objects.filter(enabled=True).exclude(
        connection=Integration.Connection.REFUSED
    )
    closed = CallBudget.objects.exclude(blocked__in=["", CallBudget.Blocked.KEY])
    for site in paused.filter(pk__in=closed.values("pk")):
        yield _of_site(ProblemCode.SITE_PAUSED, site)


def _of_site(code: ProblemCode, site: Integration, **facts: bool) -> Problem:
    waiting = RuleRun.objects.filter(status=Status.WAITING, integration=site)
    about = {"name": site.name, **facts}
    return Problem(code, str(site.pk), buyers=_people(waiting), facts=about)


def _overdue(now: datetime) -> Iterator[Problem]:
    # Sites that are off wait on purpose, and paused ones have a problem of their own.
    due = RuleRun.objects.due().filter(integration__in=rate_limit.open_sites())
    # A literal, because SQLite does not match a parameter with the condition of the index
    # `run_due`: it would read all waiting actions, of which few are due.
    due = due.filter(status=RawSQL("'waiting'", ()))
    unread = Delivery.objects.filter(state=Delivery.State.NEW)
    oldest = [
        due.aggregate(at=Min("next_attempt_at"))["at"],
        unread.aggregate(at=Min("received_at"))["at"],
    ]
    since = min((at for at in oldest if at is not None), default=None)
    if since is not None:
        yield Problem(ProblemCode.OVERDUE, since=since, buyers=_people(due))


def _spooled(now: datetime) -> Iterator[Problem]:
    try:
        since, files = spool_contents.oldest(), spool_contents.files()["waiting"]
    except OSError:
        return  # /readyz says so
    if since is not None:
        yield Problem(ProblemCode.SPOOL_WAITS, since=since, facts={"files": files})


def _disks(now: datetime) -> Iterator[Problem]:
    for each in disk.disks():
        if each.is_low:
            facts = {
                "what": each.what,
                "free_mb": each.free // disk.MB,
                "given_up": each.given_up,
            }
            yield Problem(
                ProblemCode.DISK_LOW, str(each.folder)[:200], stage=each.given_up, facts=facts
            )


def _canaries(now: datetime) -> Iterator[Problem]:
    # One may fail by chance, and is soon tried again.
    failing = Canary.objects.filter(failures__gte=2).select_related("marketplace")
    for each in failing if settings.CANARY else ():
        host = urlsplit(settings.PUBLIC_URL).hostname
        facts = {"name": each.marketplace.name, "host": host, "step": each.step}
        yield Problem(
            ProblemCode.CANARY_FAILED, str(each.pk), facts=facts | {"detail": each.detail}
        )


def _silence(now: datetime) -> Iterator[Problem]:
    for account in silent_accounts(now):
        if found := silence_of(account, now):
            facts = {"name": account.name, "usual": round(found.usual, 1)}
            yield Problem(ProblemCode.SILENCE, str(account.pk), since=found.last, facts=facts)


def silent_accounts(now: datetime) -> QuerySet[Marketplace]:
    """Return the accounts without a recent sale. The others need no closer, slower look."""
    lately = _SALES.filter(
        marketplace=OuterRef("pk"), received_at__gt=now - silence.SHORTEST, received_at__lte=now
    )
    return Marketplace.objects.filter(~Exists(lately)).order_by("pk")


def silence_of(account: Marketplace, now: datetime) -> silence.Silence | None:
    """Return the account's silence if it is unusual and the owner has not called it right."""
    last = _sales_of(account.pk).values_list("received_at", flat=True).first()
    right = AlertRound.objects.values_list("right_silences", flat=True).first() or {}
    said_at = right.get(str(account.pk))
    if last is None or (said_at and datetime.fromisoformat(said_at) >= last):
        return None
    zone = timezone.get_current_timezone()
    habit = habit_of(account.pk, last, zone)
    return habit.judge(now.astimezone(zone)) if habit else None


# Kept, because it is learned from up to 20,000 sales and changes with the next one only.
@lru_cache(maxsize=64)
def habit_of(account: int, last: datetime, zone: tzinfo) -> silence.Habit | None:
    """Return the habit of the account with this ID until its last sale."""
    times = _sales_of(account).filter(
        received_at__gte=last - silence.LOOKED_BACK, received_at__lte=last
    )
    newest = times.values_list("received_at", flat=True)[: silence.MOST_SALES]
    return silence.learn([at.astimezone(zone) for at in reversed(newest)])


def _sales_of(account: int) -> QuerySet[EventLog]:
    return _SALES.filter(marketplace=account).order_by("-received_at")


def _nothing_given(now: datetime) -> Iterator[Problem]:
    bought = promise.unfulfilled()
    if first := bought.aggregate(at=Min("received_at"))["at"]:
        yield Problem(ProblemCode.NOTHING_GIVEN, since=first, buyers=_people(bought))


def _refunded(now: datetime) -> Iterator[Problem]:
    # What a rule gave again at the refund was wanted, so it is no alarm.
    if found := [each for each in refunded.refunded_with_access() if not each.again]:
        buyers = {grant.customer_id for each in found for grant in each.grants}
        first = min(each.refund.received_at for each in found)
        yield Problem(ProblemCode.REFUNDED_STILL_IN, since=first, buyers=len(buyers))


def _needs_a_person(now: datetime) -> Iterator[Problem]:
    return _by_runs(ProblemCode.NEEDS_A_PERSON, _UNDONE.exclude(_BRAKED))


def _brake(now: datetime) -> Iterator[Problem]:
    return _by_runs(ProblemCode.BRAKE_ON, _UNDONE.filter(_BRAKED))


def _by_runs(code: ProblemCode, runs: QuerySet[RuleRun]) -> Iterator[Problem]:
    number = runs.order_by()[:MAX_COUNT].count()
    if number:
        yield Problem(code, buyers=_people(runs), facts={"actions": number})


def _tokens(now: datetime) -> Iterator[Problem]:
    today = timezone.localdate(now)
    sites = Integration.objects.filter(enabled=True, secret_expires_on__isnull=False)
    for site in sites.filter(secret_expires_on__lte=today + timedelta(days=TOKEN_STAGES[0])):
        assert site.secret_expires_on
        days = (site.secret_expires_on - today).days
        stage = sum(days <= each for each in TOKEN_STAGES)
        facts = {"name": site.name, "on": site.secret_expires_on.isoformat(), "days": days}
        yield Problem(ProblemCode.TOKEN_ENDS, str(site.pk), stage=stage, facts=facts)


def _backups(now: datetime) -> Iterator[Problem]:
    made = last_backup()
    if made is not None and now - made > BACKUP_AGE:
        yield Problem(ProblemCode.BACKUP_OLD, since=made, facts={"made_at": made.isoformat()})


def last_backup() -> datetime | None:
    """Return when the last good backup was made; None if `manage.py backup` left no record."""
    try:
        told = json.loads((Path(settings.BACKUP_DIR) / "last.json").read_text())
        return datetime.fromisoformat(told["made_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _people(rows: QuerySet[RuleRun] | QuerySet[EventLog]) -> int:
    newest = rows.order_by("-received_at").values_list("customer", flat=True)
    return len(set(newest[:MAX_COUNT]))


CHECKS: dict[ProblemCode, Callable[[datetime], Iterator[Problem]]] = {
    ProblemCode.NO_WORKER: _no_worker,
    ProblemCode.KEY_REFUSED: _keys_refused,
    ProblemCode.SITE_PAUSED: _paused,
    ProblemCode.OVERDUE: _overdue,
    ProblemCode.SPOOL_WAITS: _spooled,
    ProblemCode.DISK_LOW: _disks,
    ProblemCode.CANARY_FAILED: _canaries,
    ProblemCode.SILENCE: _silence,
    ProblemCode.NOTHING_GIVEN: _nothing_given,
    ProblemCode.REFUNDED_STILL_IN: _refunded,
    ProblemCode.NEEDS_A_PERSON: _needs_a_person,
    ProblemCode.BRAKE_ON: _brake,
    ProblemCode.TOKEN_ENDS: _tokens,
    ProblemCode.BACKUP_OLD: _backups,
}

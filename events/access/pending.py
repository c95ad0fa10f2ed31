"""Endings that wait: for their day, or for a person if there are too many of them at once.

Nothing is decided on them yet, so the access stays and any payment in the meantime counts.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, time, timedelta

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from events.access.book import log_of
from events.access.ledger import Change
from events.access.sale import Sale
from events.models import EventLog, Grant, RuleRun
from events.models.event_status import refresh_event
from events.models.runs import BRAKED, DELAYED, RuleRunQuerySet
from integrations.sentences import YEAR, Said, format_day, say, say_count
from integrations.who import shown_who
from rules import actions
from rules.triggers import RENEWS, Trigger

Status = RuleRun.Status
# The code of an ending that a person replaced by another decision.
REPLACED = "replaced"
# A day further ahead than this is a typing mistake.
MOST_YEARS = 10
AN_HOUR = timedelta(hours=1)


def wait(
    event: EventLog, run: RuleRun, change: Change, rows: Sequence[Grant], *, right: bool
) -> bool:
    """Make the run wait if it is an ending that must wait, and return whether it does.

    The runs of earlier events must have been written. If a person called it `right`, it waits only
    for its day, however many endings there are.
    """
    if not run.spec.ends_access:
        return False
    known = [row for row in rows if row.opened_at or change.touches(row)]
    touched = [row for row in known if row.is_active and change.touches(row)]
    open_rows = [row for row in touched if not row.is_kept_after(change.at)]
    if known and not open_rows and not run.ends_all:
        return False  # it would end nothing
    if days := run.rule.delay_days if run.rule else run.delay_days:
        end_on(run, event.received_at + timedelta(days=days))
        run.grant = next((row for row in open_rows if row.pk), None)
        return True
    if not right and settings.ENDINGS_AN_HOUR and _around(run) >= settings.ENDINGS_AN_HOUR:
        run.status, run.code, run.next_attempt_at = Status.HELD, BRAKED, None
        run.message = say_count(
            settings.ENDINGS_AN_HOUR,
            "More than 1 action was about to end access within an hour, so this one waits for a "
            "person. Release it if it is right.",
            "More than {number} actions were about to end access within an hour, so this one "
            "waits for a person. Release it if it is right.",
        )
        return True
    return False


def end_on(run: RuleRun, ends_at: datetime) -> None:
    """Let an ending by a rule wait until this moment. The run is not saved."""
    run.code, run.next_attempt_at = DELAYED, ends_at
    run.message = say(
        "The access ends on {day}, unless it is paid for again by then.", day=format_day(ends_at)
    )


def wait_until(run: RuleRun, last: date) -> None:
    """Let an ending that a person decided wait until the end of this day in TIME_ZONE.

    Raises ValueError with a sentence if the day is over or too far ahead.
    """
    today = timezone.localdate()
    if last < today:
        over = format_day(last, YEAR)
        raise ValueError(say("{day} is over. Choose today or a later day.", day=over))
    if last.year > today.year + MOST_YEARS:
        raise ValueError(say("Choose a day within the next {years} years.", years=MOST_YEARS))
    ends_at = timezone.make_aware(datetime.combine(last, time(23, 59, 59)))
    run.code, run.next_attempt_at = DELAYED, ends_at
    run.message = say("The access ends on {day}, as a person decided.", day=format_day(ends_at))


def by_hand(customers: Collection[int], integration: int, target: str) -> RuleRunQuerySet:
    """Return the endings of this access that people have set for a day."""
    return RuleRun.objects.delayed().filter(
        customer__in=customers, integration=integration, target=target, event__trigger=None
    )


def replace(runs: Iterable[RuleRun], author: str) -> None:
    """Drop these endings, because a person decided otherwise. Call it under the deciding lock."""
    person = shown_who(author)
    message = say("Nothing was ended: {person} has decided otherwise since.", person=person)
    for run in runs:
        RuleRun.objects.filter(pk=run.pk).end(Status.SKIPPED, REPLACED, message)
        refresh_event(run.event_id)


def look_again(event: EventLog) -> None:
    """Have delayed endings of a purchase decided now, because the event pays for it again.

    They must have been written.
    """
    sale = Sale.of(event)
    if event.withdrawn or not sale.is_named:
        return
    before = RuleRun.objects.delayed().filter(_names(sale), received_at__lt=event.received_at)
    same = [run.pk for run in before.select_related("event") if sale.is_same(Sale.of(run.event))]
    RuleRun.objects.filter(pk__in=same).update(next_attempt_at=Now())


def paid_again(event: EventLog) -> Said | None:
    """Say what paid for the event's purchase again since it was received; None if nothing did."""
    for later in log_of(Sale.of(event)):
        if later.trigger in RENEWS and later.received_at > event.received_at:
            what = Trigger(str(later.trigger)).wording.happening
            return say("{what} on {day}", what=what, day=format_day(later.received_at))
    return None


def _names(sale: Sale) -> Q:
    order = Q(event__order_id=sale.order_id) if sale.order_id else Q()
    subscription = sale.subscription_id
    return order | Q(event__subscription_id=subscription) if subscription else order


def _around(run: RuleRun) -> int:
    """Count the site's other endings that came within an hour of this one.

    Those that wait or were skipped are left out. The times of receipt decide, so that the same
    endings are held whether they are read at once or after an outage.
    """
    around = RuleRun.objects.filter(
        integration=run.integration,
        action__in=actions.ending_access(),
        received_at__range=(run.received_at - AN_HOUR, run.received_at + AN_HOUR),
        customer__isnull=False,  # without a customer it ended nothing
    )
    waits = Q(status__in=[Status.SKIPPED, Status.HELD]) | Q(code=DELAYED)
    return around.exclude(waits | Q(pk=run.pk)).count()

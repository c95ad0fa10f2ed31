"""Endings that wait: for their day, or for a person where there are too many of them at once.

Nothing is decided on them before, so the access stays and whatever is paid meanwhile counts.
"""

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from events.access.ledger import Change
from events.access.sentences import day
from events.models import EventLog, Grant, RuleRun
from events.models.runs import DELAYED
from rules.actions import ACTIONS
from rules.triggers import Trigger

Status = RuleRun.Status
BRAKED = "braked"
AN_HOUR = timedelta(hours=1)


def wait(event: EventLog, run: RuleRun, change: Change, rows: Sequence[Grant]) -> bool:
    """Whether the run is an ending that waits; then it says for what.

    The runs of earlier events must be written.
    """
    if not run.spec.ends_access:
        return False
    open_rows = [row for row in rows if row.is_active and change.touches(row)]
    if rows and not open_rows and not run.ends_all:
        return False  # it ends nothing
    if run.rule is not None and run.rule.delay_days:
        ends_at = event.received_at + timedelta(days=run.rule.delay_days)
        run.code, run.next_attempt_at = DELAYED, ends_at
        run.message = f"The access ends on {day(ends_at)}, unless it is paid for again by then."
        run.grant = next((row for row in open_rows if row.pk), None)
        return True
    if settings.ENDINGS_AN_HOUR and _lately(run) >= settings.ENDINGS_AN_HOUR:
        run.status, run.code, run.next_attempt_at = Status.HELD, BRAKED, None
        run.message = (
            f"More than {settings.ENDINGS_AN_HOUR} accesses were to end within an hour, so this "
            "one waits for a person. Release it if it is right."
        )
        return True
    return False


def look_again(rows: Sequence[Grant], event: EventLog) -> None:
    """The purchase is paid for again: what waited to end it is decided now, and falls away."""
    known = [row.pk for row in rows if row.pk]
    if event.trigger != Trigger.PRODUCT_PURCHASED and known:
        waiting = RuleRun.objects.filter(status=Status.WAITING, code=DELAYED, grant__in=known)
        waiting.update(next_attempt_at=Now())


def _lately(run: RuleRun) -> int:
    """How many endings of the site the last hour brought."""
    ending = [spec.key for spec in ACTIONS.values() if spec.ends_access]
    lately = RuleRun.objects.filter(
        integration=run.integration, action__in=ending, received_at__gte=timezone.now() - AN_HOUR
    )
    return lately.exclude(status__in=[Status.SKIPPED, Status.HELD]).exclude(code=DELAYED).count()

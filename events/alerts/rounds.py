"""Look for problems: begin, continue and end alerts, and queue messages about them.

Nothing is sent here. A process claims the round's row before it looks, so that only one of several
workers and `up`s looks in each interval of ALERT_SECONDS.
"""

import logging
from datetime import datetime, time, timedelta
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from events.alerts import finding, wording
from events.alerts.problems import KINDS, Problem, ProblemCode
from events.models import Alert, AlertChannel, AlertMessage, AlertRound
from integrations.models import Marketplace

log = logging.getLogger(__name__)
# A problem that comes back within this time was never over.
QUIET = timedelta(minutes=5)
# In the time zone of the installation.
DIGEST_AT = time(8, 0)


def begin() -> None:
    """Schedule the first look for one interval from now, unless that was done before."""
    AlertRound.objects.get_or_create(pk=AlertRound.ONLY, defaults={"next_at": Now() + _every()})


def due() -> QuerySet[AlertRound]:
    """Return the one row if it is time to look again, else no row."""
    return AlertRound.objects.filter(next_at__lte=Now())


def overdue() -> bool:
    """Whether two looks were missed, so that no worker can be looking."""
    return not AlertRound.objects.filter(next_at__gt=Now() - 2 * _every()).exists()


def look() -> bool:
    """Look for problems if it is time. Return whether it was."""
    AlertRound.objects.get_or_create(pk=AlertRound.ONLY)
    if not AlertRound.objects.filter(next_at__lte=Now()).update(next_at=Now() + _every()):
        return False
    # By the database's clock, because the clocks of machines may differ.
    now = AlertRound.objects.values_list(Now(), flat=True).get(pk=AlertRound.ONLY)
    problems = finding.find(now)
    with transaction.atomic():
        # Lock it: a look may take longer than the interval, and then two would write at once.
        row = AlertRound.objects.select_for_update().get(pk=AlertRound.ONLY)
        channels = _channels()
        _note(problems, channels, now)
        _end(channels, now)
        _digest(row, channels, now)
    return True


def _every() -> timedelta:
    return timedelta(seconds=settings.ALERT_SECONDS)


def anybody_is_notified() -> bool:
    """Return whether anybody is notified when something goes wrong."""
    if settings.EMAIL_HOST and _owners_without_mail_channel().exists():
        return True  # they get mail from the next round on
    return _usable_channels().exists()


def _channels() -> list[AlertChannel]:
    """Return the channels that are on. Owners get mail unless they turned it off."""
    without = _owners_without_mail_channel()
    # The Alerts page may make the same row at this moment.
    AlertChannel.objects.bulk_create(
        [AlertChannel(person=owner, kind=AlertChannel.Kind.EMAIL) for owner in without],
        ignore_conflicts=True,
    )
    return list(_usable_channels().select_related("person"))


def _owners_without_mail_channel() -> QuerySet[User]:
    owners = User.objects.filter(is_superuser=True, is_active=True)
    return owners.exclude(alert_channels__kind=AlertChannel.Kind.EMAIL)


def _usable_channels() -> QuerySet[AlertChannel]:
    """Return the channels that are on; without a mail server no mail."""
    on = Q(enabled=True) | Q(enabled=None, person__is_superuser=True)
    found = AlertChannel.objects.filter(on, person__is_active=True)
    mail = [AlertChannel.Kind.EMAIL] if not settings.EMAIL_HOST else []
    return found.exclude(kind__in=mail)


def _note(problems: list[Problem], channels: list[AlertChannel], now: datetime) -> None:
    # If a check failed, its open alerts stay open: we do not know that they are over.
    unknown = [each.subject for each in problems if each.code is ProblemCode.NOT_CHECKED]
    _open().filter(code__in=unknown).update(seen_at=now)
    opened = {(each.code, each.subject): each for each in Alert.objects.filter(ended_at=None)}
    for problem in problems:
        alert = opened.get(problem.key) or Alert(
            code=problem.code, subject=problem.subject, began_at=problem.since or now
        )
        worse = problem.stage > alert.stage
        alert.seen_at, alert.facts, alert.buyers = now, problem.facts, problem.buyers
        alert.stage = problem.stage
        announce = problem.has_lasted(now, alert.began_at)
        if announce and (worse or alert.announced_at is None):
            alert.announced_at = now
            alert.save()
            log.warning("alert_began", extra={"code": alert.code, "subject": alert.subject})
            _queue_beginning(problem, alert, channels)
        else:
            alert.save()


def _end(channels: list[AlertChannel], now: datetime) -> None:
    """End alerts not seen for QUIET. Those that nobody was told of are deleted at once."""
    gone = _open().filter(seen_at__lt=now)
    gone.filter(announced_at=None).delete()
    for alert in gone.filter(seen_at__lt=now - QUIET):
        alert.ended_at = alert.seen_at
        alert.save(update_fields=["ended_at"])
        log.info("alert_over", extra={"code": alert.code, "subject": alert.subject})
        _queue(AlertMessage.What.OVER, alert, channels, wording.over(alert))


def _digest(row: AlertRound, channels: list[AlertChannel], now: datetime) -> None:
    """Queue the digest of open alerts once a day, if there are any."""
    today = timezone.localtime(now)
    if row.digest_on == today.date() or today.time() < DIGEST_AT:
        return
    row.digest_on = today.date()
    row.save(update_fields=["digest_on"])
    announced = _open().filter(announced_at__isnull=False).order_by("began_at")
    # If people were told of all of them within the last hour, they need no digest.
    if not announced.filter(announced_at__lt=now - timedelta(hours=1)).exists():
        return
    found = list(announced)
    for channel in channels:
        mine = [alert for alert in found if channel.wants(alert.code)]
        if channel.digest and mine:
            _write(AlertMessage.What.DIGEST, None, channel, wording.digest(mine))


def _queue_beginning(problem: Problem, alert: Alert, channels: list[AlertChannel]) -> None:
    for channel in channels:
        text = wording.began(problem, may_fix=problem.may_fix(channel.person))
        _queue(AlertMessage.What.BEGAN, alert, [channel], text)


def _queue(
    what: AlertMessage.What, alert: Alert, channels: list[AlertChannel], text: wording.MessageText
) -> None:
    for channel in channels:
        if channel.wants(alert.code):
            _write(what, alert, channel, text)


def _write(
    what: AlertMessage.What, alert: Alert | None, channel: AlertChannel, text: wording.MessageText
) -> None:
    AlertMessage.objects.create(
        what=what,
        alert=alert,
        channel=channel,
        subject=text.subject,
        text=text.body,
        uuid=uuid4(),
        next_attempt_at=Now(),
    )


def silence_is_right(account: Marketplace) -> bool:
    """Send no alert about the account's silence until its next sale. False if it is not silent."""
    found = finding.silence_of(account, timezone.now())
    if found is None:
        return False
    AlertRound.objects.get_or_create(pk=AlertRound.ONLY)
    with transaction.atomic():
        row = AlertRound.objects.select_for_update().get(pk=AlertRound.ONLY)
        row.right_silences[str(account.pk)] = found.last.isoformat()
        row.save(update_fields=["right_silences"])
    return True


def open_alerts() -> list[Alert]:
    """Return the alerts that were announced and are not over, oldest first."""
    return list(_open().filter(announced_at__isnull=False).order_by("began_at"))


def _open() -> QuerySet[Alert]:
    """Return alerts that are not over. Codes of a newer version are left alone."""
    return Alert.objects.filter(ended_at=None, code__in=KINDS)

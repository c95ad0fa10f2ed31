"""Recover runs whose worker died, and end runs that can never be carried out."""

import logging

from django.db import transaction
from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.execution.claiming import CRASHES_BESIDE_OTHERS
from events.models import RuleRun
from events.models.event_status import refresh_event
from integrations.sentences import SentenceField, say, say_count

log = logging.getLogger(__name__)
Status = RuleRun.Status
# Beside others first, then alone (see `claiming`), so that a run that was only near the trouble, or
# was killed by chance, does not end here.
CRASHES_ALLOWED = CRASHES_BESIDE_OTHERS + 3
_SITE_DELETED = _(
    "The integration was deleted before this could be carried out. "
    "Do it by hand if it is still wanted."
)
_CUSTOMER_DELETED = _(
    "The customer was deleted before this could be carried out. "
    "Do it by hand if it is still wanted."
)


def revive() -> int:
    """Give back runs whose worker died, and end those that can never be carried out.

    Returns how many leases had lapsed.
    """
    lapsed = list(RuleRun.objects.lapsed().values_list("pk", "event"))
    for pk, event in lapsed:
        with transaction.atomic():
            _give_back(RuleRun.objects.lapsed().filter(pk=pk))
            refresh_event(event)
    if lapsed:
        log.warning("leases_lapsed", extra={"count": len(lapsed)})
    orphans = RuleRun.objects.orphaned().values_list("pk", "event", "integration")
    for pk, event, integration in list(orphans):
        with transaction.atomic():
            why = _SITE_DELETED if integration is None else _CUSTOMER_DELETED
            orphan = RuleRun.objects.orphaned().filter(pk=pk)
            orphan.end(Status.FAILED, "deleted", say(why))
            refresh_event(event)
    return len(lapsed)


def _give_back(lapsed: QuerySet[RuleRun]) -> None:
    too_often = say_count(
        CRASHES_ALLOWED,
        "Admit stopped once while it carried this out. Call your technician, then retry.",
        "Admit stopped {number} times while it carried this out. Call your technician, then retry.",
    )
    once_more = say("Admit stopped while it carried this out; it continues by itself.")
    last = {"crashes__gte": CRASHES_ALLOWED - 1}
    lapsed.update(
        status=Case(When(**last, then=Value(Status.FAILED)), default=Value(Status.WAITING)),
        code="worker_stopped",
        message=Case(
            When(**last, then=Value(too_often, output_field=SentenceField())),
            default=Value(once_more, output_field=SentenceField()),
        ),
        finished_at=Case(When(**last, then=Now()), default=None),
        crashes=F("crashes") + 1,
        lease_token=None,
        lease_until=None,
        next_attempt_at=Case(When(**last, then=None), default=Now()),
    )

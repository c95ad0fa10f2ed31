"""Access from before Admit: what students already had when they bought the course."""

from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from events.access import students
from events.models import Grant, RuleRun
from integrations.models import Customer, Destination
from integrations.sentences import say
from integrations.targets import course_target
from integrations.thinkific.attempt import FoundEnded, FoundOpen
from rules.triggers import Trigger

BECAUSE = "before_admit"
Source = Grant.Source
# Access that began this shortly before the sale was received was given for the sale: SamCart's own
# rules, if they are still on, enroll at the same time as Admit.
AT_THE_SAME_TIME = timedelta(minutes=10)


def record(found: Iterable[tuple[RuleRun, FoundOpen]]) -> None:
    """Keep a grant beside the purchase for each course that was open before it.

    A refund of the purchase then leaves what the school had given. Only the run of a Product
    Purchased can tell: any other event continues a purchase for which Admit may have given the
    course. An ending only notes what is older than its purchase (`given_before`). If there is such
    a grant already, and the school has set another end since, the grant gets that end. Call it
    inside a transaction.
    """
    for run, course in found:
        if run.customer is None or run.integration is None or run.grant_id is None:
            continue
        begins = run.event.trigger == Trigger.PRODUCT_PURCHASED or run.spec.ends_access
        if not (begins or course.until) or course.since > run.received_at - AT_THE_SAME_TIME:
            continue
        target = course_target(course.course)
        same = students.same_user(run.integration.pk, run.customer)
        mine = list(Grant.objects.filter(integration=run.integration, customer__in=same))
        by_us = [row for row in mine if is_by_us(row)]
        by_us = [row for row in by_us if target in row.parts or _gives(run, row)]
        before = [row for row in mine if row.source == Source.BEFORE and row.target == target]
        if any(row.is_active for row in before):
            # Admit gives access without an end, so an end can only be the school's.
            if course.until and not any(row.is_active for row in by_us):
                Grant.objects.active().filter(pk__in=[row.pk for row in before]).update(
                    until=course.until
                )
        elif begins and not by_us:
            _add(run, target, course)


def _add(run: RuleRun, target: str, course: FoundOpen) -> None:
    """Add the grant for a course that the run found open, if there is none."""
    name = run.destination_name
    if run.target != target:  # one of the bundle's courses
        known = Destination.objects.of_target(run.integration_id, target).first()
        name = known.name if known else say("Course {number}", number=str(course.course))
    Grant.objects.get_or_create(
        source=Source.BEFORE,
        customer=run.customer,
        integration=run.integration,
        target=target,
        defaults={
            "name": name,
            "state": Grant.State.ACTIVE,
            "because": BECAUSE,
            "decided_at": timezone.now(),
            "opened_at": timezone.now(),
            "seen_at": timezone.now(),
            "until": course.until,
        },
    )


def forget(found: Iterable[tuple[RuleRun, FoundEnded]]) -> None:
    """Drop access from before Admit that the school has ended since. Call it in a transaction."""
    for run, course in found:
        if run.customer is None or run.integration is None:
            continue
        same = students.same_user(run.integration.pk, run.customer)
        Grant.objects.active().filter(
            source=Source.BEFORE,
            customer__in=same,
            integration=run.integration,
            target=course_target(course.course),
        ).delete()


def drop_doubles(customer: Customer, other: Customer) -> set[int]:
    """Where both customers have the same access from before Admit, drop one of the two grants.

    An ended one is dropped before an active one, and otherwise the customer's. A grant of the
    customer that has an end stays, and is not compared. Returns the IDs of the dropped grants. Call
    it inside a transaction.
    """
    before = Grant.objects.filter(source=Source.BEFORE)
    own = {(row.integration_id, row.target): row for row in before.filter(customer=other)}
    gone = set()
    for row in before.filter(customer=customer, until=None):
        twin = own.get((row.integration_id, row.target))
        if twin is not None:
            gone.add(twin.pk if row.is_active and not twin.is_active else row.pk)
    before.filter(pk__in=gone).delete()
    return gone


def _gives(run: RuleRun, row: Grant) -> bool:
    """Whether the run gives this, and not only ends it: what it finds open may be from it."""
    return row.pk == run.grant_id and not run.spec.ends_access


def is_by_us(row: Grant) -> bool:
    """Whether Admit has opened it in Thinkific, so that what is found open may be this."""
    return row.source != Source.BEFORE and row.seen_at is not None

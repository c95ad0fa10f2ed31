"""What follows when a person marks a course or bundle as gone, or as there again.

If Thinkific itself says so during an action, no rule stops, because the next sale asks again: see
`rules.actions.enrollments`. A person's mark turns off the rules that give the course.
"""

from collections.abc import Collection

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from events.models import RuleRun
from events.models.event_status import refresh_event
from events.models.runs import RuleRunQuerySet
from integrations import audit
from integrations.audit import Act
from integrations.models import Destination
from integrations.sentences import say
from integrations.targets import Target
from integrations.who import shown_who
from rules import actions, changing
from rules.actions.enrollments import GONE, UNLISTED
from rules.models import Rule

Status = RuleRun.Status


def rules_giving(destination: Destination) -> QuerySet[Rule]:
    """Return the rules that enroll in it, on or off."""
    return Rule.objects.filter(destination=destination, action__in=actions.giving_access())


def mark(destination: Destination, *, by: str) -> tuple[int, int]:
    """Mark it as gone, turn off the rules that give it, and fail the actions that would.

    Returns how many rules and actions that were. Actions being carried out are left to Thinkific's
    answer, and rules that end access go on.
    """
    with transaction.atomic():
        if Destination.objects.filter(pk=destination.pk, gone_at=None).update(gone_at=Now()):
            audit.record(Act.COURSE_GONE, destination)
        rules = changing.switch(rules_giving(destination), on=False)
    message = say(
        "{course} was marked as gone from Thinkific by {person}, so nobody is enrolled in it. "
        "Choose another course for its rules, and retry what failed.",
        course=destination,
        person=shown_who(by),
    )
    runs = 0
    for pk, event in list(open_runs(destination).values_list("pk", "event")):
        with transaction.atomic():
            runs += open_runs(destination).filter(pk=pk).end(Status.FAILED, GONE, message)
            refresh_event(event)
    return rules, runs


def unmark(destination: Destination) -> None:
    """Mark it as there again. Its rules stay as they are."""
    with transaction.atomic():
        gone = Destination.objects.filter(pk=destination.pk, gone_at__isnull=False)
        if gone.update(gone_at=None):
            audit.record(Act.COURSE_BACK, destination)


def remove(destination: Destination) -> bool:
    """Delete an entry made by hand. Return False if it is none, or a rule uses it."""
    with transaction.atomic():
        # Lock it, so that no rule for it is added between the check and the deletion.
        entry = Destination.objects.select_for_update().filter(pk=destination.pk, by_hand=True)
        unused = [row for row in entry if not row.rules.exists()]
        for row in unused:
            audit.record(Act.COURSE_REMOVED, row)
            row.delete()
    return bool(unused)


def is_named(destination: Destination) -> bool:
    """Whether a rule is about it, or a waiting, held or failed action would give it."""
    actions_left = open_runs(destination), failed_by(destination)
    return destination.rules.exists() or any(runs.exists() for runs in actions_left)


def given_by(run: RuleRun) -> QuerySet[Destination]:
    """Return the course or bundle that this action gives, if any."""
    if not run.spec.gives_access or run.destination_id is None:
        return Destination.objects.none()
    return Destination.objects.filter(
        integration=run.integration_id, kind=run.spec.target, external_id=run.destination_id
    )


def among(places: Collection[tuple[int | None, str]]) -> dict[tuple[int | None, str], Destination]:
    """Return those that are gone, by (integration ID, target). Takes one query, none for none."""
    if not places:
        return {}
    numbers = {Target.parse(target).number for _, target in places}
    rows = Destination.objects.filter(
        gone_at__isnull=False,
        integration__in={integration for integration, _ in places},
        external_id__in=numbers,
    )
    found = {(row.integration_id, row.target): row for row in rows}
    return {place: found[place] for place in places if place in found}


def is_gone(run: RuleRun) -> bool:
    """Whether what this action gives is gone, or the action failed as it is no longer listed."""
    gone = Q(gone_at__isnull=False)
    if run.code == UNLISTED:
        gone |= Q(unlisted_at__isnull=False)
    return given_by(run).filter(gone).exists()


def open_runs(destination: Destination) -> RuleRunQuerySet:
    """Return the waiting and held actions that would give it."""
    return _giving(destination).filter(status__in=[Status.WAITING, Status.HELD])


def failed_by(destination: Destination) -> RuleRunQuerySet:
    """Return the failed actions that would have given it."""
    return _giving(destination).filter(status=Status.FAILED)


def _giving(destination: Destination) -> RuleRunQuerySet:
    return RuleRun.objects.filter(
        integration=destination.integration_id,
        target=destination.target,
        action__in=actions.giving_access(),
    )

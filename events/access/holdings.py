"""What a student has access to, and what a person's decision about it ends."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from events.access import ledger, students
from events.access.book import DECIDED
from events.access.ledger import Change, Judgment
from events.models import EventLog, Grant, RuleRun
from integrations.models import Customer, ThinkificUser
from integrations.sentences import say


@dataclass(frozen=True, slots=True)
class Holding:
    """A course or bundle that a student has access to, with all the grants that give it."""

    grants: tuple[Grant, ...]

    @property
    def key(self) -> str:
        """The key by which a person's choice names it."""
        return key_of(self.grants[0])


def key_of(row: Grant | RuleRun) -> str:
    """Return the key of a holding, such as "3 course:501": the integration and the target."""
    return f"{row.integration_id} {row.target}"


def of_customer(customer: Customer) -> list[Holding]:
    """Return what the customer has access to by the ledger, ordered by name.

    This includes the access of other customers who are the same Thinkific user.
    """
    sites = ThinkificUser.objects.filter(customer=customer).values_list("integration", flat=True)
    same = students.same_users((site, customer.pk) for site in sites)
    whom = Q(customer=customer)
    for (site, _), customers in same.items():
        whom |= Q(integration=site, customer__in=customers)
    return of_grants(whom)


def of_grants(whom: Q) -> list[Holding]:
    """Return the same for the active grants among these."""
    active = Grant.objects.active().filter(whom).select_related("integration")
    found: dict[tuple[int, str], list[Grant]] = {}
    for grant in active.order_by("name", "integration", "target", "pk"):
        found.setdefault((grant.integration_id, grant.target), []).append(grant)
    return [Holding(tuple(grants)) for grants in found.values()]


def end(grants: Iterable[Grant], event: EventLog, at: datetime) -> None:
    """End these grants because of a person's event. Call it under the deciding lock."""
    for grant in grants:
        ledger.end_it(grant, Change.by_hand(grant, event, at))
        grant.save(update_fields=DECIDED)


def decide(run: RuleRun, event: EventLog, *, anyway: bool) -> None:
    """Let a person's decision change the ledger, now that its day has come or if wanted `anyway`.

    Call it under the deciding lock. The run is changed, and not saved.
    """
    grant, now = run.grant, timezone.now()
    if not (event.is_gift or event.ends_by_hand):
        return  # no other event by hand changes a grant here
    if run.spec.gives_access:
        if grant is not None and not grant.is_active:
            ledger.open_it(grant, Change.by_hand(grant, event, now))
            grant.save(update_fields=[*DECIDED, "seen_at"])
        return
    ending = [row for row in _meant(run, event) if row.is_active]
    end(ending, event, now)
    if not ending and not anyway:
        message = say("Nothing was ended: the access that it was about had ended before.")
        run.skip(Judgment.ENDED_BEFORE.value, message)


def _meant(run: RuleRun, event: EventLog) -> list[Grant]:
    """Return the grants that a person decided to end.

    For a gift, that is its own grant; otherwise what was open when the person decided, and nothing
    that was given or bought since.
    """
    if event.is_gift:
        return [run.grant] if run.grant else []
    if run.integration_id is None or run.customer is None:
        return []
    same = students.same_user(run.integration_id, run.customer)
    open_then = Grant.objects.filter(
        customer__in=same, integration=run.integration_id, target=run.target
    )
    return list(open_then.filter(opened_at__lte=run.received_at))

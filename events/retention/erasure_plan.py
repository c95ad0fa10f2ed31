"""Say what erasing a person would do, for a human to read before it is done."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from events.models import RuleRun
from events.reports.personal_data.person import Person, look_alikes
from integrations.models import Customer, Integration, ThinkificUser
from integrations.sentences import say, say_count
from rules import actions

# Actions that are not over.
OPEN = ["waiting", "running", "held", "failed"]


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What goes, what stays, what it means for access, and what to do in other systems."""

    goes: tuple[str, ...]
    stays: str
    access: str
    holds: tuple[str, ...]  # the courses and bundles that the person has now
    elsewhere: tuple[str, ...]
    look_alikes: tuple[Customer, ...]


STAYS = _(
    "The type, product, time and outcome of each event and action stay, without anything that says "
    "whose they were. Keyed hashes of the address and the sales stay too: if SamCart sends one of "
    "these sales again, nothing is done. A new purchase is served as usual."
)
NO_ACCESS = _("Admit knows of no access that this person has now.")
ACCESS = _(
    "Thinkific is not touched, so the person keeps this access. Admit forgets it: a later refund "
    "or cancellation can no longer end it. If it is to end, end it first."
)
SAMCART = _("SamCart keeps its own records, and old backups keep theirs until they are deleted.")


def plan(person: Person) -> ErasurePlan:
    """Return what `erase_person.erase` would do now. Changes nothing."""
    active = person.grants().active().select_related("integration").order_by("name", "pk")
    names = (
        say("{course} on {site}", course=grant.name, site=grant.integration) for grant in active
    )
    holds = tuple(dict.fromkeys(names))
    return ErasurePlan(
        tuple(_goes(person)),
        str(STAYS),
        str(ACCESS if holds else NO_ACCESS),
        holds,
        tuple(_elsewhere(person)),
        tuple(look_alikes(person)),
    )


def _goes(person: Person) -> Iterator[str]:
    """Yield a sentence for each kind of row that goes."""
    if number := person.events().count():
        yield say_count(
            number,
            "1 event loses name, address, numbers and notes.",
            "{number} events lose name, address, numbers and notes.",
        )
    if number := person.runs().count():
        yield say_count(
            number,
            "1 action loses customer, message and calls.",
            "{number} actions lose customer, message and calls.",
        )
    if number := person.deliveries().filter(body_removed_at=None).count():
        yield say_count(
            number, "1 payload of SamCart is removed.", "{number} payloads of SamCart are removed."
        )
    if number := person.runs().filter(status__in=OPEN).count():
        yield say_count(
            number,
            "1 open action is not carried out anymore.",
            "{number} open actions are not carried out anymore.",
        )
    if number := person.grants().count():
        yield say_count(number, "1 grant is forgotten.", "{number} grants are forgotten.")
    if number := len(person.customers):
        yield say_count(
            number,
            "1 customer is deleted, with its words in the search.",
            "{number} customers are deleted, with their words in the search.",
        )


def _elsewhere(person: Person) -> list[str]:
    """Return sentences about who else has data of the person, as far as Admit can know."""
    users = ThinkificUser.objects.filter(customer__in=person.customers)
    found: list[str] = [
        say(
            "Student {number} of {site}: delete that account in Thinkific if it is to go.",
            number=str(user.user_id),
            site=user.integration,
        )
        for user in users.select_related("integration").order_by("pk")
    ]
    sent = person.runs().filter(action__in=actions.passing_on(), status=RuleRun.Status.DONE)
    receivers = Integration.objects.filter(pk__in=sent.values("integration")).order_by("name")
    found += [
        say("{receiver} was sent sales of this person: have them erased there.", receiver=receiver)
        for receiver in receivers
    ]
    return [*found, str(SAMCART)]

"""What erasing a person would do, in sentences, to be read first."""

from dataclasses import dataclass

from events.models import RuleRun
from events.reports.person import Person, look_alikes
from integrations.models import Customer, Integration, ThinkificUser
from rules import actions


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What goes, what stays, what it means for access, and what is to be done elsewhere."""

    goes: tuple[str, ...]
    stays: str
    access: str
    holds: tuple[str, ...]  # the courses and bundles that the person has now
    elsewhere: tuple[str, ...]
    look_alikes: tuple[Customer, ...]


STAYS = (
    "The type, product, time and outcome of each event and action stay, without anything that says "
    "whose they were. Keyed hashes of the address and the sales stay too: if SamCart sends one of "
    "these sales again, nothing is done. A new purchase is served as usual."
)
NO_ACCESS = "Admit knows of no access that this person has now."
ACCESS = (
    "Thinkific is not touched, so the person keeps this access. Admit forgets it: a later refund "
    "or cancellation can no longer end it. If it is to end, end it first."
)
SAMCART = "SamCart keeps its own records, and old backups keep theirs until they are deleted."


def plan(person: Person) -> ErasurePlan:
    """What `erase_person.erase` would do now. Changes nothing."""
    active = person.grants().active().select_related("integration").order_by("name", "pk")
    holds = tuple(dict.fromkeys(f"{grant.name} on {grant.integration}" for grant in active))
    waiting = person.runs().filter(status__in=["waiting", "running", "held", "failed"]).count()
    goes = [
        _counted(person.events().count(), "event", "loses name, address, numbers and notes"),
        _counted(person.runs().count(), "action", "loses customer, message and calls"),
        _counted(
            person.deliveries().filter(body_removed_at=None).count(),
            "payload of SamCart",
            "is removed",
        ),
        _counted(waiting, "open action", "is not carried out any more"),
        _counted(person.grants().count(), "grant", "is forgotten"),
        _counted(len(person.customers), "customer", "is deleted, with its words in the search"),
    ]
    return ErasurePlan(
        tuple(filter(None, goes)),
        STAYS,
        ACCESS if holds else NO_ACCESS,
        holds,
        tuple(_elsewhere(person)),
        tuple(look_alikes(person)),
    )


def _elsewhere(person: Person) -> list[str]:
    """Who else has data of the person, as far as Admit can know."""
    users = ThinkificUser.objects.filter(customer__in=person.customers)
    found = [
        f"Student {user.user_id} of {user.integration}: delete that account in Thinkific if it is "
        "to go."
        for user in users.select_related("integration").order_by("pk")
    ]
    sent = person.runs().filter(action__in=actions.passing_on(), status=RuleRun.Status.DONE)
    receivers = Integration.objects.filter(pk__in=sent.values("integration")).order_by("name")
    found += [
        f"{receiver} was sent sales of this person: have them erased there."
        for receiver in receivers
    ]
    return [*found, SAMCART]


def _counted(number: int, noun: str, fate: str) -> str:
    """ "1 event loses its name." or "3 events lose ..."; "" for none."""
    if not number:
        return ""
    if number == 1:
        return f"1 {noun} {fate}."
    plural = noun.replace("payload", "payloads") if " of " in noun else f"{noun}s"
    verb, _, object_ = fate.partition(" ")
    many = {"is": "are", "loses": "lose"}[verb]
    return f"{number:,} {plural} {many} {object_}."

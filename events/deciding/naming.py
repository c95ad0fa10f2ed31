"""Event types that Admit does not know: which wait for a name, and what naming one does."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from events.deciding import inbox
from events.models import EventLog
from events.queue import wake
from integrations import audit
from integrations.audit import Act
from integrations.models import Marketplace
from integrations.samcart.parser import normalize_type
from integrations.sentences import joined, say, say_count
from rules.models import MEANINGS, NOTHING, NamedType
from rules.triggers import Trigger, from_type

LONGEST_TYPE = 100
# How many of the newest events of unknown type to look at.
LATEST = 500


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A type as SamCart last spelled it.

    `events` counts it among the newest events; `last` is when the last one was received.
    """

    raw_type: str
    events: int
    last: datetime


def name_type(marketplace: Marketplace, raw_type: str, trigger: str) -> int:
    """Record which trigger a type means, or NOTHING. Return how many deliveries are read again.

    Raises ValueError with a sentence if the type needs no name, cannot be one, or has another name.
    """
    word = _word(raw_type)
    if trigger not in dict(MEANINGS):
        raise ValueError(say("Choose the trigger that this type means."))
    with transaction.atomic():
        named, is_new = NamedType.objects.get_or_create(
            marketplace=marketplace, type=word, defaults={"trigger": trigger}
        )
        if named.trigger != trigger:
            if named.is_nothing:
                means = say("You said that “{type}” means nothing. Delete that first.", type=word)
            else:
                means = say(
                    "“{type}” is named {trigger} already. Delete that name first.",
                    type=word,
                    trigger=Trigger(named.trigger).label,
                )
            raise ValueError(means)
        if is_new:
            audit.record_added(Act.TYPE_NAMED, [named])
        found = inbox.reread(marketplace.pk, word)
        if found:
            wake.wake()
    return found


def forget(named: NamedType) -> None:
    """Delete the name. What was decided because of it stays as it is.

    Events whose type meant nothing wait for a name again.
    """
    with transaction.atomic():
        audit.record_deleted(Act.TYPE_UNNAMED, [named])
        named.delete()
        if named.is_nothing and inbox.reread(named.marketplace_id, named.type, was_nothing=True):
            wake.wake()


def read_again_sentence(raw_type: str, trigger: str, found: int) -> str:
    """Tell the person who named a type what that did."""
    if trigger == NOTHING:
        return say(
            "“{type}” means nothing to Admit, and you are not asked about it again.",
            type=raw_type.strip(),
        )
    label = Trigger(trigger).label
    what = say("“{type}” now means {trigger}.", type=raw_type.strip(), trigger=label)
    then = say("No event waited for this name; the next one will be understood.")
    if found:
        then = say_count(
            found,
            "1 event that waited is read again: see the log.",
            "{number} events that waited are read again: see the log.",
        )
    return joined([what, then])


def unnamed(marketplace: Marketplace) -> list[Unnamed]:
    """Return the types that wait for a name, latest first, from the newest LATEST such events."""
    waiting = EventLog.objects.filter(
        status=EventLog.Status.UNKNOWN_TYPE,
        marketplace=marketplace,
        delivery__address_trigger="",  # else the address decides
        dealt_with_at=None,
    ).exclude(raw_type="")
    newest = waiting.order_by("-received_at").values_list("raw_type", "received_at")
    return _grouped(newest[:LATEST])


def _word(raw_type: str) -> str:
    """Return the type in the form that is compared. Raises ValueError with a sentence."""
    word = normalize_type(raw_type)
    if not any(sign.isalnum() for sign in word):
        raise ValueError(say("A type has letters or digits. Copy it from an event in the log."))
    if len(word) > LONGEST_TYPE:
        raise ValueError(say("A type has at most {longest} characters.", longest=LONGEST_TYPE))
    if not word.isprintable():
        raise ValueError(say("This type has invisible characters. Copy it from the log."))
    known = from_type(word)
    if known is not None:
        raise ValueError(say("Admit knows this type: it is {trigger}.", trigger=known.label))
    return word


def _grouped(newest: Iterable[tuple[str, datetime]]) -> list[Unnamed]:
    found: dict[str, Unnamed] = {}
    for raw_type, received in newest:
        word = normalize_type(raw_type)
        so_far = found.get(word) or Unnamed(raw_type, 0, received)
        found[word] = Unnamed(so_far.raw_type, so_far.events + 1, so_far.last)
    return list(found.values())

"""What a customer's page says of a purchase that gave nothing, and that no rule fits now."""

from collections.abc import Mapping, Sequence

from django.utils import timezone

from events.models import EventLog
from events.reports.owed import own_rules
from events.reports.owed.promise import LATELY
from events.reports.sentences.leads import AddRule, Lead, SeeChange, SeeRule, TurnOnRule
from events.reports.sentences.sentence import WAIT, Code, Sentence
from integrations.models import AuditEntry
from integrations.sentences import Said, format_day, joined, say
from integrations.who import shown_who
from rules.engine import Reason
from rules.history import deleted_giving, rule_changes
from rules.listing import listed
from rules.models import Rule


def sentence(event: EventLog, facts: Mapping[str, object]) -> Sentence:
    """Say that no rule gives anything for this purchase: there is none, or it is turned off.

    `facts` are the product and the order. A global rule that is off is not what is missing where
    products have rules of their own; if one of the product was deleted lately, that is said.
    """
    off = _off_then(event)
    gone = _deleted(event)
    if off and not (_needs_own(event, gone) and all(rule.product_id is None for rule in off)):
        text = say(
            "Paid for {product}{order}, but no rule gives anything for it: the rule that matches "
            "is turned off. Once it is on, run the event's rules again.",
            **facts,
        )
        lead = TurnOnRule(off[0].pk)
        return Sentence(WAIT, text, Code.GAVE_NOTHING, event=event.pk, leads=(lead,))
    text = say("Paid for {product}{order}, but no rule gives anything for it.", **facts)
    if giving := [rule for rule in off if rule.gives_on_purchase]:
        text = say(
            "Paid for {product}{order} and got nothing: {product} has no rule of its own, and the "
            "global rule that would give {courses} is off.",
            courses=listed([*dict.fromkeys(str(rule.destination) for rule in giving)]),
            **facts,
        )
    leads: list[Lead] = [AddRule(event.product_id, event.pk)] if event.product_id else []
    leads += [SeeRule(rule.pk) for rule in giving[:1]]
    leads += [SeeChange(gone.pk)] if gone else []
    return Sentence(
        WAIT,
        joined([text, _was_deleted(gone) if gone else ""]),
        Code.GAVE_NOTHING,
        leads=tuple(leads),
    )


def _off_then(event: EventLog) -> Sequence[Rule]:
    """Return the rules for the customer that were off when this was decided, as they are now."""
    if not event.fits_what_is_off:
        return ()
    off = [number for number, why in event.verdicts if why == Reason.OFF]
    rules = Rule.objects.filter(pk__in=off).select_related("destination").order_by("pk")
    return [rule for rule in rules if not rule.spec.passes_on]


def _needs_own(event: EventLog, gone: AuditEntry | None) -> bool:
    """Whether the product is to have a rule of its own, as others of its account have."""
    return gone is not None or bool(own_rules.accounts_among({event.marketplace_id}))


def _deleted(event: EventLog) -> AuditEntry | None:
    """Return the deletion of the last rule of the product that gave access, if it was lately."""
    if event.product_id is None:
        return None
    since = timezone.now() - LATELY
    found = deleted_giving.of_products([event.product_id], since)
    return next(iter(found.get(event.product_id, ())), None)


def _was_deleted(entry: AuditEntry) -> Said:
    return say(
        "{person} deleted its rule that gave {course} on {day}.",
        person=shown_who(entry.who) or say("Somebody"),
        course=rule_changes.course_before(entry),
        day=format_day(entry.at),
    )

"""The result of an event: in a word, as a badge, and what has to be looked up for it."""

from collections.abc import Collection, Iterable
from typing import Any

from django.db.models import prefetch_related_objects
from django.utils.safestring import SafeString

from config.admin.parts.badges import AMBER, GREEN, GREY, RED, badge
from events.models import EventLog, RuleRun
from events.reports.changed_rules import refunded
from events.reports.customers import purchase_sentences
from events.reports.earlier import given_already
from events.reports.owed.refunded_in_full import refunded_in_full
from integrations.sentences import Text, say
from rules.triggers import Trigger

COLORS: dict[EventLog.Status, str] = {
    EventLog.Status.DONE: GREEN,
    EventLog.Status.WAITING: AMBER,
    EventLog.Status.HELD: AMBER,
    EventLog.Status.UNKNOWN_TYPE: AMBER,
    EventLog.Status.FAILED: RED,
    EventLog.Status.UNREADABLE: RED,
    EventLog.Status.NO_RULE: GREY,
    EventLog.Status.SKIPPED: GREY,
    EventLog.Status.REPEAT: GREY,
    EventLog.Status.NOTED: GREY,
}


def note(events: Iterable[Any]) -> None:
    """Look up what `result` needs to know of these events, and set it on them.

    `had` says that another purchase gives all that rules give, `ended` that a person ended what
    they gave at first, and `is_refunded` that every payment went back. On refunds whose buyer still
    has access, `still_in` says that nothing ended it, and `let_keep` that a person let the buyer
    keep it. `is_running` says of those that wait that an action is being carried out; actions that
    were read with the events are not read again. Takes the same queries for any number.
    """
    events = list(events)
    waiting = [event for event in events if event.status == EventLog.Status.WAITING]
    prefetch_related_objects(waiting, "runs")
    for event in waiting:
        event.is_running = any(run.status == RuleRun.Status.RUNNING for run in event.runs.all())
    nothing = [event for event in events if _gave_nothing(event)]
    had = given_already.sentences(nothing) if nothing else {}
    ended, in_full = purchase_sentences.ended_since(nothing), refunded_in_full(nothing)
    for event in nothing:
        event.had, event.ended = event.pk in had, event.pk in ended
        event.is_refunded = event.pk in in_full
    refunds = [event for event in events if event.left_open]
    found = refunded.refunded_with_access(kept=None, among=refunds)
    is_kept = {each.refund.pk: each.is_kept for each in found}
    for event in refunds:
        event.let_keep = is_kept.get(event.pk, False)
        event.still_in = event.pk in is_kept and not event.let_keep


def result(event: EventLog, holes: Collection[Trigger] = ()) -> tuple[Text, str]:
    """Return the result of an event in a word, and its color. Call `note` first.

    A paid purchase that gave nothing is grey only if the buyer has it already, or if it was undone
    or refunded. A refund is amber if its buyer still has access. `holes` are the triggers without a
    rule of the event's product, if they are known.
    """
    status = EventLog.Status(event.status)
    if getattr(event, "is_running", False):
        return RuleRun.Status.RUNNING.label, AMBER
    if status in {EventLog.Status.FAILED, EventLog.Status.HELD}:
        return status.label, COLORS[status]
    if _gave_nothing(event):
        if getattr(event, "had", False):
            return say("Has it already"), GREY
        if event.undone_at is not None:
            return say("Undone"), GREY
        if getattr(event, "is_refunded", False):
            return say("Paid, refunded"), GREY
        ended = getattr(event, "ended", False)
        return say("Paid, access ended") if ended else say("Paid, nothing given"), AMBER
    if getattr(event, "still_in", False):
        return say("Still has access"), AMBER
    if getattr(event, "let_keep", False):
        return say("Kept on purpose"), GREY
    if event.gave_nothing and event.trigger in holes:
        return EventLog.Status.NO_RULE.label, AMBER
    return status.label, COLORS[status]


def event_badge(event: EventLog, holes: Collection[Trigger] = ()) -> SafeString:
    """Return the `result` as a badge."""
    return badge(*result(event, holes))


def _gave_nothing(event: EventLog) -> bool:
    """Return whether a paid purchase gave nothing and no person has dealt with it."""
    paid = event.trigger == Trigger.PRODUCT_PURCHASED
    return paid and event.gave_nothing and event.dealt_with_at is None

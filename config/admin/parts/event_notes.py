"""What the badges of events need to know beside the events."""

from collections.abc import Iterable
from typing import Any

from config.admin.parts.badges import gave_nothing
from events.reports import backfill, purchase_sentences, refunded


def note_had(events: Iterable[Any]) -> None:
    """Set `had` and `ended` on events that gave nothing.

    `had` says whether another purchase gives all that rules give, `ended` whether a person ended
    what they gave at first.
    """
    nothing = [event for event in events if gave_nothing(event)]
    had = backfill.already_given(nothing) if nothing else {}
    ended = purchase_sentences.ended_since(nothing)
    for event in nothing:
        event.had, event.ended = event.pk in had, event.pk in ended


def note(events: Iterable[Any]) -> None:
    """Like `note_had`, and set `still_in` on refunds: whether the buyer still has access.

    That is what the refunded purchase gave and no rule ended. It takes more queries than a long
    list should.
    """
    events = list(events)
    note_had(events)
    refunds = [event for event in events if event.left_open]
    found = refunded.refunded_with_access() if refunds else []
    still_in = {each.refund.pk for each in found}
    for event in refunds:
        event.still_in = event.pk in still_in

"""The letter to a customer who asks where the course is; no word of how Admit works."""

from collections.abc import Collection, Iterable

from events.access import ledger, sentences
from events.models import EventLog
from events.reports import letter, pending_endings
from events.reports.sentence import Code, Sentence, of_order
from events.reports.standing import Standing
from integrations import app_registry
from integrations.models import Customer, Integration
from rules.listing import listed

MAX_EVENTS_TOLD = 5
HAS = {Code.HAS, Code.KEPT, Code.GIVING_AGAIN}
LOOKED_AFTER = {Code.NOT_ENDED, Code.ENDING, Code.OWED, Code.LOST, Code.NOT_CONNECTED}


def reply(
    customer: Customer,
    told: Collection[tuple[Standing, Sentence]],
    *,
    owed: Collection[EventLog],
    besides: Collection[EventLog] = (),
) -> str:
    """A letter that can be sent as it is, by the template of `letter`.

    `owed` was paid for and gave nothing. For the events of `besides` something was done that
    gives no access.
    """
    parts = [*_opens(customer, told), *_looked_after(told), *_ended(told), *_moved(told)]
    parts += [
        f"We received your payment{_for(event)} and are looking after your access. We will write "
        "again."
        for event in list(owed)[:MAX_EVENTS_TOLD]
    ]
    if not parts:
        parts = [
            f"We received your order{_for(event)} and are looking into it. We will write again."
            for event in list(besides)[:MAX_EVENTS_TOLD]
        ]
    if not parts:
        parts = [
            f"We found no course for {customer.readable_email}. Could it be that you ordered with "
            "another e-mail address?"
        ]
    names = [each.name for each, _ in told]
    names += [event.product.name for event in [*owed, *besides] if event.product]
    values = {
        "first name": customer.first_name.strip()[:60] or "there",
        "email": customer.readable_email,
        "course": listed([*dict.fromkeys(names)]) if names else "your course",
        "school": _school(told),
        "what happened": "\n\n".join(parts),
    }
    return letter.fill(letter.current(), values)


def _school(told: Iterable[tuple[Standing, Sentence]]) -> str:
    """The names of the schools that the letter is about, or of the only one that there is."""
    schools = Integration.objects.filter(app__in=app_registry.with_catalog())
    names = dict(schools.order_by("pk").values_list("pk", "name"))
    meant = [names[each.integration] for each, _ in told if each.integration in names]
    if meant:
        return listed([*dict.fromkeys(meant)])
    return next(iter(names.values())) if len(names) == 1 else ""


def _opens(customer: Customer, told: Iterable[tuple[Standing, Sentence]]) -> list[str]:
    """What opens now and how to get in, once for each school."""
    schools: dict[str, list[str]] = {}
    for each, sentence in told:
        if sentence.code in HAS:
            end = pending_endings.ends_at(each)
            until = f" until {sentences.day(end)}" if end else ""
            schools.setdefault(each.site, []).append(f"{each.name}{until}")
    return [
        f"You have access to {listed(names)}. Please sign in at https://{site}.thinkific.com with "
        f'{customer.readable_email}. If you have no password yet, or forgot it, press "Forgot '
        'password?" there.'
        for site, names in schools.items()
    ]


def _looked_after(told: Iterable[tuple[Standing, Sentence]]) -> list[str]:
    names = [each.name for each, sentence in told if sentence.code in LOOKED_AFTER]
    if not names:
        return []
    return [f"We are looking after your access to {listed(names)}, and will write again."]


def _ended(told: Iterable[tuple[Standing, Sentence]]) -> list[str]:
    """What ended; the same cause is told once."""
    causes: dict[str, list[str]] = {}
    for each, sentence in told:
        row = each.ended
        if sentence.code in {Code.ENDED, Code.BARRED} and row is not None:
            cause = f"with {sentences.cause(row)}"
            if row.because == ledger.BY_HAND:
                cause = f"on {sentences.day(row.ended_at or row.decided_at)}"
            causes.setdefault(cause, []).append(each.name)
    return [f"Your access to {listed(names)} ended {cause}." for cause, names in causes.items()]


def _moved(told: Iterable[tuple[Standing, Sentence]]) -> list[str]:
    names = [each.name for each, sentence in told if sentence.code == Code.MOVED]
    if not names:
        return []
    return [
        f"Your access to {listed(names)} is under your other e-mail address now. Please sign in "
        "with that one."
    ]


def _for(event: EventLog) -> str:
    return (f" for {event.product}" if event.product else "") + of_order(event)

"""The letter to a customer who asks where the course is. It says nothing about how Admit works."""

from collections.abc import Collection, Iterable, Sequence
from itertools import starmap

from events.access import revocations
from events.models import EventLog
from events.reports.access.standing import Standing
from events.reports.customers import letter, reply_endings, reply_moves
from events.reports.customers.empty_purchases import MAX_EVENTS_TOLD, EmptyPurchases
from events.reports.customers.long_days import with_long_days
from events.reports.sentences import pending_endings
from events.reports.sentences.sentence import HAS, Code, Sentence, of_order, upper
from integrations import app_registry
from integrations.models import Customer, Integration
from integrations.sentences import LONG, Said, format_day, joined, say
from rules.listing import listed

LOOKED_AFTER = {Code.ENDING, Code.OWED, Code.LOST, Code.NOT_CONNECTED, Code.GONE}
# The letter names only courses with these codes.
TOLD = HAS | LOOKED_AFTER | reply_endings.OVER | {Code.MOVED, Code.NOT_ENDED, Code.REPLACED}


def reply(
    customer: Customer,
    told: Collection[tuple[Standing, Sentence]],
    template: letter.Template,
    purchases: EmptyPurchases,
    *,
    in_doubt: Collection[EventLog] = (),
    besides: Collection[EventLog] = (),
    is_doubted: bool = False,
) -> str:
    """A letter that can be sent as it is, all of it in the language of the template.

    `purchases` gave nothing, and those `in_doubt` may not have given all. `besides` are events with
    actions that give no access. `is_doubted` says that the e-mail may be mistyped.
    """
    with letter.written_in(template.language):
        values = _values(customer, told, purchases, in_doubt, besides, is_doubted)
        return letter.fill(template.text, values)


def _values(
    customer: Customer,
    told: Collection[tuple[Standing, Sentence]],
    purchases: EmptyPurchases,
    in_doubt: Collection[EventLog],
    besides: Collection[EventLog],
    is_doubted: bool,
) -> dict[str, str]:
    """Return the values of the template's fields."""
    bought: Sequence[EventLog] = purchases.owed[:MAX_EVENTS_TOLD]
    opens = _opens(customer, told, is_doubted=is_doubted)
    parts = [*reply_moves.moved_here(customer, told), *opens, *_still_open(told)]
    parts += [
        *_looked_after(told),
        *reply_endings.ending(told),
        *reply_endings.ended(told),
        *reply_moves.moved_away(customer, told),
    ]
    parts += [*map(_owed, bought), *map(_in_doubt, list(in_doubt)[:MAX_EVENTS_TOLD])]
    taken_away = reply_endings.taken_away(told)
    if not parts:
        bought, parts = _without_access(purchases, besides)
    parts = [*parts, *taken_away] or [_found_nothing(customer)]
    # A product is not a course: it is named only if the letter names no course.
    names = _names(told) or [event.product.name for event in bought if event.product]
    return {
        "first name": customer.first_name.strip()[:60] or say("there"),
        "email": customer.readable_email,
        "course": listed([*dict.fromkeys(names)]) if names else say("your course"),
        "school": _school(told),
        "what happened": with_long_days(joined(parts, "\n\n")),
    }


def _without_access(
    purchases: EmptyPurchases, besides: Collection[EventLog]
) -> tuple[Sequence[EventLog], list[Said]]:
    """Return what a customer bought who has no course by it, and what became of that."""
    if taken_back := purchases.taken_back[:MAX_EVENTS_TOLD]:
        return [event for event, _ in taken_back], [*starmap(_bought_and_taken_back, taken_back)]
    events = dict.fromkeys([*besides, *purchases.undone])
    if open_ones := [*events][:MAX_EVENTS_TOLD]:
        return open_ones, [*map(_besides, open_ones)]
    return purchases.dealt, [*map(_dealt_with, purchases.dealt)]


def _names(told: Collection[tuple[Standing, Sentence]]) -> list[str]:
    """Return the names of the courses and bundles that the letter tells of."""
    return [
        name
        for each, sentence in told
        if sentence.code in TOLD
        for name in sentence.instead_there or [each.name]
    ]


def _owed(event: EventLog) -> Said:
    return say(
        "We received your payment for {product}{order}. We are sorting out your access and will "
        "e-mail you soon.",
        **_bought(event),
    )


def _in_doubt(event: EventLog) -> Said:
    return say(
        "We are checking whether you have everything that belongs to your purchase of "
        "{product}{order}, and will write again.",
        **_bought(event),
    )


def _besides(event: EventLog) -> Said:
    return say(
        "We received your order for {product}{order} and are looking into it. We will write again.",
        **_bought(event),
    )


def _dealt_with(event: EventLog) -> Said:
    return say(
        "We received your order for {product}{order} and dealt with it. If something is missing, "
        "tell us what.",
        **_bought(event),
    )


def _bought_and_taken_back(event: EventLog, ending: EventLog) -> Said:
    """Say "About your purchase of Watercolor: order 1183 was refunded on 3 May." """
    return say(
        "About your purchase of {product}: {cause}.",
        cause=revocations.sentence(ending),
        product=event.product or say("your course"),
    )


def _found_nothing(customer: Customer) -> Said:
    return say(
        "We found no course for {email}. Could it be that you ordered with another e-mail address?",
        email=customer.readable_email,
    )


def _school(told: Iterable[tuple[Standing, Sentence]]) -> str:
    """Return the names of the schools that the letter is about, or of the only school there is.

    The letter is signed with them. If it names no course, all schools of the student are returned.
    """
    schools = Integration.objects.filter(app__in=app_registry.with_catalog())
    names = dict(schools.order_by("pk").values_list("pk", "name"))
    known = [
        (names[each.integration], sentence.code)
        for each, sentence in told
        if each.integration in names
    ]
    meant = [name for name, code in known if code in TOLD] or [name for name, _ in known]
    if meant:
        return listed([*dict.fromkeys(meant)])
    return next(iter(names.values())) if len(names) == 1 else ""


def _opens(
    customer: Customer, told: Iterable[tuple[Standing, Sentence]], *, is_doubted: bool
) -> list[Said]:
    """Say what opens now and how to get in, once for each school."""
    schools: dict[str, list[str]] = {}
    for each, sentence in told:
        if sentence.code in HAS:
            name, end = each.name, pending_endings.ends_at(each)
            if end:
                name = say("{course} until {day}", course=name, day=format_day(end, LONG))
            schools.setdefault(each.site, []).append(name)
    how = letter.opens_if_right if is_doubted else letter.opens
    return [how(names, site, customer.readable_email) for site, names in schools.items()]


def _still_open(told: Iterable[tuple[Standing, Sentence]]) -> list[Said]:
    """Say what was refunded or canceled and is still open, in one sentence for each such event."""
    causes: dict[str, list[str]] = {}
    for each, sentence in told:
        left = each.not_ended
        if sentence.code == Code.NOT_ENDED and left is not None:
            causes.setdefault(upper(revocations.sentence(left)), []).append(each.name)
    return [
        say("{cause}. Your access to {courses} is still open.", courses=listed(names), cause=cause)
        for cause, names in causes.items()
    ]


def _looked_after(told: Iterable[tuple[Standing, Sentence]]) -> list[Said]:
    names = [
        each.name
        for each, sentence in told
        if sentence.code in LOOKED_AFTER and not reply_endings.is_ending(each, sentence)
    ]
    if not names:
        return []
    return [
        say(
            "We are sorting out your access to {courses} and will e-mail you soon.",
            courses=listed(names),
        )
    ]


def _bought(event: EventLog) -> dict[str, object]:
    return {"product": event.product or say("your course"), "order": of_order(event)}

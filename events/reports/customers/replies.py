"""The letter to a customer who asks where the course is. It says nothing about how Admit works."""

from collections.abc import Collection, Iterable
from itertools import starmap

from events.access import revocations
from events.models import EventLog
from events.reports.access.standing import Standing
from events.reports.customers import letter, reply_moves
from events.reports.customers.long_days import with_long_days
from events.reports.sentences import ended_access, pending_endings
from events.reports.sentences.sentence import HAS, Code, Sentence, TakenAway, of_order, upper
from integrations import app_registry
from integrations.models import Customer, Integration, Product
from integrations.sentences import LONG, Said, format_day, joined, say
from rules.listing import listed

MAX_EVENTS_TOLD = 5
LOOKED_AFTER = {Code.ENDING, Code.OWED, Code.LOST, Code.NOT_CONNECTED, Code.GONE}
OVER = {Code.ENDED, Code.BARRED}
# The letter names only courses with these codes.
TOLD = HAS | LOOKED_AFTER | OVER | {Code.MOVED, Code.NOT_ENDED, Code.REPLACED}


def reply(
    customer: Customer,
    told: Collection[tuple[Standing, Sentence]],
    template: letter.Template,
    *,
    owed: Collection[EventLog],
    in_doubt: Collection[EventLog] = (),
    besides: Collection[EventLog] = (),
    taken_back: Collection[tuple[EventLog, EventLog]] = (),
    is_doubted: bool = False,
) -> str:
    """A letter that can be sent as it is, all of it in the language of the template.

    `owed` are purchases that gave nothing, and `in_doubt` those that may not have given all.
    `besides` are events with actions that give no access, and purchases that a person undid.
    `taken_back` are purchases that gave nothing, each with its later refund or cancellation.
    `is_doubted` says that the e-mail may be mistyped.
    """
    with letter.written_in(template.language):
        values = _values(customer, told, owed, in_doubt, besides, taken_back, is_doubted)
        return letter.fill(template.text, values)


def _values(
    customer: Customer,
    told: Collection[tuple[Standing, Sentence]],
    owed: Collection[EventLog],
    in_doubt: Collection[EventLog],
    besides: Collection[EventLog],
    taken_back: Collection[tuple[EventLog, EventLog]],
    is_doubted: bool,
) -> dict[str, str]:
    """Return the values of the template's fields."""
    bought = list(owed)[:MAX_EVENTS_TOLD]
    opens = _opens(customer, told, is_doubted=is_doubted)
    parts = [*reply_moves.moved_here(customer, told), *opens, *_still_open(told)]
    parts += [
        *_looked_after(told),
        *_ending(told),
        *_ended(told),
        *reply_moves.moved_away(customer, told),
    ]
    parts += [*map(_owed, bought), *map(_in_doubt, list(in_doubt)[:MAX_EVENTS_TOLD])]
    taken_away = _taken_away(told)
    if not parts and taken_back:
        bought = [event for event, _ in taken_back][:MAX_EVENTS_TOLD]
        parts = [*starmap(_bought_and_taken_back, list(taken_back)[:MAX_EVENTS_TOLD])]
    elif not parts:
        bought = list(besides)[:MAX_EVENTS_TOLD]
        parts = [*map(_besides, bought)]
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
        if sentence.code in LOOKED_AFTER and not _is_ending(each, sentence)
    ]
    if not names:
        return []
    return [
        say(
            "We are sorting out your access to {courses} and will e-mail you soon.",
            courses=listed(names),
        )
    ]


def _is_ending(each: Standing, sentence: Sentence) -> bool:
    """Whether it is open, and an action is to end it."""
    return sentence.code == Code.ENDING and each.undecided is not None


def _ending(told: Iterable[tuple[Standing, Sentence]]) -> list[Said]:
    """Say what is about to end, in one sentence for each cause."""
    ending = [each for each, sentence in told if _is_ending(each, sentence)]
    causes: dict[Said | None, list[str]] = {}
    for each in ending:
        how = ended_access.how_it_ended(each, LONG)
        causes.setdefault(how.cause if how else None, []).append(each.name)
    return [
        say(
            "Your access to {courses} is about to end because of {cause}.",
            courses=listed(names),
            cause=cause,
        )
        if cause
        else say("Your access to {courses} is about to end.", courses=listed(names))
        for cause, names in causes.items()
    ]


def _ended(told: Iterable[tuple[Standing, Sentence]]) -> list[Said]:
    """Say what ended, in one sentence for each day and cause, and what its order was for."""
    over = [(each.name, each) for each, sentence in told if sentence.code in OVER]
    bought = {name: each.ended.product_name for name, each in over if each.ended}
    said = []
    for how, names in ended_access.by_ending(over).items():
        text = _how_ended(how, listed(names))
        products = [bought[name] for name in names if _says_more(bought[name], name)]
        if how.cause and products:
            product = listed([*dict.fromkeys(products)])
            text = joined([text, say("The order was for {product}.", product=product)])
        said.append(text)
    return said


def _says_more(product: str, course: str) -> bool:
    """Whether a reader who knows the course's name does not know the product from it."""
    return bool(product) and course.casefold() not in product.casefold()


def _how_ended(how: ended_access.Ending, courses: str) -> Said:
    facts = {"courses": courses, "day": how.day, "cause": how.cause}
    if how.day and how.cause:
        return say("Your access to {courses} ended on {day}, after {cause}.", **facts)
    if how.day:
        return say("Your access to {courses} ended on {day}.", **facts)
    return say("Your access to {courses} ended with {cause}.", **facts)


def _taken_away(told: Collection[tuple[Standing, Sentence]]) -> list[Said]:
    """Say what a person took away, in one sentence for each day and reason.

    That is what the rules give no longer, and what had been given to several buyers and was undone.
    """
    causes: dict[tuple[str, Product | None, tuple[str, ...] | None], list[str]] = {}
    for each, sentence in told:
        if taken := sentence.taken_away:
            now = _includes(taken, told) if taken.by_mistake else None
            product = None if taken.is_undone else taken.product
            why = (format_day(taken.at, LONG), product, now)
            causes.setdefault(why, []).append(each.name)
    return [_how_taken(listed(names), *why) for why, names in causes.items()]


def _includes(taken: TakenAway, told: Iterable[tuple[Standing, Sentence]]) -> tuple[str, ...]:
    """Return the names of what the same purchase gives now."""
    return tuple(
        each.name
        for each, sentence in told
        if sentence.code in HAS and any(row.event_id == taken.event for row in each.given)
    )


def _how_taken(
    courses: str, day: str, product: Product | None, now: tuple[str, ...] | None
) -> Said:
    """Say how a person took these courses away; `now` is what is right, None for no mistake."""
    facts = {"courses": courses, "day": day, "product": product}
    if now is not None and product is None:
        return say(
            "Your access to {courses} was closed on {day}: what you bought does not include it.",
            **facts,
        )
    if now is not None:
        text = say(
            "Your access to {courses} was closed on {day}: {product} does not include it.", **facts
        )
        right = say("What {product} includes is open: {now}.", now=listed(now), **facts)
        return joined([text, right]) if now else text
    if product:
        return say(
            "Your access to {courses} ended on {day}: {product} no longer includes it.", **facts
        )
    return say("Your access to {courses} ended on {day}: we took back what had given it.", **facts)


def _bought(event: EventLog) -> dict[str, object]:
    return {"product": event.product or say("your course"), "order": of_order(event)}

"""What the letter to a customer says about access that ends, has ended or was taken away."""

from collections.abc import Collection, Iterable

from events.access import revocations
from events.reports.access.standing import Standing
from events.reports.sentences import ended_access
from events.reports.sentences.sentence import HAS, Code, Sentence, TakenAway
from integrations.models import Product
from integrations.sentences import LONG, Said, format_day, joined, say
from rules.listing import listed

OVER = {Code.ENDED, Code.BARRED}


def is_ending(each: Standing, sentence: Sentence) -> bool:
    """Whether it is open, and an action is to end it."""
    return sentence.code == Code.ENDING and each.undecided is not None


def ending(told: Iterable[tuple[Standing, Sentence]]) -> list[Said]:
    """Say what is about to end, in one sentence for each cause."""
    about_to_end = [each for each, sentence in told if is_ending(each, sentence)]
    causes: dict[Said | None, list[str]] = {}
    for each in about_to_end:
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


def ended(told: Iterable[tuple[Standing, Sentence]]) -> list[Said]:
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
    return [*said, *_taken_back(each for _, each in over)]


def _taken_back(over: Iterable[Standing]) -> list[Said]:
    """Say what was refunded or canceled while it was due, so that nothing is due anymore."""
    said = [
        say(
            "About your purchase of {product}: {cause}.",
            product=row.product_name or each.name,
            cause=revocations.sentence(each.unpaid[row.pk]),
        )
        for each in over
        if ended_access.how_it_ended(each) is None
        for row in each.given
        if row.pk in each.unpaid
    ]
    return [*dict.fromkeys(said)]


def _says_more(product: str, course: str) -> bool:
    """Whether a reader who knows the course's name does not know the product from it."""
    return bool(product) and course.casefold() not in product.casefold()


def _how_ended(how: ended_access.Ending, courses: str) -> Said:
    facts = {"courses": courses, "day": how.day, "cause": how.cause}
    if how.never_given and how.cause:
        return say(
            "You have no access to {courses}: {cause} came before you were given access.", **facts
        )
    if how.never_given:
        return say("Your access to {courses} was canceled on {day}, before it was opened.", **facts)
    if how.day and how.cause:
        return say("Your access to {courses} ended on {day}, after {cause}.", **facts)
    if how.day:
        return say("Your access to {courses} ended on {day}.", **facts)
    return say("Your access to {courses} ended with {cause}.", **facts)


def taken_away(told: Collection[tuple[Standing, Sentence]]) -> list[Said]:
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

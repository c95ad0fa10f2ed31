"""What the letter to a customer says about access that was moved to or from another address."""

from collections.abc import Iterable, Mapping, Sequence

from events.models import EventLog, Grant
from events.reports.access.standing import Standing
from events.reports.sentences import ended_access
from events.reports.sentences.sentence import HAS, Code, Sentence
from integrations.finding import mistyped_email
from integrations.models import Customer
from integrations.sentences import Said, say
from rules.listing import listed


def moved_here(customer: Customer, told: Iterable[tuple[Standing, Sentence]]) -> list[Said]:
    """Say which other addresses the orders had whose access was moved to this customer."""
    payers = {
        grant.event.customer_id
        for each, sentence in told
        if sentence.code in HAS
        for grant in each.given
        if grant.event and grant.event.order_id and _was_moved_here(each, grant)
    }
    others = [pk for pk in payers if pk and pk != customer.pk]
    if not others:
        return []
    known = Customer.objects.filter(pk__in=others).order_by("pk")
    return [
        say(
            "Your order had the e-mail address {other}. We moved your access to {email}.",
            other=listed([each.readable_email for each in known]),
            email=customer.readable_email,
        )
    ]


def _was_moved_here(each: Standing, grant: Grant) -> bool:
    return any(
        run.grant_id == grant.pk and run.event.by_hand == EventLog.ByHand.MOVE_HERE
        for run in each.runs
    )


def moved_away(customer: Customer, told: Iterable[tuple[Standing, Sentence]]) -> list[Said]:
    """Say what was moved to another address, and what has ended there since."""
    meant = mistyped_email.repaired(customer.readable_email)
    repaired = Customer.objects.filter(email=meant).first() if meant else None
    mistyped: list[str] = []
    names: list[str] = []
    over: list[tuple[str, Standing]] = []
    replaced: dict[tuple[str, ...], list[str]] = {}
    for each, sentence in told:
        is_repaired = repaired is not None and sentence.customer == repaired.pk
        if sentence.ended_there:
            over.append((each.name, sentence.ended_there))
        elif sentence.instead_there is not None and not (sentence.instead_there and is_repaired):
            replaced.setdefault(sentence.instead_there, []).append(each.name)
        elif sentence.code == Code.MOVED:
            there = sentence.instead_there or [each.name]
            (mistyped if is_repaired else names).extend(there)
    return [
        *_at_repaired(customer, meant, mistyped),
        *_still_there(names),
        *_replaced_there(replaced),
        *_ended_there(over),
    ]


def _at_repaired(customer: Customer, meant: str, names: list[str]) -> list[Said]:
    """Say that the customer's address is mistyped, and with which one to sign in."""
    if not names:
        return []
    return [
        say(
            "Your order had the e-mail address {typed}. Your access to {courses} is under {email} "
            "now. Please sign in with that one.",
            typed=customer.readable_email,
            courses=listed(names),
            email=meant,
        )
    ]


def _still_there(names: list[str]) -> list[Said]:
    if not names:
        return []
    return [
        say(
            "Your access to {courses} is under your other e-mail address now. Please sign in with "
            "that one.",
            courses=listed(names),
        )
    ]


def _replaced_there(replaced: Mapping[tuple[str, ...], Sequence[str]]) -> list[Said]:
    """Say what the other address has in place of these courses: {what it has now: courses}."""
    return [
        say(
            "Your access to {courses} was moved to your other e-mail address, where you have {now} "
            "in its place. Please sign in with that one.",
            courses=listed(names),
            now=listed(now),
        )
        if now
        else say(
            "Your access to {courses} was moved to your other e-mail address, and is no longer "
            "open there.",
            courses=listed(names),
        )
        for now, names in replaced.items()
    ]


def _ended_there(over: Iterable[tuple[str, Standing]]) -> list[Said]:
    return [
        _how_ended_there(how, listed(names)) for how, names in ended_access.by_ending(over).items()
    ]


def _how_ended_there(how: ended_access.Ending, courses: str) -> Said:
    facts = {"courses": courses, "day": how.day, "cause": how.cause}
    if how.day and how.cause:
        return say(
            "Your access to {courses} was moved to your other e-mail address. It ended there on "
            "{day}, after {cause}.",
            **facts,
        )
    if how.day:
        return say(
            "Your access to {courses} was moved to your other e-mail address. It ended there on "
            "{day}.",
            **facts,
        )
    return say(
        "Your access to {courses} was moved to your other e-mail address. It ended there with "
        "{cause}.",
        **facts,
    )

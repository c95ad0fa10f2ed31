"""How many earlier customers rules have not run for, in words."""

from collections.abc import Collection
from typing import Any

from config.admin.parts.badges import brief
from events.reports.earlier.earlier_buyers import Preview
from integrations.sentences import Said, joined, say_count
from rules.listing import listed, of_several
from rules.models import Rule
from rules.triggers import TAKES_BACK, Trigger

COURSES_NAMED = 3


def in_words(rules: Collection[Rule], found: Preview) -> Said | str:
    """Return how many earlier customers there are for these rules; "" for none."""
    who: dict[str, Any] = {"more": "+" if found.more else ""}
    if not found.customers:
        return ""
    if all(rule.gives_on_purchase for rule in rules):
        return _missed(found) or lacking(found) or _given_nothing(found, who)
    if all(rule.spec.ends_access for rule in rules):
        return _who_has_it({rule.trigger for rule in rules}, found, who)
    return say_count(
        found.customers,
        "It did not run for 1 earlier customer.",
        "It did not run for {number}{more} earlier customers.",
        **who,
    )


def _missed(found: Preview) -> Said | str:
    """Return how many bought while a global rule was off, then how many others lack its course.

    "" if nobody bought then.
    """
    if not found.missed:
        return ""
    who = {"courses": listed([*map(brief, found.courses)], COURSES_NAMED)}
    text = say_count(
        found.customers_missed,
        "1 buyer did not get {courses} because the rule was off.",
        "{number} buyers did not get {courses} because the rule was off.",
        **who,
    )
    if not found.customers_not_missed:
        return text
    others = say_count(
        found.customers_not_missed,
        "1 other earlier buyer does not have it either.",
        "{number}{more} other earlier buyers do not have it either.",
        more="+" if found.more else "",
    )
    return joined([text, others])


def _given_nothing(found: Preview, who: dict[str, Any]) -> Said | str:
    if not found.customers_given_nothing:
        return ""  # they got something, and have what the rules would give
    return say_count(
        found.customers_given_nothing,
        "1 buyer paid before and got nothing for it.",
        "{number}{more} buyers paid before and got nothing for it.",
        **who,
    )


def _who_has_it(triggers: set[str], found: Preview, who: dict[str, Any]) -> Said:
    """Say that so many customers have what these rules end, "may have" if that is not certain."""
    names = [*map(brief, found.courses)]
    who |= {"courses": of_several(names, COURSES_NAMED, found.customers)}
    if not all(row.is_known_open for row in found.run):
        return say_count(
            found.customers,
            "1 earlier customer may still have {courses}.",
            "{number}{more} earlier customers may still have {courses}.",
            **who,
        )
    if triggers == {Trigger.PRODUCT_REFUNDED}:
        return say_count(
            found.customers,
            "1 refunded buyer still has {courses}.",
            "{number}{more} refunded buyers still have {courses}.",
            **who,
        )
    if triggers == {Trigger.SUBSCRIPTION_CANCELED}:
        return say_count(
            found.customers,
            "1 canceled buyer still has {courses}.",
            "{number}{more} canceled buyers still have {courses}.",
            **who,
        )
    if triggers <= set(TAKES_BACK):
        return say_count(
            found.customers,
            "1 buyer was refunded or canceled and still has {courses}.",
            "{number}{more} buyers were refunded or canceled and still have {courses}.",
            **who,
        )
    return say_count(
        found.customers,
        "1 earlier customer still has {courses}.",
        "{number}{more} earlier customers still have {courses}.",
        **who,
    )


def lacking(found: Preview) -> Said | str:
    """Return how many earlier buyers do not have what the rules would give them.

    "" if all their purchases gave nothing: pages have another sentence for those.
    """
    if not found.lacking_access.run:
        return ""
    who = {
        "more": "+" if found.more else "",
        "courses": listed([*map(brief, found.courses)], COURSES_NAMED),
    }
    if len(found.courses) > 1:
        return say_count(
            found.customers_changing,
            "1 earlier buyer does not have all of this: {courses}.",
            "{number}{more} earlier buyers do not have all of this: {courses}.",
            **who,
        )
    return say_count(
        found.customers_changing,
        "1 earlier buyer does not have {courses}.",
        "{number}{more} earlier buyers do not have {courses}.",
        **who,
    )

"""The offer to enroll earlier buyers: how many lack what rules give, and a link to their list."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.pages.rules import refunded
from config.admin.parts.badges import brief
from config.admin.parts.buttons import BACK
from events.deciding import revocations
from events.reports import backfill
from events.reports.earlier_buyers import Preview
from integrations.models import Product
from integrations.sentences import Said, joined, say, say_count
from rules import pairing
from rules.listing import listed, of_several
from rules.models import Rule
from rules.triggers import Trigger

# The most rules that one page looks at. Saving Coverage adds one for each course of each row.
MOST_RULES = 500
COURSES_NAMED = 3


def address(rules: Sequence[Rule], product: Product | None = None, *, back: str = "") -> str:
    """Return the address of the page that lists the earlier buyers for these rules."""
    asked: dict[str, Any] = {"rule": [rule.pk for rule in rules]}
    asked |= {"product": product.pk} if product else {}
    asked |= {BACK: back} if back else {}
    return f"{reverse('admin:earlier')}?{urlencode(asked, doseq=True)}"


def sentence(request: HttpRequest, rules: Iterable[Rule], back: str) -> SafeString | None:
    """Return for whom these rules were on too late, with links: what is left to do for them.

    These are earlier buyers who lack what the rules give on a purchase, and refunded buyers who
    still have what the rules end at a refund. None if there are neither, or if the person may do
    neither.
    """
    rules = list(rules)
    told = [_lacking(request, rules, back), _still_in(request, rules, back)]
    return format_html_join(" ", "{}", ((each,) for each in told if each)) or None


def _lacking(request: HttpRequest, rules: Sequence[Rule], back: str) -> SafeString | None:
    giving = [rule for rule in rules if pairing.is_to_give(rule)][:MOST_RULES]
    if not giving or not request.user.has_perm("events.rerun_eventlog"):
        return None
    found = backfill.preview(*giving)
    if not found.customers:
        return None
    text, page = in_words(giving, found), address(giving, back=back)
    return format_html('{} <a href="{}">{}</a>', text, page, say("See and enroll them"))


def _still_in(request: HttpRequest, rules: Sequence[Rule], back: str) -> SafeString | None:
    ending = [
        rule
        for rule in rules
        if rule.enabled and rule.spec.ends_access and rule.trigger == Trigger.PRODUCT_REFUNDED
    ][:MOST_RULES]
    if not ending or not request.user.has_perm("events.rerun_eventlog"):
        return None
    found = backfill.preview(*ending)
    if not found.customers:
        return None
    told = joined([in_words(ending, found), refunded.kept_on_purpose(found.kept)])
    page = address(ending, back=back)
    return format_html('{} <a href="{}">{}</a>', told, page, say("See and end it"))


def of_rule(rule: Rule, found: Preview) -> dict[str, Any]:
    """Return what a page says of the earlier customers of one rule.

    `told` says how many there are, "" for none; `kept` who is left out because a person let them
    keep what the rule ends. `label` is that of the link to their list.
    """
    label = say("See and run it for them")
    if rule.gives_on_purchase:
        label = say("See and enroll them")
    elif rule.spec.ends_access:
        label = say("See and end it")
    return {
        "rule": rule,
        "told": in_words([rule], found),
        "kept": refunded.kept_on_purpose(found.kept),
        "label": label,
    }


def in_words(rules: Collection[Rule], found: Preview) -> Said | str:
    """Return how many earlier customers there are for these rules; "" for none."""
    who: dict[str, Any] = {"more": "+" if found.more else ""}
    if not found.customers:
        return ""
    if all(rule.gives_on_purchase for rule in rules):
        return lacking(found) or say_count(
            found.got_nothing,
            "1 buyer paid before and got nothing for it.",
            "{number}{more} buyers paid before and got nothing for it.",
            **who,
        )
    if all(rule.spec.ends_access for rule in rules):
        return _who_has_it({rule.trigger for rule in rules}, found, who)
    return say_count(
        found.customers,
        "It did not run for 1 earlier customer.",
        "It did not run for {number}{more} earlier customers.",
        **who,
    )


def _who_has_it(triggers: set[str], found: Preview, who: dict[str, Any]) -> Said:
    """Say that so many customers have what these rules end, "may have" if that is not certain."""
    names = [*map(brief, found.courses)]
    who |= {"courses": of_several(names, COURSES_NAMED, found.customers)}
    if not all(row.has for row in found.run):
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
    if triggers <= set(revocations.ENDING):
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
    if not found.lacking.run:
        return ""
    who = {
        "more": "+" if found.more else "",
        "courses": listed([*map(brief, found.courses)], COURSES_NAMED),
    }
    if len(found.courses) > 1:
        return say_count(
            found.customers,
            "1 earlier buyer does not have all of this: {courses}.",
            "{number}{more} earlier buyers do not have all of this: {courses}.",
            **who,
        )
    return say_count(
        found.customers,
        "1 earlier buyer does not have {courses}.",
        "{number}{more} earlier buyers do not have {courses}.",
        **who,
    )

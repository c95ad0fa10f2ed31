"""Buyers who have what no rule gives any more, for all rules; pages show it unasked."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest

from config.admin.menu import allowed
from config.admin.pages.rules import given_by_rule, keeping
from events.reports.behind_all_rules import BehindAll
from events.reports.dashboard import format_count
from integrations.sentences import Said, say_count
from rules.models import Rule


def in_one_sentence(behind: BehindAll) -> Said | str:
    """Return how many buyers that are, "" for none."""
    if not behind.customers:
        return ""
    return say_count(
        behind.customers,
        "1 buyer has a course of a deleted or changed rule.",
        "{number}{more} buyers have a course of a deleted or changed rule.",
        number=format_count(behind.customers),
        more="+" if behind.more else "",
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of the buyers of a rule, or with None of all deleted ones.

    `page` is where they are moved; posting `grants` to it lets them keep these, by the button
    `keep`. For who may not do that all three are empty; and there is no button where these may not
    be all, for the page may show others first.
    """

    rule: Rule | None
    text: Said
    page: str = ""
    grants: Sequence[int] = ()
    keep: Said | str = ""


def by_rule(request: HttpRequest, behind: BehindAll) -> list[Told]:
    """A line for each rule, and for None, which are all that were deleted.

    Who may not move the buyers is told, too, but without the way there.
    """
    if not allowed(request, given_by_rule.PERMISSION):
        return [Told(each.rule, given_by_rule.in_words(each)) for each in behind.told]
    return [
        Told(
            each.rule,
            given_by_rule.in_words(each),
            given_by_rule.address(each.rule.pk)
            if each.rule
            else given_by_rule.address_of(each.products),
            each.grants,
            "" if each.more else keeping.let_keep(each.customers),
        )
        for each in behind.told
    ]

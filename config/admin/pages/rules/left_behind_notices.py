"""Buyers who have what no rule gives any more, for all rules; pages show it unasked."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages.rules import given_by_rule, keeping, refunded
from events.reports.dashboard import format_count
from events.reports.left_behind_summary import LeftBehindSummary
from events.reports.refunded import Refunded
from integrations.sentences import Said, joined, say, say_count
from rules.models import Rule


def in_one_sentence(behind: LeftBehindSummary, refunds: Sequence[Refunded] = ()) -> Said | str:
    """Return how many buyers have what no rule gives, and how many were refunded; "" for none."""
    return joined([_of_rules(behind), refunded.in_words(refunds)])


def _of_rules(behind: LeftBehindSummary) -> Said | str:
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
class Notice:
    """What a page says about the buyers of a rule. None: of deleted rules, or refunded buyers.

    `page`, with a link called `label`, shows them; posting `grants` to it, with the button `keep`,
    lets them keep what they have. All of these are empty for a person who may not do that. There is
    no button either if there may be more buyers, because the page may show others first, or if
    nothing is left to keep.
    """

    rule: Rule | None
    text: Said | str
    page: str = ""
    label: Said | str = ""
    grants: Sequence[int] = ()
    keep: Said | str = ""


def by_rule(
    request: HttpRequest, behind: LeftBehindSummary, refunds: Sequence[Refunded] = ()
) -> list[Notice]:
    """Return a line for each rule, one for all deleted rules, and one for refunded buyers.

    The last two have no `rule`. A person who may not move the buyers gets no links.
    """
    may_move, back = allowed(request, given_by_rule.PERMISSION), request.get_full_path()
    page = reverse("admin:refunded") if may_move else ""
    of_refunds = [Notice(None, refunded.in_words(refunds), page, say("See who"))] if refunds else []
    if not may_move:
        told = [Notice(each.rule, given_by_rule.in_words(each)) for each in behind.told]
        return [*told, *of_refunds]
    told = [
        Notice(
            each.rule,
            given_by_rule.in_words(each),
            given_by_rule.address(each.rule.pk, back=back)
            if each.rule
            else given_by_rule.address_of(each.products, back=back),
            say("See and move them") if each.moves else say("See who"),
            each.grants,
            "" if each.more or each.is_gone else keeping.let_keep(each.customers),
        )
        for each in behind.told
    ]
    return [*told, *of_refunds]

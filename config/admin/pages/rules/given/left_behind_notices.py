"""Buyers who have what no rule gives anymore, for all rules; pages show it unasked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages.rules.given import (
    change_links,
    given_by_rule,
    given_words,
    keeping,
    refunded,
)
from config.admin.pages.rules.given.change_links import Link
from config.admin.parts.badges import brief, rule_text
from events.reports.changed_rules import since_change
from events.reports.changed_rules.left_behind_summary import LeftBehindByRule, LeftBehindSummary
from events.reports.changed_rules.refunded import Refunded
from events.reports.counting import format_count
from integrations.sentences import Said, joined, say, say_count

# The permissions to find the change, undo it, and move who bought since.
PUTS_RIGHT = (change_links.SEES, "rules.change_rule", given_by_rule.PERMISSION)
# How long a rule may be in a sentence.


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
    """What a page says about the buyers of a rule, those of deleted rules, or refunded buyers.

    `page`, with a link called `label`, shows them; posting `grants` to it, with the button `keep`,
    lets them keep what they have. All of these are empty for a person who may not do that. There is
    no button either if there may be more buyers, because the page may show others first, or if
    nothing is left to keep. `changes` has a link to the last change of the rule, which can be
    undone there, and `order` says what to do after that.
    """

    text: Said | str
    page: str = ""
    label: Said | str = ""
    grants: Sequence[int] = ()
    keep: Said | str = ""
    changes: Sequence[Link] = ()
    order: Said | str = ""


def by_rule(
    request: HttpRequest, behind: LeftBehindSummary, refunds: Sequence[Refunded] = ()
) -> list[Notice]:
    """Return a line for each rule, one for all deleted rules, and one for refunded buyers.

    A person who may not move the buyers gets no links to do that. Takes one query if another person
    changed one of the rules, else none.
    """
    may_move, back = allowed(request, given_by_rule.PERMISSION), request.get_full_path()
    page = reverse("admin:refunded") if may_move else ""
    of_refunds = [Notice(refunded.in_words(refunds), page, say("See who"))] if refunds else []
    got = _got_since(request, behind.told)
    if not may_move:
        told = [Notice(_told(each, got), changes=_change(request, each)) for each in behind.told]
        return [*told, *of_refunds]
    told = [
        Notice(
            _told(each, got),
            given_by_rule.address(each.rule.pk, back=back)
            if each.rule
            else given_by_rule.address_of(each.products, back=back),
            given_words.label(each),
            each.grants,
            "" if each.more or each.is_gone else keeping.let_keep(each.customers),
            _change(request, each),
            _order(request, each, got),
        )
        for each in behind.told
    ]
    return [*told, *of_refunds]


def _got_since(request: HttpRequest, behind: Sequence[LeftBehindByRule]) -> dict[int, int]:
    """Return {rule ID: how many buyers got what it gives since another person changed it}."""
    me = request.user.get_username()
    changed = [each for each in behind if each.rule and each.changed and each.changed.who != me]
    since = {each.rule.pk: each.changed.at for each in changed if each.rule and each.changed}
    return since_change.got_by([each.rule for each in changed if each.rule], since)


def _told(found: LeftBehindByRule, got: Mapping[int, int]) -> Said:
    """Return the sentence about the buyers, with the rule if there still is one.

    `got` is how many buyers each rule has let in since it was changed.
    """
    text = given_words.in_words(found)
    if found.rule is None:
        return text
    if buyers := got.get(found.rule.pk):
        text = joined([text, _since(buyers, brief(found.rule.destination))])
    return say("“{rule}”: {text}", rule=rule_text(found.rule.sentence()), text=text)


def _since(buyers: int, course: str) -> Said:
    return say_count(
        buyers,
        "1 buyer since the change got {course}.",
        "{number} buyers since the change got {course}.",
        course=course,
    )


def _order(request: HttpRequest, found: LeftBehindByRule, got: Mapping[int, int]) -> Said | str:
    """Return in which order a mistake is put right, for a person who may do that; "" for others."""
    buyers = got.get(found.rule.pk) if found.rule else None
    if not buyers or not all(allowed(request, each) for each in PUTS_RIGHT):
        return ""
    return say_count(
        buyers,
        "If the change was a mistake, undo it first: then Admit offers to move this buyer.",
        "If the change was a mistake, undo it first: then Admit offers to move these {number}.",
    )


def _change(request: HttpRequest, found: LeftBehindByRule) -> Sequence[Link]:
    """Return a link to the rule's last change, for a person who may see Changes."""
    last = found.changed
    if last is None or found.rule is None:
        return ()
    return change_links.to(request, last.entry, last.who, last.at, rule_text(found.rule.sentence()))

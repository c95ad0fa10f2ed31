"""Who has what no rule gives any more, of all rules: what pages say of it unasked."""

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules import given_by_rule
from events.reports.behind_all_rules import BehindAll
from events.reports.dashboard import format_count
from integrations.sentences import Said, say, say_count
from rules.models import Rule


def in_one_sentence(behind: BehindAll) -> Said | str:
    """How many buyers, "" for none."""
    if not behind.customers:
        return ""
    return say_count(
        behind.customers,
        "1 buyer has a course of a deleted or changed rule.",
        "{number}{more} buyers have a course of a deleted or changed rule.",
        number=format_count(behind.customers),
        more="+" if behind.more else "",
    )


def by_rule(request: HttpRequest, behind: BehindAll) -> list[tuple[Rule | None, SafeString]]:
    """A sentence for each rule, and for None, which are all that were deleted, with who it is.

    Who may not move them is told, too, but without the way there.
    """
    may_move = allowed(request, given_by_rule.PERMISSION)
    found, back = [], request.get_full_path()
    for each in behind.told:
        page = given_by_rule.address_of(each.products, back=back)
        if each.rule:
            page = given_by_rule.address(each.rule.pk, back=back)
        link = format_html(' <a href="{}">{}</a>', page, say("See who")) if may_move else ""
        found.append((each.rule, format_html("{}{}", given_by_rule.in_words(each), link)))
    return found

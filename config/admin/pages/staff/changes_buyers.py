"""The way from a change of a rule to the buyers whom it left with too much or too little."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules import earlier_offer
from config.admin.pages.rules.given import given_by_rule, given_words, since_change
from events.reports.changed_rules import left_behind_summary
from events.reports.changed_rules.left_behind import left_behind
from integrations.audit import Act
from integrations.models import AuditEntry
from rules import actions
from rules.history import steps
from rules.history.rule_changes import number_before
from rules.models import Rule

# For how many rules of one line the buyers are told; the pages of the others tell of theirs.
MOST_OF_A_LINE = 3
# For how many deleted rules of a page they are looked up.
MOST_DELETED = 10
RUNS = "events.rerun_eventlog"


def of_lines(
    request: HttpRequest, groups: Sequence[Sequence[AuditEntry]]
) -> dict[int, list[SafeString]]:
    """Return, by the pk of each group's newest entry, sentences with links to the buyers.

    Where several groups are about the same rule, only the newest one tells. Takes the same queries
    for any number, none without a change of a rule.
    """
    changes = [each for each in chain.from_iterable(groups) if each.act in steps.OF_RULES]
    if not changes:
        return {}
    last = steps.newest(changes)
    told = _told(request, [each for each in changes if each.pk in last])
    found = {}
    for group in groups:
        of_group = chain.from_iterable(
            told.get(each.number, ()) for each in group if each.pk in last
        )
        if sentences := [*dict.fromkeys(of_group)][:MOST_OF_A_LINE]:
            found[group[0].pk] = sentences
    return found


def of_entry(request: HttpRequest, entry: AuditEntry) -> list[SafeString]:
    """Return the same for one entry, also if its rule was changed again since."""
    if entry.act not in steps.OF_RULES:
        return []
    return _told(request, [entry]).get(entry.number, [])


def _told(request: HttpRequest, changes: Sequence[AuditEntry]) -> dict[str, list[SafeString]]:
    """Return the sentences by the number of the rule, as entries have it."""
    numbers = [int(each.number) for each in changes if each.number.isdecimal()]
    rules = Rule.objects.filter(pk__in=numbers).with_names().in_bulk()
    deleted = [each for each in changes if each.act == Act.RULE_DELETED]
    found: dict[str, list[SafeString]] = {}
    if allowed(request, given_by_rule.PERMISSION):
        _add_left_behind(found, rules, deleted, request.get_full_path())
    if allowed(request, RUNS):
        _add_earlier(found, request, [rule for rule in rules.values() if rule.enabled])
    for number, lines in since_change.of_changes(request, changes, rules).items():
        found.setdefault(number, []).extend(lines)
    return found


def _add_left_behind(
    found: dict[str, list[SafeString]],
    rules: Mapping[int, Rule],
    deleted: Iterable[AuditEntry],
    back: str,
) -> None:
    """Add who has what a changed or deleted rule gave, and no rule gives anymore."""
    of_deleted: set[object] = set()
    for each in left_behind_summary.summarize().told:
        if each.rule is None:
            of_deleted.update(each.products)
        elif each.rule.pk in rules:
            page = given_by_rule.address(each.rule.pk, back=back)
            line = _line(given_words.in_words(each), page, given_words.label(each))
            found.setdefault(str(each.rule.pk), []).append(line)
    gave = [
        each for each in deleted if _gave(each) and number_before(each, "product") in of_deleted
    ]
    for entry in gave[:MOST_DELETED]:
        behind = left_behind(int(entry.number))
        if behind.rows:
            page = given_by_rule.address(int(entry.number), back=back)
            line = _line(given_words.in_words(behind), page, given_by_rule.label(behind))
            found.setdefault(entry.number, []).append(line)


def _add_earlier(
    found: dict[str, list[SafeString]], request: HttpRequest, rules: Sequence[Rule]
) -> None:
    """Add for which earlier buyers a rule was on too late."""
    rules = rules[: earlier_offer.MOST_RULES]
    here = request.get_full_path()
    for each in earlier_offer.of_rules(request, rules, back=here) if rules else ():
        if each["told"]:
            line = _line(each["told"], each["page"], each["label"])
            found.setdefault(str(each["rule"].pk), []).append(line)


def _gave(entry: AuditEntry) -> bool:
    return (entry.before or {}).get("action") in actions.giving_access()


def _line(text: str, page: str, label: str) -> SafeString:
    return format_html('{} <a href="{}">{}</a>', text, page, label)

"""Whom a change of a rule concerns that still stands: the buyers since then."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules import change_links, given_by_rule
from config.admin.parts.badges import brief, legible
from config.admin.parts.buttons import BACK, here, page_of
from events.execution import former_days
from events.execution.former_days import WaitingEndings
from events.models.runs import DELAYED
from events.reports import off_everywhere, since_change
from events.reports.off_everywhere import OffEverywhere
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import Said, format_day, say, say_count
from rules.models import Rule
from rules.short_sentences import in_short

SEES_ACTIONS = "events.view_rulerun"
SEES_RULES = "rules.view_rule"
RULE_SHOWN = 300


def of_changes(
    request: HttpRequest, changes: Iterable[AuditEntry], rules: Mapping[int, Rule]
) -> dict[str, list[SafeString]]:
    """Return sentences with links, by the number of the rule, as entries have it.

    For days changed after which a rule ends access, a rule turned off, and another course given.
    What an undo made so needs no sentence. `rules` are those that exist, by ID. Takes the same
    queries for any number of changes, none of no such kind.
    """
    days: dict[int, datetime] = {}
    off: dict[int, datetime] = {}
    course: dict[int, datetime] = {}
    for entry in changes:
        rule = rules.get(int(entry.number)) if entry.number.isdecimal() else None
        if rule is None or entry.act != Act.RULE_CHANGED or entry.undoes:
            continue
        for name, found in (("delay_days", days), ("enabled", off), ("destination", course)):
            if name in (entry.after or {}) and _still(rule, name):
                found[rule.pk] = entry.at
    told: dict[str, list[SafeString]] = defaultdict(list)
    back = here(request)
    for each in former_days.by_new_days(days):
        page = _endings(each.rule, back) if allowed(request, SEES_ACTIONS) else ""
        told[str(each.rule.pk)].append(_line(_waits(each), page, say("See who")))
    for missed in off_everywhere.missed([rules[pk] for pk in off], off):
        page = page_of(missed.rule) if allowed(request, SEES_RULES) else ""
        told[str(missed.rule.pk)].append(_line(_lack(missed), page, say("See the rule")))
    got = since_change.got_by([rules[pk] for pk in course], course)
    for pk, buyers in got.items():
        may = allowed(request, given_by_rule.PERMISSION)
        page = given_by_rule.address(pk, back=back) if may else ""
        told[str(pk)].append(_line(_got(rules[pk], buyers), page, say("See who")))
    return told


def of_new_days(request: HttpRequest, recent: Iterable[AuditEntry]) -> list[SafeString]:
    """Return for the Overview whose access ends by days that another person changed lately.

    `recent` are the changes of rules to look at, the newest first. Takes two queries, none if
    nobody changed days.
    """
    newest: dict[str, AuditEntry] = {}
    for each in recent:
        if "delay_days" in (each.after or {}) and each.act == Act.RULE_CHANGED:
            newest.setdefault(each.number, each)
    me = request.user.get_username()
    by_others = {
        int(number): each for number, each in newest.items() if each.who != me and not each.undoes
    }
    found = former_days.by_new_days({pk: each.at for pk, each in by_others.items()})
    return [_on_overview(request, each, by_others[each.rule.pk]) for each in found]


def _on_overview(request: HttpRequest, found: WaitingEndings, entry: AuditEntry) -> SafeString:
    rule = legible(in_short(found.rule.sentence()), RULE_SHOWN)
    links = [*change_links.to(request, entry.pk, entry.who, entry.at)]
    if allowed(request, SEES_ACTIONS):
        links.append((_endings(found.rule, here(request)), say("See who")))
    text = say("“{rule}”: {text}", rule=rule, text=_waits(found))
    shown = format_html_join("", ' <a class="button small" href="{}">{}</a>', links)
    return format_html("{}{}", text, shown)


def _still(rule: Rule, name: str) -> bool:
    """Return whether this kind of change can concern buyers, as the rule is now."""
    if name == "delay_days":
        return rule.spec.ends_access and rule.delay_days > 0
    if name == "enabled":
        return rule.gives_on_purchase and not rule.enabled
    return rule.spec.gives_access and rule.destination_id is not None


def _waits(found: WaitingEndings) -> Said:
    return say_count(
        found.buyers,
        "1 buyer's access ends on {day} by the changed days.",
        "The access of {number} buyers ends by the changed days, the first on {day}.",
        day=format_day(found.first),
    )


def _lack(found: OffEverywhere) -> Said:
    return say_count(
        found.buyers,
        "1 buyer since then does not have {course}.",
        "{number}{more} buyers since then do not have {course}.",
        course=brief(found.rule.destination),
        more="+" if found.more else "",
    )


def _got(rule: Rule, buyers: int) -> Said:
    return say_count(
        buyers,
        "1 buyer since then got {course}.",
        "{number} buyers since then got {course}.",
        course=brief(rule.destination),
    )


def _endings(rule: Rule, back: str) -> str:
    asked = {"status__exact": DELAYED, "rule__id__exact": rule.pk, BACK: back}
    return f"{reverse('admin:events_rulerun_changelist')}?{urlencode(asked)}"


def _line(text: Said, page: str, label: Said) -> SafeString:
    if not page:
        return format_html("{}", text)
    return format_html('{} <a href="{}">{}</a>', text, page, label)

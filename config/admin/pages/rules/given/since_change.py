"""Whom a change of a rule concerns that still stands: the buyers since then."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules.given import change_links, given_by_rule
from config.admin.parts.badges import brief, rule_text
from config.admin.parts.buttons import BACK, here, page_of
from events.execution import former_days
from events.execution.former_days import WaitingEndings
from events.models.runs import DELAYED
from events.reports.changed_rules import since_change, since_stopped
from events.reports.owed import off_everywhere
from events.reports.owed.off_everywhere import OffEverywhere
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import Said, format_day, say, say_count
from rules.history import rule_changes
from rules.models import Rule

SEES_ACTIONS = "events.view_rulerun"
SEES_RULES = "rules.view_rule"
SEES_PRODUCTS = "integrations.view_product"


def of_changes(
    request: HttpRequest, changes: Iterable[AuditEntry], rules: Mapping[int, Rule]
) -> dict[str, list[SafeString]]:
    """Return sentences with links, by the number of the rule, as entries have it.

    For days changed after which a rule ends access, a rule turned off or deleted, and another
    course given. What an undo made so needs no sentence. `rules` are those that exist, by ID. Takes
    the same queries for any number of changes, none of no such kind.
    """
    entries = [each for each in changes if each.number.isdecimal() and not each.undoes]
    days, off, course = _changed(entries, rules)
    told: dict[str, list[SafeString]] = defaultdict(list)
    back = here(request)
    for each in former_days.by_new_days(days):
        page = _endings(each.rule, back) if allowed(request, SEES_ACTIONS) else ""
        told[str(each.rule.pk)].append(_line(_waits(each), page, say("See who")))
    gave_off = [rules[pk] for pk in off if rules[pk].gives_on_purchase]
    for missed in off_everywhere.missed(gave_off, off):
        where = _rule_page(request, missed.rule)
        told[str(missed.rule.pk)].append(_line(_lack(missed), *where))
    for number, line in _of_stopped(request, entries, rules, off).items():
        told[str(number)].append(line)
    got = since_change.got_by([rules[pk] for pk in course], course)
    for pk, buyers in got.items():
        may = allowed(request, given_by_rule.PERMISSION)
        page = given_by_rule.address(pk, back=back, still_first=True) if may else ""
        told[str(pk)].append(_line(_got(rules[pk], buyers), page, say("See who")))
    return told


def _changed(
    entries: Iterable[AuditEntry], rules: Mapping[int, Rule]
) -> tuple[dict[int, datetime], dict[int, datetime], dict[int, datetime]]:
    """Return since when each rule has other days, is off, and gives another course, by its ID."""
    days: dict[int, datetime] = {}
    off: dict[int, datetime] = {}
    course: dict[int, datetime] = {}
    for entry in entries:
        rule = rules.get(int(entry.number))
        if rule is None or entry.act != Act.RULE_CHANGED:
            continue
        for name, found in (("delay_days", days), ("enabled", off), ("destination", course)):
            if name in (entry.after or {}) and _still(rule, name):
                found[rule.pk] = entry.at
    return days, off, course


def _of_stopped(
    request: HttpRequest,
    entries: Sequence[AuditEntry],
    rules: Mapping[int, Rule],
    off: Mapping[int, datetime],
) -> dict[int, SafeString]:
    """Return, by the number of the rule, whom a rule did not reach since it stopped.

    It was turned off or deleted, or ends something else. Of the rules `off`, these are the ones
    that end access.
    """
    told: dict[int, SafeString] = {}
    former = rule_changes.before_new_course(
        entries, {pk: rule for pk, rule in rules.items() if rule.spec.ends_access and rule.enabled}
    )
    there = {pk: rule for pk, (rule, _) in former.items()}
    there |= {pk: rules[pk] for pk in off if rules[pk].spec.ends_access}
    deleted = rule_changes.deleted(entries)
    ending = {rule.pk: rule for rule in deleted if rule.spec.ends_access} | there
    since = {int(each.number): each.at for each in entries}
    since |= {pk: at for pk, (_, at) in former.items()} | dict(off)
    for pk, buyers in since_stopped.still_in(ending.values(), since).items():
        where = (
            _rule_page(request, there[pk])
            if pk in there
            else _product_page(request, ending[pk].product_id)
        )
        told[pk] = _line(_still_has(ending[pk], buyers), *where)
    giving = {rule.pk: rule for rule in deleted if rule.gives_on_purchase}
    for pk, buyers in since_stopped.got_nothing(giving.values(), since).items():
        told[pk] = _line(_nothing(buyers), *_product_page(request, giving[pk].product_id))
    return told


def _rule_page(request: HttpRequest, rule: Rule) -> tuple[str, Said]:
    return page_of(rule) if allowed(request, SEES_RULES) else "", say("See the rule")


def _product_page(request: HttpRequest, product: int | None) -> tuple[str, Said]:
    """Return the page of the product, "" for all products, and the text of the link to it."""
    may = product is not None and allowed(request, SEES_PRODUCTS)
    return page_of(Product(pk=product)) if may else "", say("See the product")


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
    rule = rule_text(found.rule.sentence())
    links = [*change_links.of_entries(request, [entry])]
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
        return (rule.gives_on_purchase or rule.spec.ends_access) and not rule.enabled
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


def _still_has(rule: Rule, buyers: int) -> Said:
    return say_count(
        buyers,
        "1 buyer refunded or canceled since then still has {course}.",
        "{number} buyers refunded or canceled since then still have {course}.",
        course=brief(rule.destination),
    )


def _nothing(buyers: int) -> Said:
    return say_count(
        buyers,
        "1 buyer since then got nothing.",
        "{number} buyers since then got nothing.",
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

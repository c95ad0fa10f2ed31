"""What pages say of endings that wait for a day that their rule does not have anymore."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.parts.badges import rule_text
from config.admin.parts.buttons import BACK, here, way_back
from events.execution import former_days
from events.execution.former_days import FORMER_DAYS, WaitingEndings
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import Said, format_day, say, say_count
from rules.models import Rule

PERMISSION = "events.retry_rulerun"


def sentence(request: HttpRequest, rules: Iterable[Rule]) -> SafeString | None:
    """Return how many buyers' access ends by former days of these rules, with links to them.

    None if there are none, or for a person who may not change that.
    """
    numbers = [rule.pk for rule in rules if rule.spec.ends_access]
    if not numbers or not allowed(request, PERMISSION):
        return None
    found, back = former_days.by_rule(numbers), _origin(request)
    links = ((_in_words(each), _address(each.rule, back), say("See and change")) for each in found)
    shape = '{} <a class="button primary small" href="{}">{}</a>'
    return format_html_join(" ", shape, links) or None


def of_all(request: HttpRequest) -> Sequence[SafeString]:
    """Return the same for every rule, each with its rule; without links for other persons."""
    back = _origin(request) if allowed(request, PERMISSION) else None
    return [_line(each, back) for each in former_days.by_rule()]


def links_of_change(request: HttpRequest, entry: AuditEntry) -> list[tuple[str, str, str]]:
    """Return the link to the endings that still wait by the days that this change replaced.

    There is none for another change, or if none waits anymore.
    """
    changes_days = entry.act == Act.RULE_CHANGED and "delay_days" in (entry.after or {})
    if not changes_days or not allowed(request, PERMISSION):
        return []
    label, back = say("See the endings by former days"), _origin(request)
    found = former_days.by_rule([int(entry.number)])
    return [(_address(each.rule, back), "", label) for each in found]


def _origin(request: HttpRequest) -> str:
    """Return the page that the links lead back to; "" if that of a form is not known."""
    return here(request) if request.method == "GET" else way_back(request)


def _line(found: WaitingEndings, back: str | None) -> SafeString:
    rule = rule_text(found.rule.sentence())
    text = say("“{rule}”: {text}", rule=rule, text=_in_words(found))
    if back is None:
        return format_html("{}", text)
    page, label = _address(found.rule, back), say("See and change")
    return format_html('{} <a class="button small" href="{}">{}</a>', text, page, label)


def _in_words(found: WaitingEndings) -> Said:
    return say_count(
        found.buyers,
        "1 buyer's access ends on {day} by the days that the rule had before.",
        "The access of {number} buyers ends by the days that the rule had before, the first on "
        "{day}.",
        day=format_day(found.first),
    )


def _address(rule: Rule, back: str) -> str:
    asked = {"status__exact": FORMER_DAYS, "rule__id__exact": rule.pk}
    asked |= {BACK: back} if back else {}
    return f"{reverse('admin:events_rulerun_changelist')}?{urlencode(asked)}"

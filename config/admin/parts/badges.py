"""How things look on every page: badges, and texts of strangers. See `times` for times."""

import re
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import pgettext

from config.admin.parts import times
from events.models import EventLog, RuleRun
from events.reports.system.last_run import former_course
from integrations.app_registry import APPS, of
from integrations.models import Customer, Destination, Integration
from integrations.sentences import Text, format_day, say
from integrations.who import shown_who
from rules.actions.endings import STILL_GIVEN
from rules.models import Rule
from rules.short_sentences import in_short
from rules.triggers import Trigger

LONGEST_TEXT = 100_000
# A word longer than a line of a small phone: an e-mail, an address, a code.
IN_ONE_PIECE = re.compile(r"\S{20,}")
# Where it may break. Not before the last few letters: "example.com" stays together.
BREAKS = re.compile(r"(?<=[@._/-])(?=[^@._/-]{4})|(?<=[a-z])(?=[A-Z])")
STILL_LONG = re.compile(r"[^\s<>]{24,}")
# The part of an e-mail address before or after its "@" breaks only if it is longer than this.
LONGEST_PART = 23
# What was over so soon after its event needs no time of its own.
SOON_AFTER = timedelta(minutes=5)
GREEN, AMBER, RED, GREY = "good", "wait", "bad", "quiet"

RUN_COLORS: dict[RuleRun.Status, str] = {
    RuleRun.Status.DONE: GREEN,
    RuleRun.Status.WAITING: AMBER,
    RuleRun.Status.RUNNING: AMBER,
    RuleRun.Status.HELD: AMBER,
    RuleRun.Status.FAILED: RED,
    RuleRun.Status.SKIPPED: GREY,
}
CONNECTION_COLORS: dict[Integration.Connection, str] = {
    Integration.Connection.CONNECTED: GREEN,
    Integration.Connection.UNKNOWN: AMBER,
    Integration.Connection.REFUSED: RED,
    Integration.Connection.UNREACHABLE: RED,
}


@cache
def icon(name: str) -> SafeString:
    """Return an icon of static/admit/icons.svg, as decoration: words beside it say the same."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>',
        static("admit/icons.svg"),
        name,
    )


def badge(text: Text, color: str) -> SafeString:
    """Return a small label. `color` is GREEN, AMBER, RED or GREY, and the text says the same."""
    return format_html('<span class="badge badge-{}">{}{}</span>', color, icon(color), text)


def happened(event: EventLog) -> str:
    """Return what happened, in words. An ending by hand that is still to come names its day."""
    if event.by_hand == EventLog.ByHand.END:
        days = [r.next_attempt_at for r in event.runs.all() if r.is_pending and r.next_attempt_at]
        if days:
            return say("Access ends on {day} (by hand)", day=format_day(days[0]))
    return event.what_happened


def run_state(run: RuleRun) -> Text:
    """Return how an action stands, more exactly than its status while it waits."""
    status = RuleRun.Status(run.status)
    if status == RuleRun.Status.WAITING and run.is_pending:
        return say("Ends later")
    if status == RuleRun.Status.WAITING and run.attempts > 0:
        return say("Will retry")
    return say("Kept") if _is_kept(run) else status.label


def run_badge(run: RuleRun) -> SafeString:
    """Return the state of an action."""
    color = GREY if _is_kept(run) else RUN_COLORS[RuleRun.Status(run.status)]
    return badge(run_state(run), color)


def _is_kept(run: RuleRun) -> bool:
    """Return whether it was to end access, and another purchase kept it open."""
    return run.status == RuleRun.Status.DONE and run.code == STILL_GIVEN


def ended_late(run: RuleRun) -> datetime | None:
    """Return when an action was over, if that was long after its event; else None."""
    over = run.finished_at
    return over if over and over - run.received_at > SOON_AFTER else None


def connection_badge(integration: Integration) -> SafeString:
    """Return whether the site can be reached, or that it is off."""
    if not integration.enabled:
        return switch_badge(on=False)
    connection = Integration.Connection(integration.connection)
    if connection == connection.REFUSED and not of(integration).has_catalog:
        return badge(say("Secret unreadable"), RED)
    if integration.not_let_in:
        return badge(say("Never connected"), RED)
    if integration.denied:
        return badge(say("No API access"), RED)
    return badge(connection.label, CONNECTION_COLORS[connection])


def person(customer: Customer) -> SafeString:
    """Return the customer's name, and the e-mail below it, as a link to the customer's page."""
    address = breakable(brief(customer.readable_email))
    page = reverse("admin:integrations_customer_change", args=[customer.pk])
    if not customer.name:
        return format_html('<a href="{}">{}</a>', page, address)
    name = breakable(brief(customer.name))
    return format_html('<a href="{}">{} <span class="soft line">{}</span></a>', page, name, address)


def whose(run: RuleRun) -> SafeString:
    """Show whom an action is for, or what was sent if no usable address names anybody."""
    return person(run.customer) if run.customer else as_sent(run.event)


def as_sent(event: EventLog) -> SafeString:
    """Return the name and the unusable address as SamCart sent them; "–" if there are none."""
    name, address = (breakable(brief(each)) for each in (event.name_as_sent, event.email_as_sent))
    if name and address:
        return format_html('{} <span class="soft line">{}</span>', name, address)
    return name or address or format_html("{}", "–")


def changes_page(who: str) -> str:
    """Return the address of Changes with what this person did; `who` is a user name."""
    page = reverse("admin:integrations_auditentry_changelist")
    return f"{page}?{urlencode({'who': who})}"


def changes_by(who: str) -> SafeString:
    """Return the name of a person, which leads to Changes with what that person did."""
    name = breakable(brief(shown_who(who)))
    return format_html('<a href="{}">{}</a>', changes_page(who), name) if who else name


def destination(found: Destination | None) -> str:
    """Return the name of a course or bundle, and anything special: "Course Two (entered by hand)".

    That it is gone is shown by a badge of its own. "–" if the action has none.
    """
    if found is None:
        return "–"
    special = "" if found.gone_at else found.standing
    return brief(found.name) + (f" ({special})" if special else "")


def rule_line(rule: Rule) -> SafeString:
    """Return a rule as a line: "Product Purchased → enroll in Course Two · Art Academy"."""
    site = brief(rule.integration)
    what = format_html(str(rule.spec.in_short), name=_place(rule))
    more = [*([site] if rule.destination else []), *rule.how]
    line = format_html("{} → {}", Trigger(rule.trigger).label, what)
    if not more:
        return line
    rest = format_html_join(" · ", "{}", ((breakable(each),) for each in more))
    return format_html('{} <span class="soft">· {}</span>', line, rest)


def does(rule: Rule) -> SafeString:
    """Return what a rule does: "Enroll in Course Two"."""
    return format_html(capfirst(str(rule.spec.in_short)), name=_place(rule))


def _place(rule: Rule) -> SafeString:
    return breakable(destination(rule.destination) if rule.destination else brief(rule.integration))


def run_in_words(run: RuleRun, place: Text = "") -> str:
    """Return what an action does, as plain text: "Enroll in Course Two"; or in that `place`."""
    return capfirst(str(run.spec.in_short)).format(name=place or run.destination_name)


def run_line(run: RuleRun) -> SafeString:
    """Return what an action does: "Enroll in Course Two"."""
    name = breakable(brief(run.destination_name))
    return format_html(capfirst(str(run.spec.in_short)), name=name)


def outside(run: RuleRun) -> str:
    """Return the name of what the action calls: "Thinkific", "the receiver"."""
    return str(APPS[run.spec.app].outside)


def switch_badge(on: bool) -> SafeString:
    if on:
        return badge(pgettext("switch", "On"), GREEN)
    return badge(pgettext("switch", "Off"), GREY)


def last_run(rule: Any) -> SafeString:
    """Return when a rule last ran, and its course then if it has another one now."""
    shown = times.ago(rule.last_run, say("Never"))
    if not (former := former_course(rule)):
        return shown
    course = say("still for {course}", course=brief(former))
    # One element, as the value beside a label on a phone.
    return format_html('<span>{} <span class="soft">{}</span></span>', shown, breakable(course))


def legible(text: Any, longest: int = LONGEST_TEXT) -> str:
    """Return a stranger's text, cut to `longest`; characters that hide or turn text are escaped.

    It is cut after a word, if one ends in the last quarter.
    """
    whole = str(text)
    shown = whole[:longest]
    if len(whole) > longest and not whole[longest].isspace():
        at_word = shown.rpartition(" ")[0]
        shown = at_word if len(at_word) >= longest * 3 // 4 else shown
    if not shown.isprintable():  # rare, and checking each character is slow
        shown = "".join(
            sign if sign.isprintable() or sign in "\n\t" else f"\\u{ord(sign):04x}"
            for sign in shown
        )
    return shown.rstrip(" ,;:") + "…" if len(whole) > longest else shown


def brief(text: Any) -> str:
    """Return the same on one line, cut to fit a cell of a table."""
    return legible(" ".join(str(text)[:400].split()), 120)


def rule_text(sentence: Any) -> str:
    """Return a rule's sentence in few words, for a sentence about the rule."""
    return legible(in_short(sentence), 300)


def breakable(text: Any) -> SafeString:
    """Return a text as HTML, in which a long e-mail, address or code can break across lines.

    An e-mail breaks before its "@". Others break after a punctuation mark or before a capital; a
    long code of small letters breaks anywhere. A SafeString is left as it is, because it may hold
    tags.
    """
    if isinstance(text, SafeString):
        return text
    html = IN_ONE_PIECE.sub(lambda found: _with_breaks(found[0]), escape(str(text)))
    html = STILL_LONG.sub(r'<span class="break-anywhere">\g<0></span>', html)
    return mark_safe(html)  # noqa: S308 - escaped above


def _with_breaks(word: str) -> str:
    if word.count("@") != 1:
        return BREAKS.sub("<wbr>", word)
    parts = word.split("@")
    return "<wbr>@".join(
        BREAKS.sub("<wbr>", part) if len(part) > LONGEST_PART else part for part in parts
    )

"""Filters and tags of our templates, such as {{ moment|when }} and {% row_buttons %}."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django import template
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR
from django.contrib.messages.storage.base import Message
from django.db.models import Model
from django.template.context import RequestContext
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from config.admin.parts import badges, batch_message, buttons, changed, event_result, times
from config.admin.parts.buttons import BACK, Buttons
from config.staff import preferences
from config.staff import whom_to_ask as askable
from events.access import going_on
from events.models import RuleRun
from events.reports.system import api_calls, backlog, trigger_coverage
from integrations.finding import mistyped_email
from integrations.sentences import Said, say
from integrations.who import OWNERS_ONLY, shown_who
from rules import short_sentences
from rules.listing import listed

register = template.Library()

register.simple_tag(going_on.given_by_hand_waits)
register.filter(going_on.needed)
register.simple_tag(trigger_coverage.without_last_payments)

register.filter("when", times.when)
register.filter("ago", times.ago)
register.filter("breakable", badges.breakable)
register.filter("as_text", badges.legible)
register.filter("badge", badges.badge)
register.filter("event_badge", event_result.event_badge)
register.filter("happened", badges.happened)
register.filter("run_badge", badges.run_badge)
register.filter("ended_late", badges.ended_late)
register.filter("connection_badge", badges.connection_badge)
register.filter("switch_badge", badges.switch_badge)
register.filter("destination", badges.destination)
register.filter("outside", badges.outside)
register.filter("rule_line", badges.rule_line)
register.filter("does", badges.does)
register.filter("last_run", badges.last_run)
register.filter("run_line", badges.run_line)
register.filter("person", badges.person)
register.filter("mistyped", mistyped_email.doubt)
register.filter("whose", badges.whose)
register.filter("as_sent", badges.as_sent)
register.filter("who", shown_who)
register.filter("changes_by", badges.changes_by)
register.filter("attempts", api_calls.attempts)
register.filter("in_short", short_sentences.in_short)


register.simple_tag(badges.icon, name="icon")


@register.filter
def legible(text: Any, longest: int = badges.LONGEST_TEXT) -> SafeString:
    """Show what a stranger sent. In a <textarea>, where tags are not read, use `as_text`."""
    return badges.breakable(badges.legible(text, longest))


@register.filter
def brief(text: Any) -> SafeString:
    return badges.breakable(badges.brief(text))


@register.filter
def type_name(value: object) -> str:
    """Return the name of a value's class, for a template that draws several kinds of values."""
    return type(value).__name__


@register.simple_tag
def time_zone() -> str:
    """Return the name of the zone in which the page shows times: "America/New York"."""
    return preferences.readable(timezone.get_current_timezone_name())


@register.filter
def in_two_lines(sentence: str) -> SafeString:
    """Show a rule's sentence in two lines: what it does, and below it when."""
    does, when = (legible(part, 500) for part in short_sentences.in_two_lines(sentence))
    return format_html('{} <span class="soft line">{}</span>', does, when) if when else does


@register.filter
def with_rows(results: Any, cl: Any) -> list[tuple[Any, Any]]:
    """Return the rows of a list, each together with its cells."""
    return list(zip(cl.result_list, results, strict=True))


@register.filter
def labels(headers: list[dict[str, Any]]) -> list[str]:
    """Return the headings of the columns, for `labeled`."""
    names = [str(header["text"]) for header in headers]
    # The columns of the tick boxes and the buttons are headed by markup, not by a word.
    return ["" if "<" in name else conditional_escape(capfirst(name)) for name in names]


@register.filter
def labeled(cells: Any, labels: list[str]) -> list[SafeString]:
    """Label each cell of a row with the heading of its column: on phones rows become cards.

    A cell that shows only a dash gets the class "nothing", and cards leave it out.
    """
    return [_with_label(cell, label) for cell, label in zip(cells, labels, strict=False)]


@register.simple_block_tag
def cards(content: str, *headings: str, labelledby: str = "", label: str = "") -> SafeString:
    """Draw the rows in `content` as a table that becomes cards on phones.

    "" heads the column of buttons. `labelledby` is the ID of the heading that names the table, or
    `label` is its name: {% cards _("When") _("What") "" labelledby="lately" %}<tr>…{% endcards %}
    """
    buttons = format_html('<span class="visually-hidden">{}</span>', say("Buttons"))
    columns = ((heading or buttons,) for heading in headings)
    return format_html(
        '<div class="table-frame"><table class="cards" {}="{}">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        "aria-labelledby" if labelledby else "aria-label",
        labelledby or label,
        format_html_join("", '<th scope="col">{}</th>', columns),
        content,
    )


def _with_label(cell: str, label: str) -> SafeString:
    if cell.endswith(">–</td>"):
        cell = cell.replace('class="', 'class="nothing ', 1)
    # A cell begins with its own tag, made by Django: "<td class=" or "<th class=".
    return mark_safe(f'{cell[:3]} data-label="{label}"{cell[3:]}')  # noqa: S308 - both escaped


@register.simple_tag(takes_context=True)
def way_back_here(context: RequestContext) -> str:
    """Return "back=...", for a link to a page that is to lead back to this one."""
    return urlencode({BACK: context["request"].get_full_path()})


@register.simple_tag(takes_context=True)
def page_buttons(context: RequestContext, thing: Any, links: Any = None) -> SafeString:
    """Show the buttons of a page that this person may press, as forms that POST.

    `links` are those to other pages, if they are known already.
    """
    return _model_admin(thing).page_buttons(context["request"], thing, links)


@register.simple_tag(takes_context=True)
def row_buttons(context: RequestContext, thing: Any) -> SafeString:
    """Show the buttons of a row in a table of our own.

    The form around the table carries the token and {% back_here %}.
    """
    return _model_admin(thing).row_buttons(context["request"], thing)


def _model_admin(thing: Model) -> Buttons:
    """Return the ModelAdmin that lists the buttons of such a row."""
    found = admin.site.get_model_admin(type(thing))
    assert isinstance(found, Buttons)
    return found


@register.inclusion_tag("admin/last_change.html", takes_context=True)
def last_change(context: RequestContext, thing: Model) -> dict[str, Any]:
    """Show who changed this last, to those who may see it."""
    request = context["request"]
    if not request.user.has_perm("integrations.view_auditentry"):
        return {}
    entry = changed.last(thing)
    return {"request": request, "entry": entry, "ago": changed.ago(entry) if entry else ""}


@register.inclusion_tag("admin/integrations/integration/off.html", takes_context=True)
def turned_off(context: RequestContext, runs: Iterable[RuleRun]) -> dict[str, Any]:
    """Show the integrations that are off and make these actions wait, each with its button."""
    found = {"found": backlog.turned_off(runs)}
    return found | {name: context.get(name) for name in ("request", "csrf_token", "perms")}


@register.simple_tag(takes_context=True)
def back_here(context: RequestContext) -> SafeString:
    """Show a hidden field by which the buttons of a form lead back to this page."""
    return buttons.back_field(context["request"])


@register.simple_tag(takes_context=True)
def follow_up(context: RequestContext, message: Message) -> batch_message.BatchMessage | None:
    """Return the batch that this message follows, with how far it is; None if it follows none."""
    back, page_waits = context["request"].get_full_path(), bool(context.get("under_way"))
    return batch_message.read(message, back=back, page_waits=page_waits)


@register.simple_tag(takes_context=True)
def whom_to_ask(context: RequestContext, permission: str) -> Said:
    """Return "Max or Nora", who may do what the person may not; "a manager" without names.

    What only owners may do is for "an owner".
    """
    found = askable.names(context["request"], permission)
    if not found:
        return say("an owner") if permission == OWNERS_ONLY else say("a manager")
    return listed([badges.brief(name) for name in found], any_of=True)


@register.filter
def number_of_rules(groups: Iterable[Any]) -> int:
    """Return how many leftover rules these groups have."""
    return sum(len(group.leftovers) for group in groups)


@register.filter
def of_row(found: Mapping[int, Any], row: Model) -> Any:
    """Return what was found for this row, "" if nothing was; `found` is by the rows' numbers."""
    return found.get(row.pk, "")


@register.filter
def most_first(query: str) -> str:
    """Make Django's link for sorting by a new column sort in descending order."""
    return query.replace(f"{ORDER_VAR}=", f"{ORDER_VAR}=-")


@register.filter
def chosen(choices: list[dict[str, Any]]) -> str:
    """Return what a filter is set to; "" for its first choice, which is always "All"."""
    return next((str(choice["display"]) for choice in choices[1:] if choice["selected"]), "")


@register.filter
def choices_in(spec: Any, changelist: Any) -> list[dict[str, Any]]:
    """Return the choices of a filter of this list."""
    return list(spec.choices(changelist))


@register.filter
def at_hand(spec: Any, choices: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the choice that is one tap away beside the filters; None if another is chosen."""
    first = choices[1] if getattr(spec, "first_at_hand", False) else None
    return None if any(choice["selected"] for choice in choices[1:]) else first


@register.filter
def looks_for_a_choice(changelist: Any) -> bool:
    """Return whether a person searches among a filter's choices, so that it stays open."""
    return any(getattr(spec, "word", "") for spec in changelist.filter_specs)


@register.filter
def spoken_count(changelist: Any) -> str:
    """Return "1 event" or "1,000+ events"."""
    number, meta = changelist.paginator.spoken, changelist.opts
    if number == "1":
        return f"1 {changelist.model_admin.one or meta.verbose_name}"
    return f"{number} {changelist.model_admin.many or meta.verbose_name_plural}"


@register.filter
def besides(counts: Iterable[tuple[Any, int]], thing: Model) -> list[str]:
    """Return what is deleted along with the thing: "1 rule", "2 rules"."""
    names = {str(each._meta.verbose_name_plural): each._meta for each in apps.get_models()}
    own = thing._meta.verbose_name_plural
    found: list[str] = []
    for many, count in counts:
        others = count - (many == own)
        if others and many in names:
            rows = names[many].verbose_name if others == 1 else many
            found.append(say("{number} {rows}", number=others, rows=rows))
    return found

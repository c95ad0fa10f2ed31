"""Lists as CSV files: the log, the actions, the customers and the coverage, as filtered."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from config.admin.pages.log.actions import ActionAdmin
from config.admin.pages.log.log import LogAdmin
from config.admin.pages.products.coverage_filter import Filter, name_of
from config.admin.pages.products.trigger_cells import in_words
from config.admin.parts import csv_file, event_result
from config.admin.parts.badges import run_in_words, run_state
from config.admin.parts.confirm import ask_before_file
from config.admin.parts.page import Page
from config.admin.parts.params import word
from config.staff import people, preferences
from events.access import moves
from events.execution import wait_reasons
from events.models import EventLog, Grant, RuleRun
from events.reports import amounts, site_names
from events.reports.access import bundle_parts
from events.reports.customers import customer_search
from events.reports.products.coverage import Coverage, State, coverage
from integrations import audit
from integrations.audit import Act, Subject
from integrations.models import Customer
from integrations.sentences import Text, say
from rules.models import Rule
from rules.triggers import Trigger

PERMISSION = "events.csv_eventlog"
# How many customers a search may find; without a search all of them are written.
MOST_FOUND = 10_000
Lines = Iterable[Sequence[Any]]
# A table, and the pks of the rows that were asked for.
Asked = tuple[QuerySet[Any], "array[int]"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A list as a file; `page` is the list's page, and `lines` turns some rows into cells."""

    name: str
    page: str
    file: Text
    headings: Sequence[Text]
    lines: Callable[[list[Any]], Lines]


def _events(events: list[EventLog]) -> Lines:
    event_result.note(events)
    paid = amounts.of_events(events)
    ran = [run for event in events for run in event.runs.all()]
    several = site_names.on_several_sites({run.destination_name for run in ran})
    for event in events:
        customer = event.customer
        done = [f"{_what(run, several)}: {run_state(run)}" for run in event.runs.all()]
        yield (
            event.received_at,
            event.what_happened or event.raw_type,
            event_result.result(event)[0],
            event.explanation,
            customer.readable_email if customer else event.email_as_sent,
            customer.name if customer else event.name_as_sent,
            event.product.name if event.product else "",
            event.product.external_id if event.product else "",
            event.order_id,
            paid[event.pk].price,
            paid[event.pk].order_total,
            "; ".join(done),
        )


def _what(run: RuleRun, several: Collection[str]) -> str:
    """Return what the action does, with the site if `several` have a course of that name."""
    name = run.destination_name
    place = site_names.with_site(name, name, run.integration or run.site, several)
    return run_in_words(run, place)


def _actions(runs: list[RuleRun]) -> Lines:
    told = wait_reasons.reasons(runs)
    for run in runs:
        yield (
            run.received_at,
            run.finished_at,
            run_in_words(run),
            run.destination_name,
            str(run.integration or ""),
            run.customer.readable_email if run.customer else run.event.email_as_sent,
            run.customer.name if run.customer else run.event.name_as_sent,
            run.event.order_id,
            str(run_state(run)),
            told[run.pk],
            run.attempts,
        )


def _customers(customers: list[Customer]) -> Lines:
    held: dict[int, list[str]] = defaultdict(list)
    rows = Grant.objects.active().filter(customer__in=customers).order_by("pk")
    grants = list(rows.select_related("integration"))
    in_part = bundle_parts.bundles_in_part(grants)
    several = site_names.on_several_sites({grant.name for grant in grants})
    for grant in grants:
        shown = bundle_parts.named_in_part(grant, in_part)
        named = site_names.with_site(shown, grant.name, grant.integration, several)
        held[grant.customer_id].append(named)
    moved = moves.all_moved_to([each.pk for each in customers if each.pk not in held])
    for each in customers:
        has, to = "; ".join(dict.fromkeys(held[each.pk])), moved.get(each.pk)
        moved_to = to.readable_email if to else ""
        yield each.readable_email, each.first_name, each.last_name, each.created_at, has, moved_to


def _coverage(rows: list[Coverage]) -> Lines:
    def covered(states: list[tuple[Trigger, State]], *wanted: State) -> str:
        return "; ".join(in_words(*each) for each in states if each[1] in wanted)

    every = [rule for row in rows for rule in [*row.given, *row.given_everywhere]]
    names = {rule.destination.name for rule in every if rule.destination}
    several = site_names.on_several_sites(names)
    for row in rows:
        states = [*row.ended_by, *row.given_back_by]
        yield (
            str(row.marketplace),
            name_of(row),
            row.product.external_id if row.product else "",
            "; ".join(_place(rule, several) for rule in [*row.given, *row.given_everywhere]),
            covered(row.ended_by, State.COVERED, State.INCLUDED),
            covered(row.given_back_by, State.COVERED),
            covered(states, State.MISSING),
            covered(states, State.OFF),
            row.sales,
            row.without_access,
        )


def _place(rule: Rule, several: Collection[str]) -> str:
    name = rule.destination.name if rule.destination else ""
    return site_names.with_site(str(rule.destination), name, rule.integration, several)


_EVENT = (
    _("Received ({zone})"),
    _("Event"),
    _("Result"),
    _("Reason"),
    _("E-mail"),
    _("Name"),
    _("Product"),
    _("SamCart product ID"),
    _("Order"),
    _("Price"),
    _("Total of the order"),
    _("Actions"),
)
_ACTION = (
    _("Received ({zone})"),
    _("Finished ({zone})"),
    _("Action"),
    _("Course or bundle"),
    _("Integration"),
    _("E-mail"),
    _("Name"),
    _("Order"),
    _("Result"),
    _("What happened"),
    _("Attempts"),
)
_CUSTOMER = (
    _("E-mail"),
    _("First name"),
    _("Last name"),
    _("Known since ({zone})"),
    _("Has now"),
    _("Moved to"),
)
_COVERAGE = (
    _("SamCart account"),
    _("Product"),
    _("SamCart product ID"),
    _("Gives"),
    _("Ended by"),
    _("Given back by"),
    _("No rule for"),
    _("Rules are off for"),
    _("Sales in 30 days"),
    _("Buyers without access"),
)
LOG = Sheet("log", "admin:events_eventlog_changelist", _("log"), _EVENT, _events)
ACTIONS = Sheet("actions", "admin:events_rulerun_changelist", _("actions"), _ACTION, _actions)
CUSTOMERS = Sheet(
    "customers", "admin:integrations_customer_changelist", _("customers"), _CUSTOMER, _customers
)
COVERAGE = Sheet("coverage", "admin:coverage", _("coverage"), _COVERAGE, _coverage)


def _of_list(sheet: Sheet, model: type[Model]) -> Page:
    """The page for a list of Django's admin, filtered and searched as its address says."""

    def rows(request: HttpRequest) -> Asked:
        model_admin = admin.site.get_model_admin(model)
        assert isinstance(model_admin, LogAdmin | ActionAdmin)
        if not model_admin.has_view_permission(request):
            raise PermissionDenied
        table = model_admin.get_queryset(request).select_related(*model_admin.list_select_related)
        found = model_admin.get_changelist_instance(request).get_queryset(request)
        return table, csv_file.numbers(found)

    return _page(sheet, rows)


def _searched(request: HttpRequest) -> Asked:
    """Return all customers, or those that the search on their page finds."""
    if not request.user.has_perm("integrations.view_customer"):
        raise PermissionDenied
    everybody = Customer.objects.order_by("email", "pk")
    term = word(request.GET.get("q"), customer_search.LONGEST)
    if not term:
        return everybody, csv_file.numbers(everybody)
    found = customer_search.find(term, most=MOST_FOUND).customers
    return everybody, array("q", [customer.pk for customer in found])


def _page(sheet: Sheet, rows: Callable[[HttpRequest], Asked]) -> Page:
    @require_POST
    def show(request: HttpRequest) -> HttpResponseBase:
        if page := _ask(request, sheet):
            return page
        try:
            table, pks = rows(request)
        except IncorrectLookupParameters:
            text = say(
                "No file was made: the link has a filter that this list does not know. Open the "
                "list, choose the filter, and download again."
            )
            messages.warning(request, text)
            return HttpResponseRedirect(reverse("admin:index"))
        _record(request, sheet, len(pks))
        lines = csv_file.in_chunks(table.order_by(), pks, sheet.lines)
        return _file(request, sheet, lines)

    return Page(f"csv/{sheet.name}/", f"csv-{sheet.name}", show, PERMISSION)


@require_POST
def _coverage_file(request: HttpRequest) -> HttpResponseBase:
    if not request.user.has_perm("rules.view_rule"):
        raise PermissionDenied
    if page := _ask(request, COVERAGE):
        return page
    rows = Filter.read(request.GET).of(coverage())
    _record(request, COVERAGE, len(rows))
    return _file(request, COVERAGE, COVERAGE.lines(rows))


def _ask(request: HttpRequest, sheet: Sheet) -> HttpResponse | None:
    """Return the page to show before the file, or None."""
    query = request.GET.urlencode()
    return ask_before_file(request, back=reverse(sheet.page) + (f"?{query}" if query else ""))


def _file(request: HttpRequest, sheet: Sheet, lines: Lines) -> HttpResponseBase:
    # A download is a POST, for which the middleware does not set the reader's time zone.
    zone = preferences.of(people.signed_in(request)).zone
    return csv_file.response(sheet.file, sheet.headings, lines, zone)


def _record(request: HttpRequest, sheet: Sheet, number: int) -> None:
    """Add the audit entry, before the first line is sent: no data leaves without one."""
    given = [(word(name), word(value)) for name, value in request.GET.items()]
    asked = {name: value for name, value in given if value}
    after: dict[str, Any] = {"rows": number} | ({"filter": asked} if asked else {})
    audit.record(Act.LIST_DOWNLOADED, Subject(name=say(sheet.file)), after=after)


PAGES = [
    _of_list(LOG, EventLog),
    _of_list(ACTIONS, RuleRun),
    _page(CUSTOMERS, _searched),
    Page("csv/coverage/", "csv-coverage", _coverage_file, PERMISSION),
]

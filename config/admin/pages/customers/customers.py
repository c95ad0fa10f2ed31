"""Customers: type whatever you know, and read in one line whether the person can get in."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page
from django.db.models import Model, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from config.admin.pages.customers import by_hand, person_data
from config.admin.parts import badges, batch_links, event_result
from config.admin.parts.buttons import EMAIL, Button, links_to_customers, page_of
from config.admin.parts.changelist import CappedPaginator, ReadOnly
from config.admin.parts.confirm import ask_before_file
from config.admin.parts.page import render
from config.admin.parts.params import page_number
from events.access import moves
from events.access.ledger import Judgment
from events.execution import wait_reasons
from events.models import EventLog, RuleRun
from events.models.event_status import read_again
from events.reports import (
    amounts,
    api_calls,
    batches,
    customer_access,
    customer_search,
    glance,
    keeping_decisions,
)
from events.reports.standing import standings
from integrations import app_registry, audit, mistyped_email
from integrations.audit import Act
from integrations.models import Customer, Integration, ThinkificUser
from integrations.sentences import Said, say
from integrations.targets import Target, course_target
from integrations.thinkific import student_check
from integrations.thinkific.explain import FAULTS, explain

PER_PAGE, NEWEST = 50, 25
MOST_OF_OTHERS = 200
BODIES = "events.view_delivery"


@admin.register(Customer)
class CustomerAdmin(ReadOnly):
    list_title = _("Customers")
    search_fields = ("email",)
    buttons = (
        Button(
            "ask_thinkific",
            _("Check in Thinkific"),
            "integrations.check_thinkificuser",
            in_row=False,
        ),
        Button(
            "download_data", _("Download all data"), person_data.EXPORT, in_row=False, last=True
        ),
    )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The search. One hit opens the customer's page at once."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = request.GET.get("q", "")
        found = customer_search.find(term)
        if found.only is not None:
            address = reverse("admin:integrations_customer_change", args=[found.only.pk])
            return HttpResponseRedirect(address)
        return render(
            request,
            "admin/integrations/customer/search.html",
            title=say("Customers"),
            term=term,
            found=found,
            people=_at_a_glance(found.customers),
            newest=[] if term else _at_a_glance(customer_search.newest(NEWEST)),
            similar=links_to_customers(found.similar, term),
            most=customer_search.MAX_RESULTS,
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> TemplateResponse:
        """The customer's page: the answer, who it is, and everything that happened."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        customer: Customer = self.existing(request, object_id)
        shown = _events_of(customer, page_number(request.GET.get("p")))
        students = ThinkificUser.objects.filter(customer=customer)
        # Read before the answer: what ends in between is still followed, which corrects the page.
        timeline = _timeline(request, shown)
        answer = customer_access.describe(customer)
        doubt = "" if answer.is_settled else mistyped_email.doubt(customer.readable_email)
        links = self.page_links(request, customer)
        if doubt and answer.may_move and EMAIL not in request.GET:
            links = by_hand.without_move(links)  # its button stands beside the doubt
        links = by_hand.give_last(links) if answer.waits_for_site else links
        return render(
            request,
            "admin/integrations/customer/customer.html",
            title=badges.brief(self.title_of(customer)),
            original=customer,
            answer=answer,
            doubt=doubt,
            links=links,
            repaired=mistyped_email.repaired(customer.readable_email),
            language=dict(settings.LANGUAGES)[answer.language],
            totals=glance.totals(customer, answer.targets),
            thinkific_users=students.select_related("integration"),
            paid=amounts.sentences_of(shown) if request.user.has_perm(BODIES) else {},
            **timeline,
            now=timezone.now(),
            zone=timezone.get_current_timezone_name(),
            pages=shown,
            samcart_id=_samcart_id(customer, shown),
        )

    def page_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        assert isinstance(thing, Customer)
        return [*by_hand.links(request, thing), *person_data.links(request, thing)]

    def title_of(self, thing: Customer) -> str:
        return thing.name or thing.readable_email

    def download_data(self, request: HttpRequest, customer: Customer) -> HttpResponse:
        """Download all data of the customer, who has a right to it."""
        back = page_of(customer)
        return ask_before_file(request, back=back) or person_data.download(customer)

    # What Thinkific says now

    def ask_thinkific(self, request: HttpRequest, customer: Customer) -> None:
        """Ask each site that has actions of the customer; if none has, the first three sites."""
        schools = Integration.objects.filter(app__in=app_registry.with_catalog())
        touched = schools.filter(runs__customer=customer).distinct()
        sites = list(touched.order_by("name")) or list(schools.order_by("name")[:3])
        for site in sites:
            audit.record(Act.STUDENT_CHECKED, customer, after={"site": str(site)})
            self._check(request, site, customer)
        if not sites:
            text = say("No Thinkific site is connected yet.")
            self.message_user(request, text, messages.WARNING)

    def _check(self, request: HttpRequest, site: Integration, customer: Customer) -> None:
        try:
            checked = student_check.check(site, customer)
        except FAULTS as error:
            text = say("{site}: not read. {why}", site=site, why=explain(error))
            self.message_user(request, text, messages.ERROR)
            return
        if checked.user_id is None:
            email = customer.readable_email
            text = say("{site} has no student with {email}.", site=site, email=email)
            self.message_user(request, text, messages.WARNING)
            return
        states = [f"{badges.brief(each.name)}: {each.state}" for each in checked.enrolled]
        text = say("{site} says now: enrolled in nothing.", site=site)
        if states:
            text = say("{site} says now: {states}.", site=site, states="; ".join(states))
        self.message_user(request, text)
        for difference in _differences(site, customer, checked):
            self.message_user(request, difference, messages.WARNING)


def _samcart_id(customer: Customer, events: Iterable[EventLog]) -> str:
    """Return the newest SamCart number of the customer's own events, else of the others; or ""."""
    own_first = sorted(events, key=lambda event: event.customer_id != customer.pk)
    return next((each.samcart_customer_id for each in own_first if each.samcart_customer_id), "")


def _events_of(customer: Customer, number: int) -> Page[EventLog]:
    """Return one page of the customer's events, newest first, with their actions."""
    runs = RuleRun.objects.select_related("integration", "grant", "customer").order_by("pk")
    events = (
        _about(customer)
        .select_related("product")
        .defer("verdicts", "custom_fields")
        .prefetch_related(Prefetch("runs", runs))
        .order_by("-received_at", "-pk")
    )
    return CappedPaginator.at_page(events, PER_PAGE, number).get_page(number)


def _timeline(request: HttpRequest, shown: Page[EventLog]) -> dict[str, Any]:
    """Return the events with their actions, and what each action waits for.

    With an event that moved access here comes the customer from whom.
    """
    of_event = {event.pk: list(event.runs.all()) for event in shown}
    read_again((event, of_event[event.pk]) for event in shown)
    done = batches.batch_acts(of_event)
    # What an undo gave back stands with the event at which it was undone.
    back = batches.given_back(done)
    elsewhere = {run.pk for given in back.values() for run in given}
    for pk, own in of_event.items():
        here = [*(run for run in own if run.pk not in elsewhere), *back.get(pk, ())]
        of_event[pk] = sorted(here, key=lambda run: run.pk)
    runs = [run for each in of_event.values() for run in each]
    told, calls = wait_reasons.reasons(runs), api_calls.without_bodies(runs)
    event_result.note(shown)
    failed = api_calls.failed_attempts(runs, calls)
    facts = {run.pk: (run, told[run.pk], failed.get(run.pk, [])) for run in runs}
    lines, sources = _lines(request, of_event, done), moves.moved_from(runs)
    with_others = {pk: batch_links.among(each, lines[pk]) for pk, each in of_event.items()}
    steps = []
    for event in shown:
        before, after = with_others[event.pk].before, with_others[event.pk].after
        rows = [
            [(before[run.pk], *facts[run.pk]) for run in part]
            for part in _acting_and_idle(of_event[event.pk])
        ]
        steps.append((event, *rows, after, sources.get(event.pk)))
    return {
        "steps": steps,
        "runs": runs,
        "tried": [(run.pk, api_calls.retry_sentence(run, failed.get(run.pk, ()))) for run in runs],
        "under_way": wait_reasons.under_way(runs),
    }


def _lines(
    request: HttpRequest, events: Collection[int], done: batches.Done
) -> dict[int, list[tuple[datetime, SafeString]]]:
    """Return {event: what persons did about it, with the time, the oldest first}."""
    of_batches, decided = batch_links.of_events(request, done), keeping_decisions.of_events(events)
    found = {}
    for event in events:
        shown = [
            (at, format_html("{} {}", badges.when(at), badges.legible(text, 1000)))
            for at, text in decided.get(event, ())
        ]
        found[event] = sorted([*of_batches.get(event, []), *shown], key=lambda line: line[0])
    return found


def _acting_and_idle(runs: Sequence[RuleRun]) -> tuple[list[RuleRun], list[RuleRun]]:
    """Return the actions to show, and several that had nothing to end, which the page folds.

    Rules for every product also run for refunds of products that give something else.
    """
    idle = [run for run in runs if run.code == Judgment.GAVE_NOTHING]
    if len(idle) < 2:
        return [*runs], []
    return [run for run in runs if run not in idle], idle


def _at_a_glance(customers: list[Customer]) -> list[tuple[Customer, glance.Glance]]:
    found = glance.glances(customers)
    return [(each, found[each.pk]) for each in customers]


def _about(customer: Customer) -> QuerySet[EventLog]:
    """Return the customer's events, and those of others that changed this customer's access."""
    own = Q(customer=customer)
    runs = RuleRun.objects.filter(customer=customer).exclude(event__customer=customer)
    others = list(runs.order_by().values_list("event", flat=True)[:MOST_OF_OTHERS])
    return EventLog.objects.filter(own | Q(pk__in=others) if others else own)


def _differences(
    site: Integration, customer: Customer, checked: student_check.Checked
) -> list[Said]:
    """Return a sentence for each course whose state in Thinkific is not what Admit left."""
    opens = {course_target(each.course_id) for each in checked.enrolled if each.opens}
    found = []
    for each in standings(customer):
        if each.integration != site.pk or not Target.parse(each.target).is_course:
            continue
        if each.is_open and each.target not in opens:
            text = say(
                "Admit gave {name}, but it does not open now: somebody changed it in Thinkific. "
                "Retry or enroll by hand.",
                name=badges.brief(each.name),
            )
            found.append(text)
        elif each.ended and not each.given and not each.is_open and each.target in opens:
            text = say(
                "Admit ended {name}, but it opens now: somebody gave it again in Thinkific, "
                "or a bundle did.",
                name=badges.brief(each.name),
            )
            found.append(text)
    return found

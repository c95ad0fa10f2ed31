"""Customers: type whatever you know, and read in one line whether the person can get in."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.admin.pages.customers import by_hand, person_data, timeline
from config.admin.pages.customers.by_hand_forms import other_email
from config.admin.parts import badges
from config.admin.parts.buttons import EMAIL, Button, links_to_customers, page_of
from config.admin.parts.changelist import ReadOnly
from config.admin.parts.confirm import ask_before_file
from config.admin.parts.page import render
from config.admin.parts.params import page_number
from events.models import EventLog
from events.reports import amounts
from events.reports.access.standing import standings
from events.reports.customers import customer_access, customer_search, glance
from integrations import app_registry, audit
from integrations.audit import Act
from integrations.finding import mistyped_email
from integrations.models import Customer, Integration, ThinkificUser
from integrations.sentences import Said, say
from integrations.targets import Target, course_target
from integrations.thinkific import student_check
from integrations.thinkific.explain import FAULTS, explain

NEWEST = 25
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
        shown = timeline.events_of(customer, page_number(request.GET.get("p")))
        students = ThinkificUser.objects.filter(customer=customer)
        # Read before the answer: what ends in between is still followed, which corrects the page.
        steps = timeline.timeline(request, shown)
        searched = other_email(customer, request.GET.get(EMAIL))
        answer = customer_access.describe(customer, searched=searched)
        links = self.page_links(request, customer)
        if answer.doubt and answer.may_move and EMAIL not in request.GET:
            links = by_hand.without_move(links)  # its button stands beside the doubt
        links = by_hand.give_last(links) if answer.waits_for_site else links
        return render(
            request,
            "admin/integrations/customer/customer.html",
            title=badges.brief(self.title_of(customer)),
            original=customer,
            answer=answer,
            links=links,
            repaired=mistyped_email.repaired(customer.readable_email),
            language=dict(settings.LANGUAGES)[answer.language],
            totals=glance.totals(customer, answer.targets),
            thinkific_users=students.select_related("integration"),
            paid=amounts.sentences_of(shown) if request.user.has_perm(BODIES) else {},
            **steps,
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
            text = say("No school is connected yet.")
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


def _at_a_glance(customers: list[Customer]) -> list[tuple[Customer, glance.Glance]]:
    found = glance.glances(customers)
    return [(each, found[each.pk]) for each in customers]


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

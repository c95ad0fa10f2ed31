"""Changing a customer's access by hand: a page for each form."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages.customers.by_hand_forms import (
    ByHandForm,
    GiveBackForm,
    LastDayForm,
    MoveForm,
    NoteForm,
    other_email,
)
from config.admin.pages.customers.entered_order_form import OrderForm
from config.admin.pages.customers.give_form import GiveForm
from config.admin.pages.customers.give_to_anyone import GiveToAnyoneForm
from config.admin.pages.customers.holding_forms import EndForm, KeepForm
from config.admin.pages.integrations import integration_messages
from config.admin.parts import batch_message
from config.admin.parts.buttons import BACK, EMAIL, way_back
from config.admin.parts.page import Page, View, render
from config.admin.parts.params import row_in
from events.access import ended_by_hand, holdings
from events.access.by_hand import Author
from events.access.ledger import Judgment
from events.models import Grant, RuleRun
from integrations import app_registry
from integrations.models import Customer, Destination, Integration, Product
from integrations.sentences import say
from integrations.targets import Target

PERMISSION = "events.by_hand_grant"
# The names of the buttons that find a course or bundle, and that read the catalogs again.
FIND, REFRESH = "find", "refresh"
# The forms that a customer's page offers, and all forms.
FORMS: tuple[type[ByHandForm], ...] = (GiveForm, EndForm, MoveForm, NoteForm)
EVERY: tuple[type[ByHandForm], ...] = (*FORMS, KeepForm, GiveBackForm, LastDayForm)


def _page_of_form(form: type[ByHandForm]) -> Page:
    """Return the page of this form for the customer of the address. A POST carries it out."""

    def show(request: HttpRequest) -> HttpResponse:
        customer = asked_customer(request)
        if customer is None:
            return HttpResponseRedirect(page_of(None))
        if form is GiveForm and _only_looks(request):
            return _look_again(request, GiveForm(customer=customer, asked=request.POST))
        return _show(request, form(request.POST or None, customer=customer, asked=request.GET))

    view: View = show
    return Page(f"{form.name}/", form.name, view, PERMISSION)


def enter_order(request: HttpRequest) -> HttpResponse:
    """Enter a missed order, for the customer of the address or for anybody."""
    customer = row_in(Customer.objects.all(), request.GET.get("customer"))
    product = row_in(Product.objects.all(), request.GET.get("product"))
    return _show(request, OrderForm(request.POST or None, customer=customer, product=product))


def give_to_anyone(request: HttpRequest) -> HttpResponse:
    """Give access to an e-mail address, also of a person who never bought."""
    if _only_looks(request):
        return _look_again(request, GiveToAnyoneForm(asked=request.POST))
    # A search may lead here with what was typed, which need not be an address.
    typed = request.GET.get("email", "")[:320]
    asked = request.GET.dict() | {"email": typed if "@" in typed else ""}
    return _show(request, GiveToAnyoneForm(request.POST or None, asked=asked))


def _show(request: HttpRequest, form: ByHandForm | OrderForm) -> HttpResponse:
    """Show the form. A valid POST carries it out and leads to the customer's page."""
    if request.method != "POST" or form.none:
        return _page(request, form)
    if form.is_valid() and _is_done(request, form):
        return HttpResponseRedirect(page_of(form.customer))
    return _page(request, form)


def _only_looks(request: HttpRequest) -> bool:
    """Return whether a button was pressed that only finds or refreshes courses."""
    return FIND in request.POST or REFRESH in request.POST


def _look_again(request: HttpRequest, form: GiveForm) -> HttpResponse:
    """Find courses and bundles, after reading them again if asked.

    The form keeps what was entered.
    """
    if REFRESH in request.POST:
        sites = Integration.objects.filter(app__in=app_registry.with_catalog())
        integration_messages.read_again(request, sites)
    return _page(request, form)


def _page(request: HttpRequest, form: ByHandForm | OrderForm) -> HttpResponse:
    asked = request.POST if request.method == "POST" else request.GET
    return render(
        request,
        form.template,
        title=form.title,
        form=form,
        customer=form.customer,
        came_from=way_back(request),
        back=way_back(request) or page_of(form.customer),
        **form.choices(asked),
    )


def _is_done(request: HttpRequest, form: ByHandForm | OrderForm) -> bool:
    author = Author(request.user.get_username(), form.cleaned_data["reason"])
    try:
        done = form.do(author)
    except ValueError as error:
        form.add_error(None, str(error))
        return False
    say_done = batch_message.say_started if form.starts else messages.success
    say_done(request, done)
    return True


def asked_customer(request: HttpRequest) -> Customer | None:
    """Return the customer that the form or the address names. Without one, add a message."""
    asked = request.POST if request.method == "POST" else request.GET
    customer = row_in(Customer.objects.all(), asked.get("customer"))
    if customer is None:
        messages.error(
            request,
            say("This customer no longer exists. Search for the e-mail address under Customers."),
        )
    return customer


def page_of(customer: Customer | None) -> str:
    if customer is None or customer.pk is None:
        return reverse("admin:integrations_customer_changelist")
    return reverse("admin:integrations_customer_change", args=[customer.pk])


PAGES = [
    *(_page_of_form(form) for form in EVERY),
    Page("enter-order/", OrderForm.name, enter_order, PERMISSION),
    Page("give-to-anyone/", GiveToAnyoneForm.name, give_to_anyone, PERMISSION),
]


def links(request: HttpRequest, customer: Customer) -> list[tuple[str, str, str]]:
    """Return the links to these pages, for the customer's page."""
    if not allowed(request, PERMISSION):
        return []
    asked = {"customer": customer.pk}
    typed = other_email(customer, request.GET.get(EMAIL))
    found = [_link(form, asked, str(form.title)) for form in FORMS]
    found.append(_link(OrderForm, asked, str(OrderForm.title)))
    if typed:  # who comes from a mistyped address is told to press this
        found[FORMS.index(MoveForm)] = found[0]
        found[0] = _link(MoveForm, asked | {EMAIL: typed}, str(MoveForm.title))
    return found


def give_last(found: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return these links with the one to give access at their end, where it does not help now."""
    return sorted(found, key=lambda link: link[2] == str(GiveForm.title))


def without_move(found: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return these links without the one to the form that moves access to another address."""
    return [link for link in found if link[2] != str(MoveForm.title)]


def links_of(request: HttpRequest, run: RuleRun) -> list[tuple[str, str, str]]:
    """Return the link to the form that can change the access that this action is about."""
    if not allowed(request, PERMISSION) or run.customer_id is None:
        return []
    asked: dict[str, Any] = {"customer": run.customer_id}
    if run.is_pending and (run.event.is_gift or run.event.ends_by_hand):
        return [_link(LastDayForm, asked | {"run": run.pk}, say("Change the last day"))]
    if run.code == Judgment.ENDED_BY_HAND:
        back = _link_to_give_back(request, run)
        if back is not None:
            return [back]
        same = Destination.objects.of_target(run.integration_id, run.target)
        asked["destination"] = same.values_list("pk", flat=True).first()
        return [_link(GiveForm, asked, say("Give access"))]
    return []


def _link_to_give_back(request: HttpRequest, run: RuleRun) -> tuple[str, str, str] | None:
    """Return the link to give back what a person had ended, so that this action gave nothing."""
    ended = run.grant.event_id if run.grant else None
    endings = RuleRun.objects.filter(event=ended, customer=run.customer_id)
    by_persons = [one for one in endings.select_related("event") if one.event.ends_by_hand]
    return next(iter(links_to_give_back(request, {one.pk for one in by_persons}).values()), None)


def links_to_give_back(
    request: HttpRequest, numbers: Collection[int]
) -> dict[int, tuple[str, str, str]]:
    """Return links to the form that gives back what these runs ended, by the run's number.

    What a rule ended can only be given by hand. What the customer has again, what was moved to
    another address and what is gone from Thinkific is left out. Takes six queries.
    """
    if not numbers or not allowed(request, PERMISSION):
        return {}
    known_runs = RuleRun.objects.filter(pk__in=numbers, customer__isnull=False)
    runs = list(known_runs.select_related("event"))
    whose = Grant.objects.active().filter(customer__in={run.customer_id for run in runs})
    has = set(whose.values_list("customer", "integration", "target"))
    targets = {run.pk: (run.integration_id, *Target.parse(run.target)) for run in runs}
    known = Destination.objects.filter(
        external_id__in={number for *_, number in targets.values()}, gone_at=None
    )
    there: dict[tuple[int | None, str, int], int] = {
        (each.integration_id, each.kind, each.external_id): each.pk for each in known
    }
    by_persons = ended_by_hand.can_be_given_back([run for run in runs if not run.event.trigger])
    back = {BACK: request.get_full_path()}
    return {
        run.pk: _link(
            GiveBackForm, {"customer": run.customer_id, "run": run.pk} | back, say("Give it back")
        )
        if run.pk in by_persons
        else _link(
            GiveForm,
            {"customer": run.customer_id, "destination": there[targets[run.pk]]}
            | {"purchase": run.event_id}
            | back,
            say("Give access"),
        )
        for run in runs
        if targets[run.pk] in there
        and by_persons.get(run.pk) != []
        and (run.customer_id, run.integration_id, run.target) not in has
    }


def links_to_take_back(
    request: HttpRequest, numbers: Collection[int]
) -> dict[int, tuple[str, str, str]]:
    """Return links to the form that ends what these runs gave, by the run's number.

    What something else gives too, and what has ended or was moved since, is left out. Takes four
    queries.
    """
    runs = _known_runs(request, numbers)
    alone, back = holdings.given_alone(runs) if runs else (), {BACK: request.get_full_path()}
    return {
        run.pk: _link(
            EndForm,
            {"customer": run.customer_id, "holding": holdings.key_of(run)} | back,
            say("Take it back"),
        )
        for run in runs
        if run.pk in alone
    }


def links_to_move_back(
    request: HttpRequest, sources: Mapping[int, str]
) -> dict[int, tuple[str, str, str]]:
    """Return links to the form that moves back what came from these addresses.

    `sources` is {number of a run that moved it here: the old address}. Customers who have something
    else too are left out, because the form moves all. Takes three queries.
    """
    runs = _known_runs(request, sources)
    alone, back = holdings.moved_alone(runs) if runs else (), {BACK: request.get_full_path()}
    return {
        run.pk: _link(
            MoveForm,
            {"customer": run.customer_id, EMAIL: sources[run.pk]} | back,
            say("Move it back"),
        )
        for run in runs
        if run.pk in alone
    }


def _known_runs(request: HttpRequest, numbers: Collection[int]) -> list[RuleRun]:
    """Return the runs of these numbers that have a customer; none for who may not act by hand."""
    if not numbers or not allowed(request, PERMISSION):
        return []
    return list(RuleRun.objects.filter(pk__in=numbers, customer__isnull=False))


def _link(
    form: type[ByHandForm | OrderForm], asked: dict[str, Any], label: str
) -> tuple[str, str, str]:
    return f"{reverse(f'admin:{form.name}')}?{urlencode(asked)}", "", label

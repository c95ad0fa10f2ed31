"""SamCart accounts: adding, renaming and deleting them, and what is set on each."""

from collections.abc import Callable
from functools import wraps

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from config import public_url
from config.admin.parts import edit_conflicts
from config.admin.parts.badges import brief
from config.admin.parts.buttons import way_back
from config.admin.parts.confirm import ask
from config.admin.parts.page import Page, render
from events.deciding import naming
from events.retention import delete_account
from integrations import audit, credentials
from integrations.audit import Act
from integrations.models import Marketplace
from integrations.sentences import joined, say

View = Callable[..., HttpResponseBase]


class NameForm(forms.ModelForm):
    """The name of an account; it must not be taken."""

    class Meta:
        model = Marketplace
        fields = ("name",)
        error_messages = {
            "name": {
                "required": _("A SamCart account needs a name."),
                "unique": _("There is a SamCart account with this name already."),
            }
        }


def posted(view: View) -> View:
    """Make the view answer POST only. A GET, as after signing in again, leads to the account."""

    @wraps(view)
    def answer(request: HttpRequest, account: int, **rest: int) -> HttpResponseBase:
        found = get_object_or_404(Marketplace, pk=account)
        return view(request, found, **rest) if request.method == "POST" else to_account(found)

    return answer


def to_account(account: Marketplace, part: str = "") -> HttpResponseRedirect:
    """Redirect to the account's page, or to a part of it."""
    address = reverse("admin:samcart-account", args=[account.pk])
    return HttpResponseRedirect(address + (f"#{part}" if part else ""))


def add(request: HttpRequest) -> HttpResponse:
    """Add an account with an address of its own."""
    form = NameForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        if request.method == "POST":
            _say_errors(request, form)
        return HttpResponseRedirect(reverse("admin:samcart"))
    with transaction.atomic():
        account = form.save()
        audit.record_added(Act.ACCOUNT_ADDED, [account])
        credentials.add_webhook_secret(account)
    text = (
        say("{name}: added.", name=account)
        if public_url.problem()
        else say("{name}: added. Press Show, and give SamCart its address.", name=account)
    )
    messages.success(request, text)
    return to_account(account)


@posted
def rename(request: HttpRequest, account: Marketplace) -> HttpResponse:
    with transaction.atomic():
        account = get_object_or_404(Marketplace.objects.select_for_update(), pk=account.pk)
        old, before = account.name, audit.values(account)
        form = NameForm(request.POST, instance=account)
        if not form.is_valid():
            _say_errors(request, form)
            return to_account(account)
        if page := edit_conflicts.conflict_page(request, account, before, audit.values(account)):
            return page
        form.save()
        audit.record_change(Act.ACCOUNT_CHANGED, account, before)
    text = say("{old} is called {new} now. Its address stays the same.", old=old, new=account)
    messages.success(request, text)
    return to_account(account)


@posted
def set_own_rules(request: HttpRequest, account: Marketplace) -> HttpResponse:
    """Note whether SamCart's own Thinkific rules are off; Admit cannot see them."""
    off = bool(request.POST.get("own_rules_off"))
    before, account.own_rules_off = audit.values(account), off
    with transaction.atomic():
        account.save(update_fields=["own_rules_off"])
        audit.record_change(Act.ACCOUNT_CHANGED, account, before)
    text = (
        say("Noted: SamCart's own Thinkific rules are off. Admit alone enrolls now.")
        if off
        else say("Noted: SamCart's own Thinkific rules are still on. Turn them off there.")
    )
    messages.success(request, text)
    back = way_back(request)
    return HttpResponseRedirect(back) if back else to_account(account, "own-rules")


def delete(request: HttpRequest, account: int) -> HttpResponse:
    """Show what would be deleted with the account; the button deletes it."""
    found = get_object_or_404(Marketplace, pk=account)
    if request.method != "POST":
        summary = delete_account.summarize(found)
        return render(
            request,
            "admin/samcart/delete.html",
            title=say("Delete {name}?", name=found),
            account=found,
            lines=summary.lines(),
            without_end=summary.without_end,
        )
    if page := ask(request):
        return page
    if not delete_account.delete(found):
        text = say(
            "{name}: the address, the rules and many of the events are deleted. Press Delete once "
            "more for the rest.",
            name=found,
        )
        messages.warning(request, text)
        return to_account(found, "account")
    text = say(
        "{name}: deleted. Its address no longer accepts events. In SamCart delete the Notify URL "
        "too.",
        name=found,
    )
    messages.success(request, text)
    return HttpResponseRedirect(reverse("admin:samcart"))


@posted
def name_type(request: HttpRequest, account: Marketplace) -> HttpResponse:
    """Say what a type means. Deliveries that wait for it are read again."""
    raw_type, trigger = request.POST.get("type", ""), request.POST.get("trigger", "")
    try:
        found = naming.name_type(account, raw_type, trigger)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, naming.read_again_sentence(brief(raw_type), trigger, found))
    return to_account(account, "types")


@posted
def forget_type(request: HttpRequest, account: Marketplace, named: int) -> HttpResponse:
    """Remove the name of a type. What was decided because of it stays."""
    found = account.named_types.filter(pk=named).first()
    if found is not None:
        naming.forget(found)
        then = (
            say("Its events wait for a name again.")
            if found.is_nothing
            else say("What was done stays; the next event of this type waits for a name.")
        )
        text = say("“{type}” has no name anymore.", type=found.type)
        messages.success(request, joined([text, then]))
    return to_account(account, "types")


def _say_errors(request: HttpRequest, form: NameForm) -> None:
    for sentences in form.errors.values():
        for sentence in sentences:
            messages.error(request, str(sentence))


PAGES = [
    Page("samcart/add/", "samcart-add", add, "integrations.add_marketplace"),
    Page(
        "samcart/<int:account>/rename/",
        "samcart-rename",
        rename,
        "integrations.change_marketplace",
    ),
    Page(
        "samcart/<int:account>/own-rules/",
        "samcart-own-rules",
        set_own_rules,
        "integrations.change_marketplace",
    ),
    Page(
        "samcart/<int:account>/delete/",
        "samcart-delete",
        delete,
        "integrations.delete_marketplace",
    ),
    Page("samcart/<int:account>/types/", "samcart-name-type", name_type, "rules.add_namedtype"),
    Page(
        "samcart/<int:account>/types/<int:named>/delete/",
        "samcart-forget-type",
        forget_type,
        "rules.delete_namedtype",
    ),
]

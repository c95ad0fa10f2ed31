"""The signed-in person's second factor: setting it up, new recovery codes, and removing it."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.pages.account import sign_in_code
from config.admin.parts.confirm import ask
from config.admin.parts.page import Page, render
from config.staff import people, second_factor, sessions, sign_in_events
from integrations.audit import Act
from integrations.sentences import say


def show(request: HttpRequest) -> HttpResponse:
    """Show what is set up. If nothing is, confirm the password and show what the app scans."""
    person = people.signed_in(request)
    authenticator = second_factor.of(person)
    if authenticator is None:
        home = reverse("admin:second-factor")
        return ask(request) or sign_in_code.set_up(request, person, then=home)
    return render(
        request,
        "admin/second_factor/state.html",
        title=say("Second factor"),
        authenticator=authenticator,
        left=authenticator.recovery_codes.count(),
        required=settings.REQUIRE_SECOND_FACTOR,
    )


def new_codes(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes, and show them this once."""
    person, home = people.signed_in(request), reverse("admin:second-factor")
    authenticator = second_factor.of(person)
    if request.method != "POST" or authenticator is None:
        return HttpResponseRedirect(home)
    if page := ask(request):
        return page
    codes = second_factor.new_recovery_codes(authenticator)
    sign_in_events.record(Act.RECOVERY_CODES_MADE, request, person)
    return sign_in_code.recovery_codes(request, codes, then=home)


def remove(request: HttpRequest) -> HttpResponse:
    """Remove it. The person's other sessions end."""
    if request.method != "POST":
        return HttpResponseRedirect(reverse("admin:second-factor"))
    if page := ask(request):
        return page
    person = people.signed_in(request)
    if second_factor.remove(person):
        sessions.end_all(person, but=request)
        sign_in_events.record(Act.SECOND_FACTOR_OFF, request, person)
        text = say("Your second factor is removed. From now on the password alone lets you in.")
        if settings.REQUIRE_SECOND_FACTOR:
            text = say("Your second factor is removed. Set up another one now.")
        messages.success(request, text)
    return HttpResponseRedirect(reverse("admin:index"))


PAGES = [
    Page("second-factor/", "second-factor", show, ""),
    Page("second-factor/new-codes/", "second-factor-new-codes", new_codes, ""),
    Page("second-factor/remove/", "second-factor-remove", remove, ""),
]

"""The step after the password: the code, or setting up the app that shows codes."""

from django.contrib import auth
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from config.admin.parts.buttons import is_ours
from config.admin.parts.confirm import note_recovery_code
from config.admin.parts.page import render
from config.staff import second_factor, sign_in_events
from config.staff.sign_in import TooManyTries
from integrations.audit import Act
from integrations.secrets import SecretUnreadable
from integrations.sentences import Text, say

WRONG = _(
    "This code is wrong, or was used already. Wait for the next one; "
    "the clock of the phone must be right."
)
UNREADABLE = _(
    "Your second factor cannot be opened with FIELD_ENCRYPTION_KEYS of this server. "
    "Use a recovery code, or ask an owner to remove your second factor."
)


def show(request: HttpRequest, person: User) -> HttpResponse:
    """The sign-in page for a person who has given the password and not yet a code."""
    if "leave" in request.POST:
        auth.logout(request)
        return HttpResponseRedirect(reverse("admin:login"))
    if second_factor.of(person) is None:
        return set_up(request, person, then=_next(request), signing_in=True)
    fault = _enter(request, person) if "code" in request.POST else ""
    if second_factor.passed(request):
        sign_in_events.signed_in(request, person)
        return HttpResponseRedirect(_next(request))
    return render(
        request,
        "admin/second_factor/code.html",
        title=say("Enter a code"),
        fault=fault,
        next=_next(request),
    )


def set_up(
    request: HttpRequest, person: User, *, then: str, signing_in: bool = False
) -> HttpResponse:
    """A page with what the app scans.

    Its first code is answered with the recovery codes, this once.

    For a person without a second factor. `then` is where the recovery codes lead to.
    """
    fault: Text = ""
    if "code" in request.POST:
        try:
            codes = second_factor.set_up(request, person, request.POST["code"])
        except TooManyTries as error:
            codes, fault = [], str(error)
        if not codes and not fault:
            fault = WRONG
            sign_in_events.failed(Act.SECOND_FACTOR_FAILED, request, person)
        if codes:
            sign_in_events.record(Act.SECOND_FACTOR_ON, request, person)
            if signing_in:
                sign_in_events.signed_in(request, person)
            return recovery_codes(request, codes, then=then)
    authenticator = second_factor.begin(request, person)
    if authenticator.confirmed:  # in another session, a moment ago
        return HttpResponseRedirect(then)
    return render(
        request,
        "admin/second_factor/set_up.html",
        title=say("Set up your second factor"),
        qr_code=second_factor.qr_code(authenticator),
        secret=second_factor.secret_text(authenticator),
        fault=fault,
        next=then,
    )


def recovery_codes(request: HttpRequest, codes: list[str], *, then: str) -> HttpResponse:
    """The page that shows the recovery codes.

    They are stored nowhere in clear: only this answer has them.
    """
    return render(
        request,
        "admin/second_factor/codes.html",
        title=say("Your recovery codes"),
        codes="\n".join(codes),
        count=len(codes),
        next=then,
    )


def _enter(request: HttpRequest, person: User) -> Text:
    """Return why the code is not accepted, as a sentence; "" when it is right."""
    try:
        if second_factor.enter(request, person, request.POST["code"]):
            note_recovery_code(request, person, request.POST["code"])
            return ""
    except TooManyTries as error:
        return str(error)
    except SecretUnreadable:
        return UNREADABLE
    sign_in_events.failed(Act.SECOND_FACTOR_FAILED, request, person)
    return WRONG


def _next(request: HttpRequest) -> str:
    """Return our page that was asked for before signing in, else the Overview."""
    asked = request.POST.get("next") or request.GET.get("next", "")
    return asked if is_ours(request, asked) else reverse("admin:index")

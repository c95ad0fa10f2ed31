"""Ask for the password or a code once more, then go on with the request."""

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from config.admin.menu import allowed
from config.admin.parts.page import render
from config.models import app_code
from config.staff import confirmation, people, second_factor, sign_in_events
from config.staff.sign_in import TooManyTries
from integrations.audit import Act
from integrations.secrets import SecretUnreadable
from integrations.sentences import say
from integrations.who import OWNERS_ONLY

ANSWER = "confirm_answer"
_METHOD = "confirm_method"
_OWN = (ANSWER, _METHOD, "csrfmiddlewaretoken")


def ask(request: HttpRequest) -> HttpResponse | None:
    """Return None if the view may go on, else the page that asks.

    A view only has to begin with `if page := ask(request): return page`. The page posts to the same
    address with what was posted there, and the view runs again. Ask once in a request: a code is
    not right a second time.
    """
    if confirmation.is_fresh(request) and _METHOD not in request.POST:
        return None
    fault = ""
    if ANSWER in request.POST:
        fault = _check(request)
        if not fault:
            posted = request.POST.get(_METHOD) == "POST"
            return None if posted else HttpResponseRedirect(request.get_full_path())
    return _page(request, fault)


def ask_before_file(request: HttpRequest, *, back: str) -> HttpResponse | None:
    """Return the same for a view that sends a file; `back` is the address of the page before it.

    After the right answer comes a page with the button: a browser that gets a file stays on the
    page that asked, as if nothing had happened.
    """
    page = ask(request)
    if page is None and ANSWER in request.POST:
        title = say("Your file is ready")
        return render(request, "admin/file_ready.html", title=title, back=back)
    return page


def ask_owner(request: HttpRequest) -> HttpResponse | None:
    """Return the same for an owner who saves a page; None for anybody else and before saving."""
    return ask(request) if request.method == "POST" and allowed(request, OWNERS_ONLY) else None


def note_recovery_code(request: HttpRequest, person: User, given: str) -> None:
    """Record a recovery code if the right code was one, and say how many are left."""
    authenticator = second_factor.of(person)
    if authenticator is None or app_code(given) is not None:
        return
    sign_in_events.record(Act.RECOVERY_CODE_USED, request, person)
    left = authenticator.recovery_codes.count()
    text = say(
        "Recovery codes left: {left}. New ones are under Second factor, below your name.", left=left
    )
    messages.warning(request, text)


def _check(request: HttpRequest) -> str:
    """Return why the answer is refused, as a sentence; "" when it is right."""
    person = people.signed_in(request)
    try:
        if confirmation.check(request, person, request.POST[ANSWER]):
            note_recovery_code(request, person, request.POST[ANSWER])
            return ""
    except (TooManyTries, SecretUnreadable) as error:
        return str(error)
    sign_in_events.failed(Act.CONFIRM_FAILED, request, person)
    return say("That was not right. Try again.")


def _page(request: HttpRequest, fault: str) -> HttpResponse:
    kept = [
        (name, value)
        for name, values in request.POST.lists()
        if name not in _OWN
        for value in values
    ]
    return render(
        request,
        "admin/confirm.html",
        title=say("Confirm that it is you"),
        answer=ANSWER,
        method_name=_METHOD,
        method=request.POST.get(_METHOD) or request.method,
        kept=kept,
        fault=fault,
        by_code=second_factor.of(people.signed_in(request)) is not None,
    )

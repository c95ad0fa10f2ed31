"""Who acts on a page, for the audit."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config.staff.sign_in import client_address
from integrations.audit import NOT_SIGNED_IN, Actor, acting

GetResponse = Callable[[HttpRequest], HttpResponse]


def note_who_acts(get_response: GetResponse) -> GetResponse:
    """Middleware by which all audit entries made during a request name the signed-in person."""

    def answer(request: HttpRequest) -> HttpResponse:
        with acting(lambda: _actor(request)):
            return get_response(request)

    return answer


def _actor(request: HttpRequest) -> Actor:
    """Return who acts. Called when something is recorded, because signing in changes it.

    The place is the path without its query.
    """
    who = request.user.get_username() or NOT_SIGNED_IN
    return Actor(who=who, address=client_address(request), place=request.path)

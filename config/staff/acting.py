"""Who acts on a page, for the audit."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config.staff.sign_in import client_address
from integrations.audit import NOT_SIGNED_IN, Actor, acting

GetResponse = Callable[[HttpRequest], HttpResponse]


def note_who_acts(get_response: GetResponse) -> GetResponse:
    """Middleware by which all that is recorded while it answers is of the signed-in person."""

    def answer(request: HttpRequest) -> HttpResponse:
        with acting(lambda: _actor(request)):
            return get_response(request)

    return answer


def _actor(request: HttpRequest) -> Actor:
    """Read when something is recorded, since signing in changes it. The path has no query."""
    who = request.user.get_username() or NOT_SIGNED_IN
    return Actor(who=who, address=client_address(request), place=request.path)

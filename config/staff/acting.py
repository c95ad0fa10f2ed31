"""Who acts on a page, for the audit."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config.staff.sign_in import client_address
from integrations.audit import Actor, acting
from integrations.who import NOT_SIGNED_IN, remembering

GetResponse = Callable[[HttpRequest], HttpResponse]


def note_who_acts(get_response: GetResponse) -> GetResponse:
    """Middleware by which all audit entries made during a request name the signed-in person.

    People's names are read at most once meanwhile.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        with acting(lambda: _actor(request)), remembering():
            return get_response(request)

    return answer


def _actor(request: HttpRequest) -> Actor:
    """Return who acts. Called when something is recorded, because signing in changes it.

    The place is the path without its query.
    """
    who = request.user.get_username() or NOT_SIGNED_IN
    return Actor(who=who, address=client_address(request), place=request.path)

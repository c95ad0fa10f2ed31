"""What each log line says about its request: the id, and the client's address."""

import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config.logging import of_request
from config.staff.sign_in import client_address

GetResponse = Callable[[HttpRequest], HttpResponse]


def identify(get_response: GetResponse) -> GetResponse:
    """Middleware that gives each request an id of ours, and returns it as X-Request-ID."""

    def answer(request: HttpRequest) -> HttpResponse:
        number = secrets.token_hex(8)
        # A function, called only when a line is written: most requests write none.
        token = of_request.set(lambda: {"request_id": number, "client": client_address(request)})
        try:
            response = get_response(request)
        finally:
            of_request.reset(token)
        response.headers["X-Request-ID"] = number
        return response

    return answer

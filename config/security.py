"""Headers by which a page loads from this server alone, and is never framed."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

# Strangers' text is escaped everywhere. Should that fail once, their scripts still do not run.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    ]
)
GetResponse = Callable[[HttpRequest], HttpResponse]


def protect(get_response: GetResponse) -> GetResponse:
    """Middleware that sends these headers with every answer, also from the webhook and to monitors.

    Django's SecurityMiddleware sends some of them, but runs after the middleware that answers
    those.
    """
    below = "; includeSubDomains" if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else ""
    https_alone = f"max-age={settings.SECURE_HSTS_SECONDS}{below}"

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if settings.SECURE_HSTS_SECONDS and request.is_secure():
            response.headers.setdefault("Strict-Transport-Security", https_alone)
        return response

    return answer

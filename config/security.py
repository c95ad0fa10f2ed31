"""What a browser may do with our pages: load from this server alone, and never be framed."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# Strangers' text is escaped everywhere; if that fails once, still no script of theirs runs.
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


def content_policy(get_response: GetResponse) -> GetResponse:
    """Middleware that sends the policy with every page."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return answer

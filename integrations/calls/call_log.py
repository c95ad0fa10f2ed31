"""The log of calls: each exchange becomes a row with sealed bodies, for people to read."""

from integrations import sealed
from integrations.calls.exchanges import Exchange
from integrations.models import ApiCall, Integration


def as_row(exchange: Exchange, integration: Integration, *, run_id: int | None = None) -> ApiCall:
    """Return the exchange as an unsaved row."""
    return ApiCall(
        integration=integration,
        run_id=run_id,
        method=exchange.method,
        url=exchange.url,
        request_body=sealed.seal_text(exchange.request_body),
        status=exchange.status,
        response_body=sealed.seal_text(exchange.response_body),
        error=exchange.error,
        milliseconds=exchange.milliseconds,
        sent_at=exchange.sent_at,
    )

"""How long Admit leaves a site alone after a 429."""

from datetime import UTC, datetime

import pytest
from requests.structures import CaseInsensitiveDict

from integrations.calls import retry_after
from integrations.thinkific.rate_headers import pause_seconds

NOW = datetime(2026, 11, 23, 14, 0, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
HTTP_NOW = "Mon, 23 Nov 2026 14:00:00 GMT"
HTTP_IN_42 = "Mon, 23 Nov 2026 14:00:42 GMT"
HOUR_AHEAD = {"Date": "Mon, 23 Nov 2026 15:00:00 GMT"}

CASES = [
    # Retry-After
    ({"Retry-After": "42"}, 42),
    ({"retry-after": " 42 "}, 42),
    ({"Retry-After": "1.5"}, 1.5),
    ({"Retry-After": "0"}, 1),
    ({"Retry-After": "-5"}, 1),
    ({"Retry-After": "1000000000"}, 900),
    ({"Retry-After": "9" * 5000}, 900),
    ({"Retry-After": HTTP_IN_42}, 42),
    ({"Retry-After": HTTP_IN_42.replace("GMT", "-0000")}, 42),
    ({"Retry-After": "Mon, 23 Nov 2026 13:00:00 GMT"}, 1),
    ({"Retry-After": "Mon, 23 Nov 2099 13:00:00 GMT"}, 900),
    # RateLimit-Reset
    ({"RateLimit-Reset": str((EPOCH + 42) * 1000)}, 42),
    ({"RateLimit-Reset": str(EPOCH + 42)}, 42),
    ({"RateLimit-Reset": str(EPOCH - 42)}, 1),
    ({"RateLimit-Reset": "42"}, 42),
    ({"RateLimit-Reset": "42000"}, 42),
    ({"RateLimit-Reset": "500"}, 1),
    ({"RateLimit-Reset": "1000000000"}, 1),
    ({"RateLimit-Reset": "9" * 5000}, 900),
    ({"RateLimit-Reset": HTTP_IN_42}, 42),
    # A clock there that runs an hour ahead
    ({"RateLimit-Reset": str(EPOCH + 3642), **HOUR_AHEAD}, 42),
    ({"Retry-After": "Mon, 23 Nov 2026 15:00:42 GMT", **HOUR_AHEAD}, 42),
    ({"Retry-After": "42", **HOUR_AHEAD}, 42),
    ({"RateLimit-Reset": str(EPOCH + 42), "Date": "yesterday"}, 42),
    # Both, and neither
    ({"Retry-After": "5", "RateLimit-Reset": str(EPOCH + 42)}, 42),
    ({"Retry-After": "42", "RateLimit-Reset": str(EPOCH - 9)}, 42),
    ({"Retry-After": "soon", "RateLimit-Reset": str(EPOCH + 42)}, 42),
    ({"Retry-After": "soon"}, 60),
    ({"Retry-After": "nan"}, 60),
    ({"Retry-After": "inf", "RateLimit-Reset": "١٢"}, 60),
    ({"Retry-After": "", "RateLimit-Reset": ""}, 60),
    ({"Retry-After": "Mon, 99 Nov 2026 14:00:42 GMT"}, 60),
    ({"Date": HTTP_NOW}, 60),
    ({}, 60),
]


@pytest.mark.parametrize(("headers", "seconds"), CASES)
def test_every_form_of_a_pause_is_read_and_clamped(headers, seconds):
    assert pause_seconds(CaseInsensitiveDict(headers), NOW) == pytest.approx(seconds)


def test_a_pause_with_another_status_is_only_what_was_asked_for():
    reset = {"RateLimit-Reset": str(EPOCH + 42)}

    assert retry_after.seconds(CaseInsensitiveDict(reset), NOW) is None
    assert retry_after.seconds(CaseInsensitiveDict({**reset, "Retry-After": "7"}), NOW) == 7

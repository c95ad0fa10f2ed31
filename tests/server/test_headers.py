"""The headers of every answer, whoever asks and whatever the result."""

import pytest

from config.security import POLICY
from tests.support.shop import Shop

# Decided by settings.
pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
FOR_PROGRAMS = ["/healthz", "/readyz", "/metrics", "/hooks/samcart/no-such-secret/"]
FOR_PEOPLE = ["/admin/login/", "/no/such/page", "/static/admit/admit.css"]


@pytest.mark.parametrize("path", [*FOR_PROGRAMS, *FOR_PEOPLE])
def test_every_answer_names_its_kind_and_what_a_browser_may_do_with_it(client, path, settings):
    settings.SECURE_HSTS_SECONDS = 3600
    answer = client.get(path, secure=True)
    answer.close()  # a file of ours is sent from the disk
    assert "utf-8" in answer["Content-Type"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == POLICY
    assert answer["Strict-Transport-Security"] == "max-age=3600"
    answer = client.get(path)
    answer.close()
    assert "Strict-Transport-Security" not in answer


def test_the_answer_to_a_sale_does_so_too(shop: Shop):
    answer = shop.post(b"{}")
    assert answer.status_code == 200
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == POLICY

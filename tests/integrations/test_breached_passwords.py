"""The check for breached passwords sends five characters; its faults block nobody."""

import hashlib
from collections.abc import Iterator

import pytest
from django.contrib.auth.password_validation import (
    password_validators_help_texts,
    validate_password,
)
from django.core.exceptions import ValidationError

from tests.support import receiver
from tests.support.receiver import Receiver

pytestmark = pytest.mark.first_database

LOOKS_UP = "config.staff.passwords.BreachedPasswordValidator"
BREACHED, GOOD = "a passphrase that leaked", "a passphrase of my own making"


def digest(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


@pytest.fixture
def service(settings) -> Iterator[Receiver]:
    """The service, which knows one password among others that are padding."""
    with Receiver("whsec_" + "a" * 32) as running:
        settings.AUTH_PASSWORD_VALIDATORS = [*settings.AUTH_PASSWORD_VALIDATORS, {"NAME": LOOKS_UP}]
        settings.BREACHED_PASSWORDS_URL = running.url.rstrip("/")
        lines = [f"{digest('x')[5:]}:7", f"{digest(BREACHED)[5:]}:12", f"{digest(GOOD)[5:]}:0"]
        running.behavior = receiver.answers(200, body="\r\n".join(lines))
        yield running


def test_a_breached_password_is_refused_and_the_service_learns_five_characters(service):
    with pytest.raises(ValidationError, match="This password was stolen from another site"):
        validate_password(BREACHED)
    (request,) = service.requests
    assert request.target.endswith(f"/range/{digest(BREACHED)[:5]}")
    assert digest(BREACHED)[5:10] not in str(request)
    assert BREACHED not in str(request)


def test_a_password_that_only_pads_the_answer_is_taken(service):
    validate_password(GOOD)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "ill",
    [
        receiver.answers(503),
        receiver.redirects("http://127.0.0.1:9/"),
        receiver.sends(b"nonsense"),
        receiver.answers(200, body=b"\xff\xfe"),
    ],
    ids=["503", "redirect", "nonsense", "no text"],
)
def test_a_service_that_is_ill_blocks_nobody(service, ill, caplog):
    service.behavior = ill
    validate_password(BREACHED)
    assert BREACHED not in caplog.text


def test_a_service_that_is_not_there_blocks_nobody(service, settings, caplog):
    settings.BREACHED_PASSWORDS_URL = "http://127.0.0.1:9"
    validate_password(BREACHED)
    assert "breached_passwords_not_asked" in caplog.text


def test_nothing_is_asked_unless_it_is_turned_on(service, settings):
    settings.AUTH_PASSWORD_VALIDATORS = [
        each for each in settings.AUTH_PASSWORD_VALIDATORS if each["NAME"] != LOOKS_UP
    ]
    validate_password(BREACHED)
    assert service.requests == []
    assert all(password_validators_help_texts()), "an empty one would be an empty bullet"

"""Password tries are counted, and refused before a password is hashed."""

import ipaddress
import logging

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from config.staff import sign_in
from config.staff.sign_in import TooManyTries, Tries, client_address
from events.receiving import grouped_log

# Tries are counted in memory.
pytestmark = pytest.mark.first_database

PASSWORD = "correct horse battery staple"
TELLERS = {"config.admin.site", "config.staff.sign_in_events"}
FOR_ACCOUNT = "Too many tries for this account. Try again in"
FROM_ADDRESS = "Too many tries from your address. Try again in"


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sign_in, "time", clock)
    return clock


@pytest.fixture
def owner(db) -> User:
    return User.objects.create_superuser("owner@example.com", "owner@example.com", PASSWORD)


def try_to_sign_in(
    password: str = "wrong", account: str = "owner@example.com", address: str = "203.0.113.7"
) -> str:
    """The page that is answered; "" for who is in."""
    client = Client(REMOTE_ADDR=address)
    answer = client.post(reverse("admin:login"), {"username": account, "password": password})
    return "" if answer.status_code == 302 else answer.content.decode()


def test_an_account_is_tried_a_few_times_and_then_nothing_is_hashed(owner, clock, monkeypatch):
    for _ in range(5):
        assert "E-mail or password is wrong" in try_to_sign_in()
    monkeypatch.setattr(hashers, "check_password", lambda *_, **__: pytest.fail("hashed"))
    monkeypatch.setattr(User, "check_password", lambda *_: pytest.fail("hashed"))
    monkeypatch.setattr(User, "set_password", lambda *_: pytest.fail("hashed"))
    text = try_to_sign_in(PASSWORD)
    assert f"{FOR_ACCOUNT} 5 minutes, or ask an owner for a new link." in text
    clock.now += 61
    assert f"{FOR_ACCOUNT} 4 minutes" in try_to_sign_in(PASSWORD)
    # Capitals make no other account of it.
    assert f"{FOR_ACCOUNT} 4 minutes" in try_to_sign_in(account=" OWNER@Example.com")


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:x"])
def test_signing_in_leads_nowhere_else(owner, elsewhere: str):
    given = {"username": "owner@example.com", "password": PASSWORD, "next": elsewhere}
    assert Client().post(reverse("admin:login"), given)["Location"] == reverse("admin:index")


def test_it_goes_on_when_it_was_said_to(owner, clock):
    for _ in range(6):
        try_to_sign_in()
    clock.now += 299
    assert f"{FOR_ACCOUNT} a minute" in try_to_sign_in(PASSWORD)
    clock.now += 1
    assert try_to_sign_in(PASSWORD) == ""


def test_an_account_can_still_be_used_from_another_address(owner, clock):
    for _ in range(6):
        try_to_sign_in()
    assert try_to_sign_in(PASSWORD, address="198.51.100.9") == ""


def test_signing_in_often_is_no_fault(owner, clock):
    for _ in range(40):
        assert try_to_sign_in(PASSWORD) == ""


def test_strangers_everywhere_lock_nobody_out_of_a_known_address(owner, clock):
    assert try_to_sign_in(PASSWORD) == ""
    for number in range(1, 30):
        try_to_sign_in(address=f"198.51.100.{number}")
    assert FOR_ACCOUNT in try_to_sign_in(PASSWORD, address="192.0.2.1")
    assert try_to_sign_in(PASSWORD) == ""
    clock.now += 901
    assert try_to_sign_in(PASSWORD, address="192.0.2.1") == ""


def test_an_address_may_try_so_many_accounts_and_no_more(owner, clock):
    for number in range(30):
        assert "is wrong" in try_to_sign_in(account=f"person{number}@example.com")
    assert f"{FROM_ADDRESS} 5 minutes" in try_to_sign_in(PASSWORD)
    assert try_to_sign_in(PASSWORD, address="198.51.100.9") == ""


def test_a_network_of_version_6_counts_as_one_address(clock):
    tries = Tries(lambda minutes: f"Try again in {minutes}.")
    for number in range(30):
        tries.begin(f"person{number}", f"2001:db8:0:1::{number:x}")
    with pytest.raises(TooManyTries, match=FROM_ADDRESS):
        tries.begin("owner", "2001:db8:0:1:ffff::1")
    tries.begin("owner", "2001:db8:0:2::1")


def test_no_more_is_remembered_than_fits(clock, monkeypatch):
    monkeypatch.setattr(sign_in, "MAX_KEYS", 10)
    tries = Tries(lambda minutes: f"Try again in {minutes}.")
    for number in range(50):
        tries.begin(f"person{number}", f"10.0.0.{number}")
        tries.succeeded(f"person{number}", f"10.0.0.{number}")
    limits = (tries._account, tries._address, tries._both)
    assert max(len(limit._counts) for limit in limits) == len(tries._known) == 10


def test_each_try_is_logged_with_its_address_and_a_flood_in_one_line(owner, caplog, monkeypatch):
    monkeypatch.setattr(grouped_log, "EVERY_SECONDS", 3600.0)
    caplog.set_level(logging.INFO)
    try_to_sign_in(PASSWORD)
    for _ in range(20):
        try_to_sign_in()
    told = [record for record in caplog.records if record.name in TELLERS]
    assert [record.message for record in told[:6]] == ["signed_in"] + ["sign_in_failed"] * 5
    assert {getattr(record, "address", "") for record in told[:6]} == {"203.0.113.7"}
    assert getattr(told[0], "user", 0) == owner.pk
    assert len(told) <= 7  # the rest is counted
    assert "owner@example.com" not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_try_of_an_account_that_does_not_exist_is_told_by_a_hash(owner, caplog):
    for typed in (PASSWORD, f" {PASSWORD.upper()}", "mia@example.com"):
        try_to_sign_in(account=typed)
    failed = [each for each in caplog.records if each.message == "sign_in_failed"]
    one, same, other = (getattr(each, "account", "") for each in failed)
    assert (len(one), one, one == other) == (8, same, False)
    assert not any(hasattr(each, "user") for each in failed)
    assert PASSWORD not in caplog.text
    assert "mia@example.com" not in caplog.text


@pytest.mark.parametrize(
    ("remote", "said", "believed"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        # A stranger may write what he likes.
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.9, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.9, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
        ("::ffff:127.0.0.1", "2001:db8::5", "2001:db8::5"),
        ("::1", " ::ffff:198.51.100.1 ", "198.51.100.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "nonsense, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("", "198.51.100.1", ""),
    ],
)
def test_an_address_is_believed_as_far_as_our_proxies_tell_it(settings, remote, said, believed):
    settings.TRUSTED_PROXIES = [
        ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1", "10.0.0.0/8")
    ]
    headers = {"x-forwarded-for": said} if said else {}
    request = RequestFactory().get("/", REMOTE_ADDR=remote, headers=headers)
    assert client_address(request) == believed

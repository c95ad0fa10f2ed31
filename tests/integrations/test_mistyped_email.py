"""Addresses whose domain is a slip away from a big mail provider's."""

import pytest

from integrations.finding.mistyped_email import PROVIDERS, doubt, repaired

pytestmark = pytest.mark.first_database


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hotmial.com", "hotmail.com"),
        ("hotmai.com", "hotmail.com"),
        ("hotmial.co.uk", "hotmail.co.uk"),
        ("gmial.com", "gmail.com"),
        ("gmal.com", "gmail.com"),
        ("mgail.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.vom", "gmail.com"),
        ("gmail.ocm", "gmail.com"),
        ("Gmaill.com", "gmail.com"),
        ("googlemial.com", "googlemail.com"),
        ("yahooo.com", "yahoo.com"),
        ("yaho.fr", "yahoo.fr"),
        ("yahoo.cm", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("iclod.com", "icloud.com"),
    ],
)
def test_a_slip_away_from_a_big_provider_is_repaired(typed, meant):
    assert repaired(f"Lou.Lund@{typed}") == f"Lou.Lund@{meant}"
    assert doubt(f"lou@{typed}") == f"Mistyped? {typed} looks like {meant}."


@pytest.mark.parametrize(
    "domain",
    [
        *(f"{name}.{ending}" for name, endings in PROVIDERS.items() for ending in sorted(endings)),
        *("ymail.com", "mail.com", "email.com", "fmail.co.uk", "hmail.com", "rocketmail.com"),
        *("live.com", "love.com", "me.com", "he.com", "aol.com", "aon.com", "msn.com", "gmx.com"),
        *("gmx.de", "gmx.net", "web.de", "mail.de", "proton.me", "pm.me", "fastmail.com"),
        *("yahoo.co.th", "yahoo.com.ph", "yahoo.cz", "yahoo.dk", "hotmail.gr", "hotmail.co.jp"),
        *("outlook.jp", "outlook.sa", "cloud.com", "incloud.com", "grail.com", "gmail.example"),
        *("comcast.net", "example.com", "art.studio", "mail.gmail.com", "gmail.com.example.org"),
    ],
)
def test_a_real_domain_is_left_alone(domain):
    assert repaired(f"lou@{domain}") == ""
    assert doubt(f"lou@{domain}") == ""


@pytest.mark.parametrize("email", ["", "lou", "@", "lou@", "@.", "lou@gmail"])
def test_what_is_no_address_is_left_alone(email):
    assert repaired(email) == ""

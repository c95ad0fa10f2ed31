"""The address of a Thinkific site in every form that people paste."""

import pytest

from integrations.thinkific.site_address import EMPTY, NOT_A_SCHOOL, OWN_DOMAIN, UNUSABLE, subdomain


@pytest.mark.parametrize(
    "pasted",
    [
        "school",
        "  School \n",
        "\u00a0SCHOOL\u00a0",
        "school/",
        "school.thinkific.com",
        "School.Thinkific.COM.",
        "school.thinkific.com:443",
        "//school.thinkific.com",
        "https://school.thinkific.com",
        "HTTPS://School.thinkific.com/any/path?x=1#y",
        "http://school.thinkific.com:80/",
        "https://school.thinkific.com?next=https://other.example/@",
    ],
)
def test_a_subdomain_is_found_in_any_form_of_the_address(pasted):
    assert subdomain(pasted) == "school"


@pytest.mark.parametrize("label", ["a", "7", "my-school-2", "x" * 63])
def test_a_subdomain_may_have_letters_digits_and_hyphens(label):
    assert subdomain(f"https://{label}.thinkific.com/") == label


@pytest.mark.parametrize(
    ("pasted", "sentence"),
    [
        ("", EMPTY),
        (" \t\n", EMPTY),
        ("courses.my-school.com", OWN_DOMAIN),
        ("https://www.my-school.com/admin", OWN_DOMAIN),
        ("https://schule-für-alle.de", OWN_DOMAIN),
        ("thinkific.com.evil.example", OWN_DOMAIN),
        ("evilthinkific.com", OWN_DOMAIN),
        ("127.0.0.1", OWN_DOMAIN),
        ("www", NOT_A_SCHOOL),
        ("https://www.thinkific.com/login", NOT_A_SCHOOL),
        ("thinkific.com", NOT_A_SCHOOL),
        ("https://api.thinkific.com/api/public/v1", NOT_A_SCHOOL),
        ("my school", UNUSABLE),
        ("my_school", UNUSABLE),
        ("-school", UNUSABLE),
        ("school-", UNUSABLE),
        ("x" * 64, UNUSABLE),
        ("schule-für-alle", UNUSABLE),
        ("a.b.thinkific.com", UNUSABLE),
        (".thinkific.com", UNUSABLE),
        ("https://", UNUSABLE),
        ("me@school.thinkific.com", UNUSABLE),
        ("ftp://school.thinkific.com", UNUSABLE),
        ("school:x", UNUSABLE),
        ("sch\nool", UNUSABLE),
        ("sch\u202eool", UNUSABLE),
        ("sch\u200bool.thinkific.com", UNUSABLE),
        ("sch\x00ool", UNUSABLE),
        ("\u212aelvin", UNUSABLE),  # the Kelvin sign, which becomes a plain k in lower case
        ("ѕchool", UNUSABLE),  # noqa: RUF001 - its first letter is Cyrillic
    ],
)
def test_anything_else_is_refused_with_a_sentence(pasted, sentence):
    with pytest.raises(ValueError, match=r".+") as refusal:
        subdomain(pasted)

    assert str(refusal.value) == sentence


def test_the_sentence_for_an_own_domain_says_where_the_subdomain_is():
    assert str(OWN_DOMAIN) == (
        "That is your own domain. Paste the Subdomain that Thinkific shows under "
        "Settings > Code & Analytics > API."
    )

"""The number of a course or bundle, read from whatever people paste."""

import pytest

from integrations.models import Destination
from integrations.thinkific import pasted_number

Kind = Destination.Kind
WHERE = "Open the course in Thinkific's admin and paste the page's address"


@pytest.mark.parametrize(
    "text",
    [
        "123456",
        " 123456\n",
        "000123456",
        "https://acme.thinkific.com/manage/courses/123456",
        "https://acme.thinkific.com/manage/courses/123456/",
        "https://acme.thinkific.com/manage/courses/123456/settings?tab=2&id=9#drip",
        "https://ACME.Thinkific.com:443/Manage/Courses/123456/chapters/77",
        "acme.thinkific.com/manage/courses/123456",
        "//acme.thinkific.com./manage/courses/123456",
        "/manage/courses/123456",
        "https://academy.example.com/manage/courses/123456/edit",
        "https://acme.thinkific.com/manage/v2/courses/123456/edit",
        "https://acme.thinkific.com/manage/courses%2F123456",
    ],
)
def test_each_of_these_is_the_course_123456(text):
    assert pasted_number.number(text, kind=Kind.COURSE, site="acme") == 123456


def test_a_bundle_is_known_by_its_own_address():
    text = "https://acme.thinkific.com/manage/bundles/801/pricing"
    assert pasted_number.number(text, kind=Kind.BUNDLE, site="acme") == 801


def test_the_largest_number_that_can_be_kept_is_taken():
    assert pasted_number.number(str(2**63 - 1), kind=Kind.COURSE, site="acme") == 2**63 - 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Enter the number of the course."),
        ("  ", "Enter the number of the course."),
        ("Watercolor", "This is not a number."),
        ("12a", "This is not a number."),
        ("-5", "This is not a number."),
        ("5.0", "This is not a number."),
        ("١٢٣", "This is not a number."),
        ("²", "This is not a number."),
        ("https://[", "This is not a number."),
        ("0", "No course has the number 0."),
        ("000", "No course has the number 0."),
        ("9" * 30, "This number is too long for a course."),
        ("9" * 5000, "This number is too long for a course."),
        (str(2**63), "This number is too long for a course."),
        (f"https://acme.thinkific.com/manage/courses/{'9' * 30}", "This number is too long"),
        ("https://acme.thinkific.com/manage/courses/0", "No course has the number 0."),
        ("https://acme.thinkific.com/courses/take/watercolor", "This is a page for students"),
        ("https://acme.thinkific.com/courses/watercolor", "This is a page for students"),
        ("https://acme.thinkific.com/manage/products/77", "This is the address of a product"),
        ("https://acme.thinkific.com/manage/courses", "does not hold the number of a course"),
        ("https://acme.thinkific.com/manage/courses/new", "does not hold the number of a course"),
        ("https://acme.thinkific.com/manage/courses/12x", "does not hold the number of a course"),
        ("https://example.com/", "does not hold the number of a course"),
    ],
)
def test_what_is_not_the_number_of_a_course_is_refused_in_words(text, says):
    with pytest.raises(ValueError, match=WHERE) as caught:
        pasted_number.number(text, kind=Kind.COURSE, site="acme")
    assert says in str(caught.value)


@pytest.mark.parametrize("school", ["zoo.thinkific.com", "www.thinkific.com", "a.b.thinkific.com"])
def test_the_address_of_another_school_is_refused(school):
    with pytest.raises(ValueError, match="Paste an address of that school") as caught:
        pasted_number.number(f"https://{school}/manage/courses/5", kind=Kind.COURSE, site="acme")
    assert f"This is an address of {school}" in str(caught.value)
    assert "the integration is acme.thinkific.com" in str(caught.value)


@pytest.mark.parametrize(("kind", "other"), [(Kind.COURSE, "bundle"), (Kind.BUNDLE, "course")])
def test_a_course_is_not_taken_for_a_bundle(kind, other):
    with pytest.raises(ValueError, match=f"This is the address of a {other}"):
        pasted_number.number(f"/manage/{other}s/801", kind=kind, site="acme")

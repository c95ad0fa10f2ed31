"""Help: seven questions, each with an answer that links to the right page."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from config.admin.pages.help import QUESTIONS
from config.staff import roles
from tests.support.pages import signed_in, words

pytestmark = pytest.mark.first_database


@pytest.fixture(params=[*roles.ROLES])
def client(request, db) -> Client:
    return signed_in(request.param)


def sections(client: Client) -> dict[str, str]:
    """Each answer by its part of the page."""
    page = client.get(reverse("admin:help")).content.decode()
    return dict(re.findall(r'<section class="panel" id="([\w-]+)".*?>(.*?)</section>', page, re.S))


def test_each_of_the_seven_questions_has_its_answer(client):
    found = sections(client)
    assert list(found) == [part for part, _ in QUESTIONS]
    assert len(found) == 7
    page = client.get(reverse("admin:help")).content.decode()
    for part, question in QUESTIONS:
        assert f'<a href="#{part}">{question}</a>' in page
        assert f">{question}</h2>" in found[part]


def test_every_place_that_an_answer_leads_to_opens(client):
    for part, answer in sections(client).items():
        links = re.findall(r'href="([^"#]+)"', answer)
        assert links, part
        for link in links:
            assert client.get(link).status_code == 200, (part, link)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("test-orders", "administrator"),
        ("missed", "under <em>Why</em>"),
        ("not-listed", "<strong>Refresh</strong>"),
        ("integration", "<strong>Delete</strong>"),
        ("cancel", "<strong>Private</strong>"),
        ("typing", "Type part of the name"),
        ("welcome", "<strong>Support Your Students &gt; Notifications</strong>"),
    ],
)
def test_an_answer_says_what_to_do(client, part: str, says: str):
    assert says in sections(client)[part]


def test_a_stranger_is_asked_to_sign_in(db):
    answer = Client().get(reverse("admin:help"))
    assert answer["Location"].startswith(reverse("admin:login"))


@pytest.mark.parametrize("role", [*roles.ROLES])
def test_help_asks_few_questions(role, db, django_assert_max_num_queries):
    client = signed_in(role)
    # Who may not do all that Help tells reads whom to ask, which is one query.
    with django_assert_max_num_queries(7 if role == roles.MANAGER else 8):
        client.get(reverse("admin:help"))


def test_the_words_of_the_pages_are_explained(db):
    text = words(signed_in(roles.VIEWER).get(reverse("admin:help")))
    for word in ("Purchase", "Customer", "Student", "School", "Rule", "Trigger", "Action", "Event"):
        assert f" {word} " in text.partition("Words")[2]

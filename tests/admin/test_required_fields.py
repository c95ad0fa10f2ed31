"""Required fields are marked in the same way on every page."""

import re

import pytest
from django.contrib.auth import get_user_model

from tests.support import browsing, scenery, screenshots
from tests.support.every_page import PAGES
from tests.support.pages import client_of

pytestmark = pytest.mark.first_database


def unmarked(page: str) -> list[str]:
    """The fields of a page that must be filled in, and whose label does not say so."""
    found = []
    for tag in re.findall(r"<(?:input|select|textarea)\b[^>]*\srequired\b[^>]*>", page):
        number = re.search(r'\sid="([^"]+)"', tag)
        if number is None or re.search(r'type="(?:radio|checkbox)"', tag):
            continue
        label = re.search(rf'<label\b[^>]*\sfor="{re.escape(number[1])}"[^>]*>', page)
        if label is None or not re.search(r'class="[^"]*\brequired\b', label[0]):
            found.append(number[1])
    return found


def test_each_field_that_must_be_filled_in_is_marked(place):
    scenery.add_receiver(place.world)
    client = client_of(get_user_model().objects.get(username=place.people["Owner"]))
    answers = {path: client.get(screenshots.fill(path), follow=True) for path in PAGES}
    found = {path: unmarked(answer.content.decode()) for path, answer in answers.items()}
    assert {path: names for path, names in found.items() if names} == {}


STARS = """[...document.querySelectorAll("main label.required")]
  .map(each => getComputedStyle(each, "::after").content)"""


@pytest.mark.browser
@pytest.mark.parametrize(
    "path", ["/admin/integrations/integration/add/?app=thinkific", "/admin/give-to-anyone/"]
)
def test_the_mark_is_seen(place, address, browser, path: str):
    with browsing.window(browser, browsing.Look()) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(address + path)
        assert set(page.evaluate(STARS)) == {'" *"'}

"""Every page opens on each database, and is whole without any script."""

import re

from django.contrib.auth import get_user_model

from tests.support import crowd, scenery, screenshots
from tests.support.every_page import CROWDED, PAGES
from tests.support.pages import client_of

# Pages lead there if nobody is signed in.
LOGIN = "/admin/login/"


def test_every_page_opens(place: scenery.Scenery):
    scenery.add_receiver(place.world)
    crowd.fill(place)
    owner = client_of(get_user_model().objects.get(username=place.people["Owner"]))
    for path in [*PAGES, *CROWDED]:
        answer = owner.get(screenshots.fill(path), follow=True)
        assert answer.status_code == 200, path
        assert LOGIN not in answer.request["PATH_INFO"], path
        text = answer.content.decode()
        assert len(re.findall("<h1", text)) == 1, path
        assert len(re.findall(r'class="button[^"]*\bprimary\b', text)) <= 1, path

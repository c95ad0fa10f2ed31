"""An ending that waits for its day: listed on its own, ended now, or dropped."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.urls import reverse

from config.staff import roles
from events.execution import delayed
from events.models import RuleRun
from events.models.runs import DELAYED
from rules.actions import Action
from tests.support import factories, queued
from tests.support.pages import press, said, signed_in, words

LIST = reverse("admin:events_rulerun_changelist")


@pytest.fixture
def waiting(db) -> RuleRun:
    course = factories.DestinationFactory.create()
    queued.run(course, status="done")
    return queued.run(
        course,
        action=Action.EXPIRE_COURSE_ENROLLMENT,
        code=DELAYED,
        message="The access ends on 3 Dec, unless it is paid for again by then.",
        next_attempt_at=Now() + timedelta(days=5),
    )


def test_endings_that_wait_for_their_day_are_a_choice_of_the_list(waiting):
    page = signed_in(roles.SUPPORT).get(LIST, {"status__exact": DELAYED})
    assert "1 action" in words(page)
    assert waiting.message in words(page)
    assert "End now" in words(page)


def test_end_now_lets_the_worker_decide_at_once(waiting):
    assert not delayed.waiting().due().exists()
    assert said(press(signed_in(roles.SUPPORT), waiting, "end_now")) == ["Queued."]
    assert delayed.waiting().due().exists()


def test_dismiss_drops_it(waiting):
    press(signed_in(roles.SUPPORT), waiting, "dismiss")
    assert queued.again(waiting).code == "dismissed"
    assert not delayed.waiting().exists()

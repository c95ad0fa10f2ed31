"""An ending that waits for its day: listed separately, ended now, or dropped."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.urls import reverse

from config.staff import roles
from events.models import RuleRun
from events.models.runs import BRAKED, DELAYED
from rules.actions import Action
from tests.support import factories, queued
from tests.support.pages import press, said, signed_in, words

# Buttons and words; which endings wait, test_pending.py tries on each database.
pytestmark = pytest.mark.first_database

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
    assert "End it now" in words(page)
    assert "Keep it without an end" in words(page)


def test_end_now_lets_the_worker_decide_at_once(waiting):
    assert not RuleRun.objects.delayed().due().exists()
    assert said(press(signed_in(roles.SUPPORT), waiting, "end_now")) == ["Queued."]
    assert RuleRun.objects.delayed().due().exists()


def test_keep_it_drops_it(waiting):
    name = waiting.destination_name
    said_of = said(press(signed_in(roles.SUPPORT), waiting, "keep"))
    assert said_of == [f"The access to {name} stays."]
    assert queued.again(waiting).code == "dismissed"
    assert not RuleRun.objects.delayed().exists()
    again = said(press(signed_in(roles.SUPPORT), waiting, "keep"))
    assert again == ["It is no longer waiting."]


@pytest.mark.parametrize("code", [DELAYED, BRAKED])
def test_the_customers_page_has_what_is_pending_with_the_same_buttons(waiting, code):
    queued.grant(waiting)
    status = "held" if code == BRAKED else "waiting"
    RuleRun.objects.filter(pk=waiting.pk).update(code=code, status=status)
    page = reverse("admin:integrations_customer_change", args=[waiting.customer_id])
    shown = words(signed_in(roles.SUPPORT).get(page))
    name = waiting.destination_name
    says = f"Access to {name} {'is to end' if code == BRAKED else 'ends on'}"
    assert says in shown
    no = "No, leave it as it is"
    ends = f"This access to {name} ends now."
    unless = "The course stays if something else gives it."
    yes = f"{ends} {unless} Yes, end it now {no}"
    kept = "Keep it without an end"
    stays = f"The access to {name} stays, and nothing ends it on its day. Yes, keep"
    assert f"See the action End it now {yes} {kept} {stays} it without an end {no}" in shown
    assert "End it now" not in words(signed_in(roles.VIEWER).get(page))


def test_end_it_now_releases_what_the_brake_holds(waiting):
    RuleRun.objects.filter(pk=waiting.pk).update(code=BRAKED, status="held")
    (text,) = said(press(signed_in(roles.SUPPORT), waiting, "end_now"))
    # No access is known that could end, so it is over before the page is drawn.
    assert text.startswith("End it now: 1 had nothing to do.")
    assert queued.again(waiting).status != "held"

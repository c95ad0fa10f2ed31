"""Compare with Thinkific: what the page says, and what its buttons do for each role."""

from typing import Any

import pytest
from django.db.models.functions import Now
from django.urls import reverse

from config.staff import roles
from events.comparison import comparing
from events.models import ComparisonFinding, ComparisonRun, Grant, RuleRun
from integrations.calls import rate_limit
from integrations.models import CallBudget, Destination, Integration
from tests.support import factories, queued
from tests.support.pages import markup, said, signed_in, words

pytestmark = pytest.mark.first_database

PAGE, START, ENROLL = (f"admin:{name}" for name in ("compare", "compare-start", "compare-enroll"))
Kind = ComparisonFinding.Kind


@pytest.fixture
def site(shop):
    return shop.integration


@pytest.fixture
def support(shop):
    return signed_in(roles.SUPPORT)


@pytest.fixture
def last(site) -> ComparisonRun:
    """A comparison that was finished, with nothing found yet."""
    return ComparisonRun.objects.create(
        integration=site, phase="done", finished_at=Now(), courses=[[501, "Watercolor"]]
    )


def finding(last: ComparisonRun, kind: str = "missing", **facts: Any) -> ComparisonFinding:
    given: dict[str, Any] = {"course_id": 501, "name": "Watercolor", "shows": "ended"}
    return ComparisonFinding.objects.create(comparison=last, kind=kind, **(given | facts))


def paid(last: ComparisonRun, order: str = "1183", **facts: Any) -> ComparisonFinding:
    """A finding of a purchase whose action succeeded once, and was seen."""
    course, _ = Destination.objects.get_or_create(
        integration=last.integration, kind="course", external_id=501, name="Watercolor"
    )
    customer = factories.CustomerFactory.create()
    grant = Grant.objects.create(
        customer=customer,
        integration=last.integration,
        target="course:501",
        name="Watercolor",
        order_id=order,
        state="active",
        decided_at=queued.START,
        seen_at=queued.START,
        because="product_purchased",
    )
    done = queued.run(course, customer, order=order, status="done", grant=grant)
    RuleRun.objects.filter(pk=done.pk).update(next_attempt_at=None, finished_at=queued.START)
    return finding(last, grant=grant, customer=customer, **facts)


def look(client: Any, **asked: Any) -> str:
    answer = client.get(reverse(PAGE), asked)
    assert answer.status_code == 200
    return words(answer)


def enroll(client: Any, last: ComparisonRun, *chosen: ComparisonFinding, **more: Any) -> Any:
    data = {"site": last.integration_id, "comparison": last.pk, "kind": "missing"}
    data["finding"] = [each.pk for each in chosen]
    return client.post(reverse(ENROLL), data | more, follow=True)


def statuses() -> list[str]:
    return list(RuleRun.objects.order_by("pk").values_list("status", flat=True))


def test_without_an_integration_it_says_so(db):
    assert "No integration with courses yet" in look(signed_in(roles.SUPPORT))


def test_before_the_first_comparison_it_offers_one(support, site):
    page = look(support)
    assert "Art Academy was never compared." in page
    assert "Compare now" in page


def test_compare_now_begins_one_and_the_page_says_how_far_it_is(support, site):
    answer = support.post(reverse(START), {"site": site.pk}, follow=True)
    assert said(answer) == [
        "Art Academy is being compared. This waits whenever a buyer is being given access."
    ]
    assert comparing.due()
    page = words(answer)
    assert "Art Academy is being compared. Listing what was paid for." in page
    assert "Compare now" not in page
    ComparisonRun.objects.update(phase="reading", courses=[[501, "Watercolor"], [502, "Oil"]])
    assert "Course 1 of 2: Watercolor, page 1. 0 enrollments read so far." in look(support)
    ComparisonRun.objects.update(message="It waits while buyers are being given access.")
    assert "It waits while buyers are being given access." in look(support)
    ComparisonRun.objects.update(phase="asking")
    assert "Asking for 0 students not seen in the lists." in look(support)


def test_one_that_has_stopped_says_why_and_goes_on_with_a_button(support, site):
    run = comparing.start(site, by="Mia")
    ComparisonRun.objects.update(next_at=None, message="Thinkific was not there.")
    page = look(support)
    assert "The comparison has stopped. Thinkific was not there." in page
    assert "by Mia" in page
    assert "Continue" in page
    support.post(reverse(START), {"site": site.pk})
    run.refresh_from_db()
    assert not run.has_stopped


def test_one_that_is_off_says_so_and_is_turned_on_in_place(support, site):
    Integration.objects.update(enabled=False)
    manager = signed_in(roles.MANAGER)
    page = manager.get(reverse(PAGE))
    assert "Art Academy is turned off. Turn it on, then compare. Turn on Art Academy" in words(page)
    assert reverse(START) not in markup(page)


def test_one_whose_key_is_rejected_is_not_begun_and_the_page_leads_to_the_key(support, site):
    Integration.objects.update(connection="refused", connection_message="Rejected.")
    rate_limit.block(site.pk, CallBudget.Blocked.KEY, 600)
    answer = support.post(reverse(START), {"site": site.pk}, follow=True)
    assert said(answer) == ["Art Academy is not compared: its key is rejected."]
    assert not ComparisonRun.objects.exists()
    assert "Ask a manager to look at the integration." in words(answer)
    page = markup(signed_in(roles.MANAGER).get(reverse(PAGE)))
    assert f'{reverse("admin:integrations_integration_change", args=[site.pk])}#id_secret"' in page


def test_one_that_is_paused_is_not_said_to_be_compared_now(support, site):
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, 600)
    answer = support.post(reverse(START), {"site": site.pk}, follow=True)
    assert said(answer) == ["Art Academy is paused. It is compared when the pause is over."]
    assert ComparisonRun.objects.exists()


def test_a_few_schools_are_tabs_and_many_a_list_to_choose_from(support, site):
    other = factories.IntegrationFactory.create(enabled=False)
    tabs = support.get(reverse(PAGE))
    assert f"{other.name} (off)" in words(tabs)
    assert "<select" not in markup(tabs).partition("<main")[2]
    factories.IntegrationFactory.create_batch(3)
    page = support.get(f"{reverse(PAGE)}?site={other.pk}")
    shown = markup(page).partition("<main")[2]
    assert 'class="tabs"' not in shown
    assert f'<option value="{other.pk}" selected>{other.name} (off)</option>' in shown
    assert shown.count("<option") == 5


def test_an_integration_that_is_off_is_not_compared(support, site):
    Integration.objects.update(enabled=False)
    answer = support.post(reverse(START), {"site": site.pk}, follow=True)
    assert said(answer) == ["Art Academy is turned off. Turn it on, then compare."]
    assert not ComparisonRun.objects.exists()


def test_the_last_one_stays_while_another_one_runs(support, site, last):
    finding(last, "unexplained", email="sam@example.com", user_id=9, shows="full")
    comparing.start(site, by="Mia")
    page = look(support)
    assert "is being compared" in page
    assert "Last compared" in page
    assert "sam@example.com" in page


def test_what_was_found_is_said_with_what_to_do(support, site, last):
    closed = paid(last)
    page = look(support)
    assert "1 paid without access." in page
    assert closed.student in page
    assert "Access ended" in page
    assert "Order 1183" in page
    assert "enroll again only those who should have it" in page


def test_the_first_list_that_is_not_empty_is_shown_and_each_can_be_chosen(support, last):
    finding(last, "before", email="old@example.com", user_id=8, shows="full")
    finding(last, "unexplained", email="sam@example.com", user_id=9, shows="full")
    assert "Admit does not end it." in look(support)
    page = look(support, kind="before")
    assert "old@example.com" in page
    assert "There is nothing to do." in page
    assert "None." in look(support, kind="ends")


def test_what_ended_the_access_is_named(support, last):
    found = paid(last, kind="unexplained", shows="full")
    Grant.objects.update(state="ended", because="product_refunded", ended_at=queued.START)
    page = look(support)
    assert found.student in page
    assert "The refund of order 1183 on" in page


@pytest.mark.parametrize("kind", ["unexplained", "before"])
def test_no_button_ends_access(support, last, kind):
    finding(last, kind, email="sam@example.com", user_id=9, shows="full")
    answer = support.get(reverse(PAGE))
    assert b'type="checkbox"' not in answer.content
    assert b"Enroll" not in answer.content.partition(b'<div class="page">')[2].replace(
        b"Enrolled", b""
    )


def test_the_selected_are_enrolled_again(support, last):
    first, second = paid(last), paid(last, "1184")
    answer = enroll(support, last, second)
    assert said(answer) == ["1 queued."]
    assert statuses() == ["done", "waiting"]
    assert "0 of 1 done." in words(answer)
    page = words(support.get(reverse(PAGE)))
    assert "Continues by itself" in page
    assert first.student in page


def test_all_are_enrolled_again(support, last):
    for order in range(3):
        paid(last, str(order))
    assert said(enroll(support, last, all="1")) == ["3 queued."]
    assert statuses() == ["waiting"] * 3


def test_all_of_one_kind_are_no_others(support, last):
    paid(last)
    paid(last, "1184", kind="ends", shows="until")
    enroll(support, last, all="1", kind="ends")
    assert statuses() == ["done", "waiting"]


def test_the_second_press_does_nothing(support, last):
    found = paid(last)
    enroll(support, last, found)
    assert said(enroll(support, last, found)) == ["0 queued, 1 skipped: continues by itself."]


def test_what_was_refunded_since_cannot_be_chosen(support, last):
    found = paid(last)
    Grant.objects.update(state="ended")
    assert "This access is not due anymore" in look(support)
    assert said(enroll(support, last, found)) == [
        "0 queued, 1 skipped: this access is not due anymore."
    ]


def test_with_nothing_selected_it_says_so(support, last):
    paid(last)
    assert said(enroll(support, last)) == ["Nobody was selected, so nobody was enrolled."]


def test_findings_of_an_older_comparison_are_not_enrolled(support, last):
    found = paid(last)
    answer = enroll(support, last, found, comparison=last.pk + 1)
    assert said(answer) == ["Nobody was enrolled: there is a newer comparison. Choose once more."]
    assert statuses() == ["done"]


@pytest.mark.parametrize("kind", ["unexplained", "before", "unseen", "nonsense", ""])
def test_other_findings_cannot_be_enrolled(support, last, kind):
    found = paid(last, kind="unexplained")
    enroll(support, last, found, kind=kind, all="1")
    assert statuses() == ["done"]


@pytest.mark.parametrize("text", ["", "0", "x", "-1", "9" * 40, "\uff11", "<b>"])
def test_bad_input_changes_nothing(support, site, last, text):
    paid(last)
    assert "Watercolor" in look(support, site=text, kind=text, p=text)
    support.post(reverse(START), {"site": text}, follow=True)
    assert not comparing.due()
    enroll(support, last, finding=text)
    enroll(support, last, site=text, comparison=text)
    assert statuses() == ["done"]


def test_a_long_list_has_pages(support, last):
    for number in range(130):
        finding(last, "before", email=f"s{number}@example.com", user_id=number, shows="full")
    page = look(support)
    assert "From before Admit (130)" in page
    assert "s99@example.com" in page
    assert "s100@example.com" not in page
    assert "s129@example.com" in look(support, p="2")
    assert "s129@example.com" in look(support, p="77")


def test_what_strangers_call_themselves_is_escaped(support, last):
    finding(last, "unexplained", email="<script>x@example.com", user_id=9, name="<b>C</b>")
    page = markup(support.get(reverse(PAGE)))
    assert "<script>x@" not in page
    assert "<b>C</b>" not in page


def test_what_was_not_compared_is_named(support, last):
    ComparisonRun.objects.update(left_out=[["Oil", "Thinkific has no such course."]])
    page = look(support)
    assert "Not compared: Oil. Thinkific has no such course." in page


def test_a_viewer_sees_it_and_changes_nothing(last):
    found = paid(last)
    viewer = signed_in(roles.VIEWER)
    answer = viewer.get(reverse(PAGE))
    assert found.student in words(answer)
    assert b"<button" not in answer.content.partition(b'<div class="page">')[2]
    assert viewer.post(reverse(START), {"site": last.integration_id}).status_code == 403
    assert enroll(viewer, last, found).status_code == 403
    assert statuses() == ["done"]


@pytest.mark.parametrize("name", [START, ENROLL])
def test_nothing_is_changed_by_a_link(support, site, name):
    assert support.get(reverse(name)).status_code == 405


def test_each_school_has_its_own(support, site, last):
    other = factories.IntegrationFactory.create(name="Zoo")
    paid(last)
    page = look(support, site=other.pk)
    assert "Zoo was never compared." in page
    assert "Paid without access" not in page


def test_who_paid_for_what_no_rule_gives_is_counted_beside_the_findings(support, last):
    assert "no rule gives" not in look(support)
    product = factories.ProductFactory.create()
    queued.event(factories.CustomerFactory.create(), product=product, gave_nothing=True)
    text = look(support)
    assert "1 buyer paid for something that no rule gives, and is not compared here." in text
    assert "See who paid and has no access" in text

"""What Changes and the customer's page say about access by hand: which course, which days."""

import html
import re
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.admin.parts import badges
from config.staff import roles
from events.access import by_hand, ended_by_hand, holdings
from events.access.by_hand import Author
from events.execution import delayed
from events.models import RuleRun
from integrations.models import AuditEntry, Customer, Destination
from integrations.sentences import YEAR, format_day
from integrations.thinkific import catalog
from tests.support import factories
from tests.support.pages import markup, said, signed_in, words
from tests.support.world import World

# Only the words are looked at; what is kept, test_audit.py tries on each database.
pytestmark = pytest.mark.first_database

MIA = Author("mia@example.com", "Lost her receipt")
CHANGES = "admin:integrations_auditentry_changelist"


@pytest.fixture
def manager(db: None) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def dana(db: None) -> Customer:
    made: Customer = factories.CustomerFactory.create(email="dana@example.com", first_name="Dana")
    return made


@pytest.fixture
def course(world: World) -> Destination:
    return world.course("Ink")


def in_days(number: int) -> date:
    return timezone.localdate() + timedelta(days=number)


def day(number: int) -> str:
    return format_day(in_days(number), YEAR)


def told(client: Client, act: str) -> list[str]:
    """What the list and the page of the only entry of this act say."""
    entry = AuditEntry.objects.get(act=act)
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    return [words(client.get(reverse(CHANGES), {"act": act})), words(client.get(page))]


def end(customer: Customer, last: date | None = None) -> Any:
    (holding,) = holdings.of_customer(customer)
    return by_hand.end(customer, holding.key, MIA, last)


def test_an_access_until_a_day_names_the_course_and_the_day(world, manager, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    in_list, page = told(manager, "access_given")
    assert f"Access: Ink on Art Academy Ends: {day(9)}" in in_list
    assert f"Access Ink on Art Academy Ends {day(9)}" in page


def test_a_changed_day_is_told_as_that_and_not_as_a_second_gift(world, manager, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    by_hand.give(dana, course, MIA, in_days(20))
    world.settle()
    in_list, page = told(manager, "last_day_changed")
    assert f"Access: Ink on Art Academy Ends: {day(9)} → {day(20)}" in in_list
    assert f"Ends {day(9)} {day(20)}" in page
    text = words(manager.get(reverse("admin:integrations_customer_change", args=[dana.pk])))
    history = text.partition("Everything that happened")[2]
    assert history.count("Access given by hand") == 1
    assert history.count("Last day changed by hand") == 1
    (ending,) = RuleRun.objects.delayed()
    assert ending.customer == dana


def test_the_reason_that_a_person_wrote_is_told_also_of_a_changed_day(world, manager, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    by_hand.give(dana, course, Author("mia@example.com", "Ill for a week"), in_days(20))
    end(dana)
    for act, reason in [
        ("access_given", "Lost her receipt"),
        ("last_day_changed", "Ill for a week"),
        ("access_ended", "Lost her receipt"),
    ]:
        in_list, page = told(manager, act)
        assert reason in in_list
        assert f"Note {reason}" in page


def test_another_day_for_what_a_person_ends_is_a_changed_day_too(world, manager, dana, course):
    by_hand.give(dana, course, MIA)
    world.settle()
    end(dana, in_days(9))
    event = end(dana, in_days(12))
    assert event.what_happened == "Last day changed by hand"
    assert f"Ends: {day(9)} → {day(12)}" in told(manager, "last_day_changed")[0]
    RuleRun.objects.delayed().update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    delayed.decide_due()
    world.settle()
    assert not world.access("dana@example.com", course)


def test_an_ending_on_a_day_to_come_is_headed_by_its_day_until_it_has_ended(
    world, manager, dana, course
):
    by_hand.give(dana, course, MIA)
    world.settle()
    event = end(dana, in_days(9))
    pages = [
        reverse("admin:integrations_customer_change", args=[dana.pk]),
        reverse("admin:events_eventlog_change", args=[event.pk]),
        reverse("admin:events_eventlog_changelist"),
    ]
    (ending,) = RuleRun.objects.delayed()
    assert ending.next_attempt_at is not None
    heading = f"Access ends on {format_day(ending.next_attempt_at)} (by hand)"
    for page in pages:
        text = words(manager.get(page))
        assert heading in text, page
        assert "Access ended by hand" not in text, page
    RuleRun.objects.delayed().update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    delayed.decide_due()
    world.settle()
    for page in pages:
        assert "Access ended by hand" in words(manager.get(page)), page


@pytest.mark.parametrize("how", ["ended_now", "access_ended"])
def test_an_early_end_tells_when_it_was_to_end(world, manager, dana, course, how):
    by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    if how == "access_ended":
        end(dana)
    else:
        delayed.bring_forward(RuleRun.objects.delayed().get(), by="Mia")
    in_list, page = told(manager, how)
    assert f"Access: Ink on Art Academy Ends: {day(9)} → now" in in_list
    assert f"Ends {day(9)} now" in page


def test_a_corrected_number_tells_the_old_one_and_the_new_one(world, manager):
    wrong = catalog.by_number(world.integration, "course", 987654, "Watercolor")
    catalog.enter(wrong)
    rule = world.rule("product_purchased", "create_course_enrollment", wrong)
    sent = {"course": wrong.pk, "rule": [rule.pk], "destination": "by_number", "number": "876543"}
    Destination.objects.filter(pk=wrong.pk).update(gone_at=timezone.now())
    manager.post(reverse("admin:another-course"), sent)
    in_list, page = told(manager, "rule_changed")
    assert "Watercolor, number 987654 → Watercolor, number 876543" in in_list
    assert "Watercolor, number 987654 Watercolor, number 876543" in page


def html_of(page: Any) -> str:
    text: str = markup(page)
    return text


def without_back(address: str) -> str:
    return re.sub(r"&(amp;)?back=.*", "", address)


def give_back(page: Any) -> list[str]:
    return re.findall(r'<a href="([^"]+)" class="button[^"]*">Give it back<', html_of(page))


@pytest.mark.parametrize("how", ["ended_now", "access_ended"])
def test_what_a_person_ended_is_given_back_from_its_line_until_the_customer_has_it_again(
    world, manager, dana, course, how
):
    by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    assert give_back(manager.get(reverse(CHANGES))) == []
    if how == "access_ended":
        end(dana)
    else:
        delayed.bring_forward(RuleRun.objects.delayed().get(), by="Mia")
        delayed.decide_due()
    world.settle()
    assert not world.access("dana@example.com", course)
    entry = AuditEntry.objects.get(act=how)
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    (address,) = give_back(manager.get(reverse(CHANGES)))
    (on_page,) = give_back(manager.get(page))
    assert without_back(on_page) == without_back(address)
    assert "This opens Ink on Art Academy again, as if nobody had ended it" in words(
        manager.get(html.unescape(address))
    )
    done = manager.post(html.unescape(address), sent(address, "By mistake"), follow=True)
    assert said(done) == ["Ink is given to dana@example.com now."]
    world.settle()
    assert world.access("dana@example.com", course)
    for each in (reverse(CHANGES), page):
        assert give_back(manager.get(each)) == []
    again = manager.post(html.unescape(address), sent(address, "Pressed twice"))
    assert "This access was given back since, or somebody decided about it." in words(again)


def sent(address: str, reason: str) -> dict[str, str]:
    """What the form of this address sends."""
    asked = parse_qs(urlsplit(html.unescape(address)).query)
    return {name: value for name, (value,) in asked.items()} | {"reason": reason}


def test_a_purchase_that_is_given_back_is_ended_by_its_refund(world, manager, course):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.sell("10_product")
    world.settle()
    buyer = Customer.objects.get()
    end(buyer)
    world.settle()
    assert not world.access(buyer.email, course)
    (address,) = give_back(manager.get(reverse(CHANGES)))
    manager.post(html.unescape(address), sent(address, "By mistake"))
    world.settle()
    assert world.access(buyer.email, course)
    world.sell("20_product")
    world.settle()
    assert not world.access(buyer.email, course)
    page = manager.get(reverse(CHANGES))
    assert "Undone" in words(page)
    assert not re.findall(r'class="button[^"]*">Give ', html_of(page))


def test_what_was_moved_since_is_not_given_back_to_the_old_address(world, manager, course):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product")
    world.settle()
    buyer = Customer.objects.get()
    end(buyer)
    (address,) = give_back(manager.get(reverse(CHANGES)))
    by_hand.give(buyer, world.course("Oil"), MIA)
    assert give_back(manager.get(reverse(CHANGES))) == [address]
    by_hand.move(buyer, "right@example.com", MIA)
    world.settle()
    assert not give_back(manager.get(reverse(CHANGES)))
    assert "This access was given back since, or somebody decided about it." in words(
        manager.get(html.unescape(address))
    )
    again = manager.post(html.unescape(address), sent(address, "By mistake"))
    assert "This access was given back since, or somebody decided about it." in words(again)
    world.settle()
    assert not world.access(buyer.email, course)


def test_what_a_rule_ended_can_only_be_given_by_hand(world, manager, course):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course, delay_days=3)
    world.sell("10_product")
    world.settle()
    world.sell("20_product")
    world.settle()
    delayed.bring_forward(RuleRun.objects.delayed().get(), by="Mia")
    delayed.decide_due()
    world.settle()
    page = manager.get(reverse(CHANGES))
    assert give_back(page) == []
    (address,) = re.findall(r'<a href="([^"]+)" class="button[^"]*">Give access<', html_of(page))
    assert manager.get(html.unescape(address)).context["chosen"] == course


def test_a_customer_is_a_link_while_admit_knows_the_customer(world, manager, dana, course):
    by_hand.give(dana, course, MIA)
    link = f'<a href="{reverse("admin:integrations_customer_change", args=[dana.pk])}">'
    assert markup(manager.get(reverse(CHANGES))).count(link) == 1
    AuditEntry.objects.bulk_create(
        [AuditEntry(who="mia", act="erased", kind="customer", number="99", name="gone")]
    )
    text = markup(manager.get(reverse(CHANGES)))
    assert "gone" in text
    assert reverse("admin:integrations_customer_change", args=[99]) not in text


def links_of(page: Any, label: str) -> list[str]:
    found = re.findall(rf'<a href="([^"]+)" class="button[^"]*">{label}<', html_of(page))
    return [html.unescape(each) for each in found]


def take_back(page: Any) -> list[str]:
    return links_of(page, "Take it back")


def pages_of(act: str) -> list[str]:
    """The list, and the page of the oldest entry of this act."""
    entry = AuditEntry.objects.filter(act=act).earliest("pk")
    return [reverse(CHANGES), reverse("admin:integrations_auditentry_change", args=[entry.pk])]


@pytest.mark.parametrize("last", [None, 9])
def test_what_a_person_gave_is_taken_back_from_its_line_while_it_is_open(
    world, manager, dana, course, last
):
    by_hand.give(dana, course, MIA, in_days(last) if last else None)
    world.settle()
    for where in pages_of("access_given"):
        (address,) = take_back(manager.get(where))
        form = manager.get(address)
        assert "End access" in words(form)
        assert f'<a class="button" href="{where}">Cancel</a>' in html_of(form)
        assert f'<p class="way"><a href="{where}">Back</a>' in html_of(form)
    manager.post(address, sent(address, "By mistake"))
    world.settle()
    assert not world.access("dana@example.com", course)
    for each in pages_of("access_given"):
        assert not take_back(manager.get(each))


def test_what_was_given_back_can_be_taken_back_again(world, manager, dana, course):
    by_hand.give(dana, course, MIA)
    world.settle()
    end(dana)
    by_hand.give_back(RuleRun.objects.latest("pk"), MIA)
    world.settle()
    assert len(set(take_back(manager.get(reverse(CHANGES))))) == 1


def test_what_a_purchase_gives_too_is_not_taken_back(world, manager, course):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product")
    by_hand.give(Customer.objects.get(), course, MIA)
    world.settle()
    for each in pages_of("access_given"):
        assert not take_back(manager.get(each))


def move_back(page: Any) -> list[str]:
    return links_of(page, "Move it back")


def test_what_was_moved_is_moved_back_unless_the_other_has_something_else(world, manager, course):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product")
    world.settle()
    buyer = Customer.objects.get()
    other = by_hand.move(buyer, "other@example.com", MIA)
    world.settle()
    in_list, page = (move_back(manager.get(each)) for each in pages_of("access_moved"))
    assert [*map(without_back, in_list)] == [*map(without_back, page)]
    (address,) = in_list
    assert f'value="{buyer.email}"' in html_of(manager.get(address))
    by_hand.give(other, world.course("Oil"), MIA)
    assert not move_back(manager.get(reverse(CHANGES)))
    oil = next(each for each in holdings.of_customer(other) if each.grants[0].name == "Oil")
    by_hand.end(other, oil.key, MIA)
    manager.post(address, sent(address, "She mistyped it"))
    world.settle()
    assert world.access(buyer.email, course)
    assert not world.access("other@example.com", course)
    (again,) = move_back(manager.get(reverse(CHANGES)))
    assert "other%40example.com" in again


def test_who_may_not_act_by_hand_may_take_nothing_back(world, dana, course):
    by_hand.give(dana, course, MIA)
    world.settle()
    viewer = signed_in(roles.VIEWER)
    assert not take_back(viewer.get(reverse(CHANGES)))
    by_hand.move(dana, "other@example.com", MIA)
    assert not move_back(viewer.get(reverse(CHANGES)))


def undone(manager: Client, act: str) -> list[bool]:
    """Whether the list and the page of each entry of this act say that it was undone."""
    badge = badges.badge("Undone", badges.GREY)
    pages = [reverse(CHANGES) + f"?act={act}"]
    entries = AuditEntry.objects.filter(act=act)
    pages += [reverse("admin:integrations_auditentry_change", args=[each.pk]) for each in entries]
    return [badge in html_of(manager.get(page)) for page in pages]


def test_a_gift_that_a_person_took_back_is_undone_until_it_is_given_back(
    world, manager, dana, course
):
    by_hand.give(dana, course, MIA)
    world.settle()
    assert undone(manager, "access_given") == [False, False]
    ending = end(dana).runs.get()
    world.settle()
    assert undone(manager, "access_given") == [True, True]
    by_hand.give_back(ending, MIA)
    world.settle()
    assert undone(manager, "access_given") == [False, False]
    assert undone(manager, "access_ended") == [True, True]
    end(dana)
    assert undone(manager, "access_given_back") == [True, True]


def test_a_gift_that_ended_on_its_last_day_is_not_undone(world, manager, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    delayed.bring_forward(RuleRun.objects.delayed().get(), by="Mia")
    delayed.decide_due()
    world.settle()
    assert not world.access("dana@example.com", course)
    assert undone(manager, "access_given") == [False, False]


def test_what_is_given_back_is_told_as_that_and_can_be_taken_back(world, manager, dana, course):
    by_hand.give(dana, course, MIA)
    ending = end(dana).runs.get()
    by_hand.give_back(ending, Author("mia@example.com", "By mistake"))
    world.settle()
    in_list, page = told(manager, "access_given_back")
    for text in (in_list, page):
        assert "Gave access back" in text or "gave access back" in text
        assert "By mistake" in text
    assert len(take_back(manager.get(reverse(CHANGES), {"act": "access_given_back"}))) == 1


def test_taken_back_gifts_are_found_by_one_query_for_all(world, course):
    gifts = []
    for number in range(3):
        who = factories.CustomerFactory.create(email=f"a{number}@example.com")
        gifts.append(by_hand.give(who, course, MIA).runs.get())
        end(who)
    with CaptureQueriesContext(connection) as seen:
        assert ended_by_hand.taken_by_hand([run.pk for run in gifts]) == {run.pk for run in gifts}
    assert len(seen) == 1

"""What the pages say before access is given back, and after it is mentioned again."""

import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.admin.pages.staff import changes_undo
from config.admin.parts import times
from config.staff import roles
from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import undo_batch, undo_preview
from events.models import Batch, Grant, RuleRun
from events.reports.changed_rules import refunded
from integrations.models import AuditEntry, Customer, Destination
from integrations.sentences import format_day
from tests.support.pages import markup, plain, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

SOLD = "1048001"
PAGE = "admin:refunded"
KEPT = (
    "After this undo, the access counts as kept on purpose. To be asked about it again, go to "
    "Refunded, but still has access"
)


@pytest.fixture
def manager(db: None) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def ink(world: World) -> Destination:
    """Ink, which no rule ends."""
    course = world.course("Ink")
    world.rule("product_purchased", "create_course_enrollment", course, product=SOLD)
    return course


def sell(world: World, name: str, trigger: str = "") -> None:
    order = 1000 + ord(name[0])
    facts: dict[str, Any] = {
        "customer__email": f"{name}@example.com",
        "customer__first_name": name.capitalize(),
    }
    facts |= {"customer__last_name": "West", "order__id": order}
    world.sell("10_product", trigger, **facts)
    world.settle()


def refund(world: World, *names: str) -> None:
    for name in names:
        sell(world, name)
        sell(world, name, "product_refunded")


def end_all(manager: Client, world: World) -> str:
    """End what was refunded, on its page; return what the preview of the undo says."""
    found = [each.event.pk for each in refunded.refunded_with_access()]
    manager.post(reverse(PAGE), {"chosen": found})
    world.settle()
    return undo_page(manager)


def undo_page(manager: Client) -> str:
    return words(manager.get(reverse("admin:undo-batch"), {"number": Batch.objects.get().pk}))


def end_by_hand(world: World, name: str) -> Customer:
    customer = Customer.objects.get(email=f"{name}@example.com")
    (held,) = holdings.of_customer(customer)
    by_hand.end(customer, held.key, Author("mia@example.com", "Asked for it"))
    world.settle()
    return customer


def give_back_page(manager: Client, customer: Customer) -> str:
    page = reverse("admin:integrations_customer_change", args=[customer.pk])
    shown = markup(manager.get(page))
    (link,) = set(re.findall(r'href="([^"]+)">Give it back<', shown))
    return words(manager.get(unescape(link)))


def test_the_undo_says_by_name_whose_access_counts_as_kept(manager, world, ink):
    refund(world, "jon")
    told = end_all(manager, world)
    assert f"Jon West was refunded. {KEPT}" in told


def test_the_undo_leads_to_the_list_of_who_is_kept(manager, world, ink):
    refund(world, "jon")
    end_all(manager, world)
    page = reverse("admin:undo-batch"), {"number": Batch.objects.get().pk}
    source = manager.get(*page).content.decode()
    (link,) = re.findall('href="([^"]+)">Refunded, but still has access<', source)
    assert unescape(link).startswith(f"{reverse(PAGE)}?back=")
    assert link.endswith("#kept")
    # Alone in the list, this buyer needs no link apart from the button.
    assert "Give it back to this buyer only" not in source


def test_the_undo_leads_to_giving_it_back_to_one_buyer_only(manager, world, ink):
    refund(world, "jon", "flo")
    end_all(manager, world)
    page = reverse("admin:undo-batch"), {"number": Batch.objects.get().pk}

    def links() -> list[str]:
        found = r'href="([^"]+)">Give it back to this buyer only<'
        return re.findall(found, markup(manager.get(*page)))

    assert len(links()) == 2
    jon = Customer.objects.get(email="jon@example.com")
    (link,) = (unescape(each) for each in links() if f"customer={jon.pk}&" in unescape(each))
    asked = dict(parse_qsl(urlsplit(link).query))
    manager.post(reverse("admin:give-back"), asked | {"reason": "The money did not go back"})
    world.settle()
    access = [world.access(f"{name}@example.com", ink) for name in ("jon", "flo")]
    assert access == [True, False]
    assert "the access was given again since" in words(manager.get(*page)).lower()
    assert f"customer={jon.pk}&" not in unescape(" ".join(links()))


def test_the_page_of_a_batch_says_how_many_have_it_again(manager, world, ink):
    refund(world, "jon", "flo", "ann")
    end_all(manager, world)
    page = reverse("admin:batch"), {"number": Batch.objects.get().pk}
    endings = RuleRun.objects.filter(code="ended").order_by("pk")
    for ending in endings[:2]:
        by_hand.give_back(ending, Author("mia@example.com", "Asked for it"))
    # Until Thinkific has it again, the buyers are not in.
    assert "given again" not in words(manager.get(*page))
    world.settle()
    assert "3 ended · 2 given again since" in words(manager.get(*page))


def in_changes(manager: Client, typed: str = "") -> tuple[bool, bool]:
    """Return whether Changes marks what ended these buyers' access as undone, and offers Undo."""
    asked = {"act": "refunded_ended", "q": typed}
    source = manager.get(reverse("admin:integrations_auditentry_changelist"), asked)
    page = markup(source)
    assert words(source).count("Ended what was refunded") > 1  # the filter names it, too
    return ">Undone</span>" in page, reverse("admin:undo-batch") in page


@pytest.mark.parametrize("how", ["each by hand", "one by hand, one by undo"])
def test_what_was_ended_is_undone_once_each_buyer_has_it_back(manager, world, ink, how):
    refund(world, "jon", "flo")
    end_all(manager, world)
    batch = Batch.objects.get()
    assert in_changes(manager) == (False, True)
    first, second = RuleRun.objects.filter(code="ended").order_by("pk")
    by_hand.give_back(first, Author("mia@example.com", "Asked for it"))
    world.settle()
    assert in_changes(manager) == (False, True)
    assert in_changes(manager, str(first.customer)) == (True, False)
    assert in_changes(manager, str(second.customer)) == (False, True)
    if how == "each by hand":
        by_hand.give_back(second, Author("mia@example.com", "Asked for it"))
    else:
        page = f"{reverse('admin:undo-batch')}?number={batch.pk}"
        shown = manager.get(page).content.decode()
        manager.post(page, {"chosen": re.findall(r'name="chosen" value="([^"]+)"', shown)})
    world.settle()
    assert in_changes(manager) == (True, False)


def test_what_was_ended_again_after_it_was_given_back_is_not_undone(manager, world, ink):
    refund(world, "jon")
    end_all(manager, world)
    by_hand.give_back(RuleRun.objects.get(code="ended"), Author("mia@example.com", "Asked"))
    world.settle()
    manager.post(reverse(PAGE), {"all_again": "1"})
    (again,) = refunded.refunded_with_access()
    manager.post(reverse(PAGE), {"chosen": again.event.pk})
    world.settle()
    first, second = AuditEntry.objects.filter(act="refunded_ended").order_by("pk")
    assert changes_undo.undone_entries([first, second]) == {first.pk}


def test_what_is_open_again_after_another_payment_is_not_undone_and_offers_no_undo(
    manager, world, ink
):
    world.rule("subscription_restarted", "create_course_enrollment", ink, product=SOLD)
    refund(world, "jon")
    end_all(manager, world)
    assert in_changes(manager) == (False, True)
    sell(world, "jon", "subscription_restarted")
    assert in_changes(manager) == (False, False)


def test_the_undo_names_three_refunded_buyers_and_counts_the_others(manager, world, ink):
    refund(world, "ann", "bob", "cleo", "dan", "eve")
    told = end_all(manager, world)
    (names,) = re.findall(r"((?:\w+ West, ){2}\w+ West and 2 more) were refunded\.", told)
    assert len(set(names.split())) > 3


def test_the_undo_takes_no_query_for_each_refunded_buyer(manager, world, ink):
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            undo_batch.kept_by_undo(runs)
        return len(seen)

    refund(world, "ann", "bob", "cleo")
    end_all(manager, world)
    ended = undo_preview.preview(Batch.objects.get())
    runs = [run for one in ended for run in one.ended]
    assert (len(runs), queries()) == (3, 2)


def test_giving_back_after_a_refund_says_what_that_decides(manager, world, ink):
    refund(world, "jon")
    told = give_back_page(manager, end_by_hand(world, "jon"))
    assert re.search(
        r"This opens Ink on Art Academy again although order 1106 was refunded on [^:]+: "
        r"the access counts as kept on purpose, and only a later refund or cancellation ends it\.",
        told,
    )
    assert "as if nobody had ended it" not in told


def test_giving_back_what_nobody_refunded_speaks_of_no_refund_before(manager, world, ink):
    sell(world, "jon")
    told = give_back_page(manager, end_by_hand(world, "jon"))
    assert (
        "This opens Ink on Art Academy again, as if nobody had ended it: if a purchase gave it, "
        "a later refund or cancellation ends it."
    ) in told
    assert "on purpose" not in told


def test_mention_it_again_says_how_many_are_mentioned(manager, world, ink):
    refund(world, "jon", "flo")
    Grant.objects.update(kept_at="2100-01-01T00:00Z")
    page = manager.post(reverse(PAGE), {"all_again": "1"}, follow=True)
    assert said(page) == [
        "Admit asks about it again. 2 buyers were refunded and still have Ink: no rule ended it."
    ]
    page = manager.post(reverse(PAGE), {"all_again": "1"}, follow=True)
    assert said(page) == []


def test_mention_it_again_of_what_a_person_gave_back_says_so_as_does_the_overview(
    manager, world, ink
):
    refund(world, "jon")
    jon = end_by_hand(world, "jon")
    page = manager.get(reverse("admin:integrations_customer_change", args=[jon.pk]))
    (link,) = set(re.findall(r'href="([^"]+)">Give it back<', markup(page)))
    asked = dict(parse_qsl(urlsplit(unescape(link)).query))
    manager.post(reverse("admin:give-back"), asked | {"reason": "The money did not go back"})
    world.settle()
    back = "1 buyer was refunded and still has Ink: a person gave it back."
    page = manager.post(reverse(PAGE), {"all_again": "1"}, follow=True)
    assert said(page)[-1] == f"Admit asks about it again. {back}"
    assert back in words(page)
    page = words(manager.get(reverse("admin:integrations_customer_change", args=[jon.pk])))
    opened = Grant.objects.get(customer=jon).opened_at
    assert opened
    day = format_day(opened)
    assert (
        f"It was given back on {day}. If the customer should not keep it, end the access." in page
    )
    refund(world, "flo")
    left = "1 buyer was refunded and still has Ink: no rule ended it."
    assert f"{left} {back}" in words(manager.get(reverse("admin:index")))
    assert "no rule ended it" not in words(manager.get(reverse("admin:alerts")))


def test_an_action_long_after_its_event_has_its_own_time_in_the_timeline(manager, world, ink):
    sell(world, "jon")
    jon = Customer.objects.get(email="jon@example.com")
    page = reverse("admin:integrations_customer_change", args=[jon.pk])
    (run,) = RuleRun.objects.all()

    def shown(after: timedelta) -> str:
        RuleRun.objects.update(finished_at=run.received_at + after)
        return plain(markup(manager.get(page)).partition('class="timeline"')[2])

    late = plain(times.when(run.received_at + timedelta(hours=20)))
    assert f"Enroll in Ink Done {late} " in shown(timedelta(hours=20))
    soon = shown(timedelta(seconds=20))
    assert "Enroll in Ink Done" in soon
    assert not re.search(r"Enroll in Ink Done \d", soon)

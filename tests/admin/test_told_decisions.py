"""What a person decided for a buyer is told: on the timeline, in the letter and in the previews."""

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import moving, undo_batch, undo_preview
from events.models import Batch, EventLog, Grant, RuleRun
from events.reports import batches
from events.reports.changed_rules import refunded
from events.reports.changed_rules.left_behind import left_behind, with_still_given
from events.reports.customers import customer_access
from events.reports.earlier import batch_preview
from integrations.models import Customer
from rules.models import Rule
from tests.support.pages import said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
SOLD, OTHER = "1048001", "88"
FLO = "flo@example.com"


@pytest.fixture
def support(db) -> Client:
    return signed_in(roles.SUPPORT, first_name="Sam")


def sale(world: World, what: str = "10_product", order: int = 1181, **facts: str) -> EventLog:
    event = world.sell(what, customer__email=FLO, order__id=order, **facts)
    world.settle()
    return event


@pytest.fixture
def flo(world: World) -> Customer:
    """Flo bought Ink and was refunded, and no rule ended it."""
    world.rule("product_purchased", GIVES, world.course("Ink"), product=SOLD)
    sale(world)
    sale(world, "20_product")
    return Customer.objects.get(email=FLO)


def page_of(client: Client, customer: Customer) -> str:
    page = client.get(reverse("admin:integrations_customer_change", args=[customer.pk]))
    return words(page).partition("Everything that happened")[2]


def let_keep(client: Client, customer: Customer, reason: str = "goodwill") -> None:
    (grant,) = Grant.objects.active()
    sent = {"holding": holdings.key_of(grant), "reason": reason}
    address = f"{reverse('admin:keep-access')}?customer={customer.pk}"
    client.post(address, sent | {"customer": customer.pk})


def test_the_timeline_says_who_let_the_buyer_keep_it_and_why_also_after_the_next_refund(
    support, world, flo
):
    let_keep(support, flo)
    told = "Sam decided that the buyer keeps Ink. Reason: goodwill"
    assert told in page_of(support, flo)
    sale(world, "20_product", refund_transaction_id="re_2")
    assert told in page_of(support, flo)


def test_the_timeline_says_who_had_admit_ask_again(support, flo):
    let_keep(support, flo)
    (kept,) = refunded.refunded_with_access(kept=True)
    support.post(reverse("admin:refunded"), {"again": kept.event.pk})
    text = page_of(support, flo)
    assert "Sam let Admit ask again about Ink." in text
    assert text.index("Sam decided that the buyer keeps Ink") < text.index(
        "Sam let Admit ask again"
    )


def test_the_letter_names_the_day_on_which_a_person_ended_what_was_kept(support, world, flo):
    let_keep(support, flo)
    (grant,) = Grant.objects.active()
    by_hand.end(flo, holdings.key_of(grant), Author("sam", "She asked for it"))
    world.settle()
    reply = customer_access.describe(flo).reply
    assert "Your access to Ink ended on " in reply
    assert "refund" not in reply


def test_the_letter_names_a_refund_that_came_after_the_decision(support, world, flo):
    let_keep(support, flo)
    sale(world, "20_product", refund_transaction_id="re_2")
    (grant,) = Grant.objects.active()
    by_hand.end(flo, holdings.key_of(grant), Author("sam", "Refunded twice"))
    world.settle()
    assert "Your access to Ink ended with the refund of order 1181" in (
        customer_access.describe(flo).reply
    )


def test_the_rule_that_is_missing_is_told_of_its_product_where_several_were_refunded(world):
    manager = signed_in(roles.MANAGER)
    ink, faces = world.course("Ink"), world.course("Faces")
    world.rule("product_purchased", GIVES, ink, product=SOLD)
    world.rule("product_purchased", GIVES, faces, product=OTHER)
    for order, product in ((1, SOLD), (2, OTHER)):
        for what in ("10_product", "20_product"):
            sale(world, what, order, product__id=product, product__name=f"Product {product}")
    world.rule("product_refunded", ENDS, faces, product=OTHER)
    every = [each.event.pk for each in refunded.refunded_with_access()]
    assert len(every) == 2
    page = manager.post(reverse("admin:refunded"), {"chosen": every}, follow=True)
    (told,) = [each for each in said(page) if "No rule ends it" in each]
    assert told.startswith(f"No rule ends it at the next refund of Product {SOLD}. New rule:")


@pytest.fixture
def moved(world: World) -> Rule:
    """Ink was sold; now the rule gives a bundle with Ink in it."""
    ink, faces = world.course("Ink"), world.course("Faces")
    rule = world.rule("product_purchased", GIVES, ink, product=SOLD)
    sale(world)
    rule.action, rule.destination = "create_bundle_enrollment", world.bundle(ink, faces)
    rule.save()
    return rule


def move(world: World, rule: Rule) -> Batch:
    batch = Batch.objects.create(title="Move", started_by="Mia")
    rows = left_behind(rule.pk).rows
    moving.move([(row.event, [each.pk for each in row.grants], row.gives) for row in rows], batch)
    batch.save()
    world.settle()
    return batch


def test_moving_to_a_bundle_says_that_its_courses_stay_open(world, moved):
    (row,) = with_still_given(left_behind(moved.pk)).rows
    assert row.line.what == "Give All of it; kept through something else: Ink"
    page = signed_in(roles.MANAGER).get(reverse("admin:given-by-rule"), {"rule": moved.pk})
    assert "1 buyer keeps Ink, because something else gives it." in words(page)
    batch = move(world, moved)
    assert "1 kept, because something else gives it" in batches.progress(batch).sentence()


def test_undoing_a_move_says_what_stays_open_by_the_bundle_that_comes_back(world):
    ink, faces = world.course("Ink"), world.course("Faces")
    rule = world.rule(
        "product_purchased", "create_bundle_enrollment", world.bundle(ink, faces), product=SOLD
    )
    sale(world)
    rule.action, rule.destination = GIVES, ink
    rule.save()
    batch = move(world, rule)
    found = batch_preview.of_undo(undo_preview.preview(batch))
    (line,) = found.lines
    assert line.what == "Give All of it; kept through something else: Ink"
    assert found.still_given == 1
    page = signed_in(roles.MANAGER).get(reverse("admin:undo-batch"), {"number": batch.pk})
    assert "1 buyer keeps access, because something else gives it." in words(page)
    looked = [one.number for one in undo_preview.preview(batch)]
    undone = Batch.objects.create(title="Undo", started_by="Mia")
    undo_batch.undo(batch, looked, undone)
    undone.save()
    world.settle()
    assert "1 kept, because something else gives it" in batches.progress(undone).sentence()


def test_the_results_name_who_keeps_it(world, moved):
    batch = move(world, moved)
    kept = RuleRun.objects.get(code="kept")
    page = signed_in(roles.MANAGER).get(reverse("admin:batch"), {"number": batch.pk})
    listed = words(page).partition("Who keeps it, because something else gives it")[2]
    assert FLO in listed
    assert f": {kept.message}" in listed
    customer = reverse("admin:integrations_customer_change", args=[kept.customer_id])
    assert page.content.decode().count(f'href="{customer}"') == 2

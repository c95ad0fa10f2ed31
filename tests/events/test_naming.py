"""A person names an unknown type's trigger once, and the waiting events are carried out."""

import pytest
from django_q.models import OrmQ

from events.access.lock import try_lock
from events.deciding import inbox, naming, storing
from events.execution import reviewing
from events.models import EventLog
from rules.models import NamedType
from rules.triggers import Trigger
from tests.support import shop as shops
from tests.support.samcart import changed

pytestmark = pytest.mark.first_database

BOUGHT = Trigger.PRODUCT_PURCHASED.value


def test_a_named_type_has_what_waited_for_it_carried_out(world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product", type="Purchase-Of Some kind")
    assert EventLog.objects.get().status == "unknown_type"
    OrmQ.objects.all().delete()
    assert naming.name_type(world.marketplace, " purchase_of somekind", BOUGHT) == 1
    assert OrmQ.objects.count() == 1
    (run,) = world.settle()
    assert run.status == "done"
    assert world.access("dana@example.com", course)
    assert EventLog.objects.get().status == "done"


def test_what_a_person_notes_while_an_event_is_read_again_is_kept(shop, monkeypatch):
    event = shop.sell(changed("10_product", type="NewThing"))
    assert naming.name_type(shop.marketplace, "NewThing", BOUGHT) == 1

    def wait_for_the_lock() -> bool:
        assert reviewing.mark_reviewed(EventLog.objects.all(), by="Mia") == 1
        return try_lock()

    monkeypatch.setattr(inbox, "try_lock", wait_for_the_lock)
    inbox.process()
    event.refresh_from_db()
    assert (event.trigger, event.dealt_with_by) == (BOUGHT, "Mia")
    assert event.dealt_with_at is not None


def test_reading_an_event_again_leaves_out_only_what_persons_write():
    columns = {field.name for field in EventLog._meta.concrete_fields}
    fixed = {"id", "delivery", "line", "marketplace", "received_at"}
    by_persons = {each for each in columns if each.endswith(("_at", "_by"))} - {"ordered_at"}
    by_persons |= {"by_hand", "author", "author_note"}
    assert columns - by_persons - fixed == set(storing.READ)


def test_later_events_of_the_type_are_understood_at_once(shop):
    assert naming.name_type(shop.marketplace, "NewThing", BOUGHT) == 0
    assert not OrmQ.objects.exists()
    assert shop.sell(changed("10_product", type="new_thing")).trigger == BOUGHT


def test_naming_a_type_twice_alike_does_no_harm(shop):
    shop.sell(changed("10_product", type="NewThing"))
    assert naming.name_type(shop.marketplace, "NewThing", BOUGHT) == 1
    inbox.process()
    assert naming.name_type(shop.marketplace, "newthing", BOUGHT) == 0
    assert NamedType.objects.get().type == "newthing"


def test_the_name_holds_for_one_account_alone(shop):
    second = shops.another(shop)
    for account in (shop, second):
        account.sell(changed("10_product", type="NewThing"))
    assert naming.name_type(shop.marketplace, "NewThing", BOUGHT) == 1
    inbox.process()
    assert [event.trigger for event in EventLog.objects.order_by("marketplace")] == [BOUGHT, None]


@pytest.mark.parametrize(
    ("word", "trigger", "says"),
    [
        ("ORDER", "product_refunded", "Admit knows this type: it is Product Purchased."),
        ("product_refunded", BOUGHT, "Admit knows this type: it is Product Refunded."),
        ("", BOUGHT, "A type has letters or digits."),
        ("--", BOUGHT, "A type has letters or digits."),
        ("!", BOUGHT, "A type has letters or digits."),
        ("x" * 101, BOUGHT, "A type has at most 100 characters."),
        ("new\u202ething", BOUGHT, "This type has invisible characters."),
        ("new\0thing", BOUGHT, "This type has invisible characters."),
        ("newthing", "", "Choose the trigger that this type means."),
        ("newthing", "nonsense", "Choose the trigger that this type means."),
        ("Renamed", BOUGHT, "“renamed” is named Product Refunded already."),
    ],
)
def test_a_type_that_cannot_be_named_is_refused_in_words(shop, word, trigger, says):
    NamedType.objects.create(
        marketplace=shop.marketplace, type="renamed", trigger="product_refunded"
    )
    with pytest.raises(ValueError, match=says.replace(".", r"\.")):
        naming.name_type(shop.marketplace, word, trigger)
    assert NamedType.objects.get().trigger == "product_refunded"


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (0, "No event waited for this name; the next one will be understood."),
        (1, "1 event that waited is read again: see the log."),
        (12, "12 events that waited are read again: see the log."),
    ],
)
def test_it_is_said_how_many_are_read_again(found: int, says: str):
    said = naming.read_again_sentence(" New ", BOUGHT, found)
    assert said == f"“New” now means Product Purchased. {says}"


def test_types_that_wait_for_a_name_are_listed_the_latest_first(shop):
    second = shops.another(shop)
    shop.sell(changed("10_product", type="OldThing", order__id=1), minutes=1)
    shop.sell(changed("10_product", type="New Thing", order__id=2), minutes=2)
    shop.sell(changed("10_product", type="NewThing", order__id=3), minutes=3)
    # Neither of these waits for a name: a known type, a wrong address, no type, another account.
    shop.sell("10_product", minutes=4)
    shop.sell(changed("10_product", type="ByAddress"), minutes=5, trigger="nonsense")
    shop.sell(changed("10_product", type=None), minutes=6)
    second.sell(changed("10_product", type="Elsewhere"), minutes=7)
    shop.sell(changed("10_product", type="SeenTo", order__id=8), minutes=8)
    EventLog.objects.filter(raw_type="SeenTo").update(dealt_with_at=shops.START)
    found = naming.unnamed(shop.marketplace)
    assert [(one.raw_type, one.events) for one in found] == [("NewThing", 2), ("OldThing", 1)]
    assert [(one.last - shops.START).seconds for one in found] == [180, 60]
    naming.name_type(shop.marketplace, "newthing", BOUGHT)
    inbox.process()
    assert [one.raw_type for one in naming.unnamed(shop.marketplace)] == ["OldThing"]

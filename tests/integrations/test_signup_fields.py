"""SamCart's custom fields fill Thinkific's signup fields, and never cost the course."""

from typing import Any

import pytest

from integrations.models import FieldMapping, Intent, ProfileField
from integrations.thinkific import catalog
from integrations.thinkific.sandbox import Fault
from tests.support import factories
from tests.support.place import EMAIL, Place, place_for
from tests.support.situations import known, on_site
from tests.support.world import World

pytestmark = pytest.mark.first_database


def fields_for(world: World, *mapped: str, **facts: Any) -> Place:
    """A course that is sold, and SamCart fields of these names mapped to fields of the site."""
    place = place_for(world, "course")
    labels = ("Company", "Phone")[: len(mapped)]
    for label in labels:
        world.school.add_field(label, **facts)
    catalog.refresh(world.integration)
    for name, label in zip(mapped, labels, strict=True):
        factories.FieldMappingFactory(
            profile_field=ProfileField.objects.get(label=label), samcart_field=name
        )
    world.sandbox.clear_calls()
    return place


def asked(*values: tuple[str, str, Any]) -> list[dict[str, Any]]:
    """SamCart's custom fields as (name, slug, value)."""
    return [{"name": name, "slug": slug, "value": value} for name, slug, value in values]


COMPANY = asked(("Company", "custom_aB3dEf9H", "Example Ltd"))
AS_OBJECT = {"Company": {"slug": "custom_aB3dEf9H", "value": "Example Ltd"}}


@pytest.mark.parametrize("mapped", ["Company", "company", "custom_aB3dEf9H"])
@pytest.mark.parametrize("fields", [COMPANY, AS_OBJECT], ids=["list", "object"])
def test_a_signup_field_is_filled_at_creation_by_name_or_slug(world: World, mapped, fields):
    place = fields_for(world, mapped)
    run = place.buy(order__custom_fields=fields)
    assert run.message == "Enrolled in Course One."
    assert world.school.users[0].custom_fields == {"Company": "Example Ltd"}
    assert place.calls() == ["POST /users", "POST /enrollments"]


def test_only_changed_fields_with_a_value_are_sent_on_a_later_purchase(world: World):
    place = fields_for(world, "Company", "Phone")
    place.buy(order__custom_fields=asked(("Company", "a", "Old Ltd"), ("Phone", "b", "1")))
    place.calls()
    place.buy(order__custom_fields=asked(("Company", "a", "Old Ltd"), ("Phone", "b", "1")))
    assert place.calls() == ["GET /enrollments"]
    place.buy(order__custom_fields=asked(("Company", "a", ""), ("Phone", "b", "2")))
    ((phone, _), body) = _only_field(place)
    assert (phone, body) == ("Phone", {"custom_profile_fields"})
    assert place.calls() == ["GET /enrollments", "PUT /users/*"]
    assert world.school.users[0].custom_fields == {"Company": "Old Ltd", "Phone": "2"}
    place.buy(order__custom_fields=asked(("Phone", "b", "2")))
    assert place.calls() == ["GET /enrollments"]


def _only_field(place: Place) -> tuple[tuple[str, str], set[str]]:
    """The one field of the one PUT, and the names in its body."""
    (body,) = place.sent("PUT /users/*")
    (entry,) = body["custom_profile_fields"]
    field = place.world.school.fields[entry["custom_profile_field_definition_id"]]
    return (field.label, entry["value"]), set(body)


def test_a_student_of_the_site_gets_only_the_fields_that_differ(world: World):
    place = fields_for(world, "Company", "Phone")
    place.on_site(custom_fields={"Company": "Example Ltd"})
    place.buy(order__custom_fields=asked(("Company", "a", "Example Ltd"), ("Phone", "b", "2")))
    assert _only_field(place)[0] == ("Phone", "2")
    assert place.calls()[-1] == "PUT /users/*"


def test_a_field_refused_at_creation_does_not_cost_the_course(world: World):
    place = fields_for(world, "Company")
    world.sandbox.switches.refused_fields = frozenset({"Company"})
    run = place.buy(order__custom_fields=COMPANY)
    assert run.status == "done"
    assert run.message.startswith("Enrolled in Course One. Thinkific did not take the signup")
    assert "Company: is invalid" in run.message
    assert place.calls() == ["POST /users", "POST /users", "POST /enrollments"]
    assert len(world.school.users) == 1
    assert world.access(EMAIL, place.sold)
    assert not Intent.objects.exists()


def test_a_field_refused_at_creation_is_sent_again_with_the_next_purchase(world: World):
    place = fields_for(world, "Company")
    world.sandbox.switches.refused_fields = frozenset({"Company"})
    place.buy(order__custom_fields=COMPANY)
    world.sandbox.switches.refused_fields = frozenset()
    assert place.buy(order__custom_fields=COMPANY).message == (
        "Was already enrolled in Course One."
    )
    assert world.school.users[0].custom_fields == {"Company": "Example Ltd"}


def test_a_field_refused_later_does_not_cost_the_course(world: World):
    place = fields_for(world, "Company")
    known(place)
    world.sandbox.switches.refused_fields = frozenset({"Company"})
    run = place.buy(order__custom_fields=COMPANY)
    assert run.status == "done"
    assert run.message.startswith("Enrolled in Course One. Thinkific did not take the signup")
    assert place.calls() == ["GET /enrollments", "POST /enrollments", "PUT /users/*"]
    assert world.access(EMAIL, place.sold)


def test_a_student_of_the_site_whose_field_is_refused_gets_no_second_account(world: World):
    place = fields_for(world, "Company")
    on_site(place)
    world.sandbox.switches.refused_fields = frozenset({"Company"})
    run = place.buy(order__custom_fields=COMPANY)
    assert run.status == "done"
    assert world.access(EMAIL, place.sold)
    assert len(world.school.users) == 1


@pytest.mark.parametrize("fields", [[], COMPANY], ids=["none sent", "another sent"])
def test_a_required_field_that_the_buyer_was_not_asked_for_does_not_cost_the_course(
    world: World, fields
):
    place = fields_for(world, "Company", "Never asked", required=True)
    assert place.buy(order__custom_fields=fields).status == "done"
    assert world.access(EMAIL, place.sold)


def test_a_required_field_that_the_site_insists_on_is_named(world: World):
    place = place_for(world, "course")
    insists = {"errors": {"Date of birth": ["can't be blank"]}}
    world.sandbox.faults.add(
        Fault("status", times=None, method="POST", path="/users", status=422, body=insists)
    )
    run = place.buy()
    assert run.status == "failed"
    assert "Date of birth: can't be blank" in run.message
    assert not Intent.objects.exists()


def test_a_field_that_is_not_text_or_has_gone_is_left_out(world: World):
    place = fields_for(world, "Company", field_type="dropdown")
    assert FieldMapping.objects.count() == 1
    place.buy(order__custom_fields=COMPANY)
    assert "custom_profile_fields" not in place.sent("POST /users")[0]

"""Thinkific's OpenAPI file gives IDs as "number": 1, 1.0 and "1" are the same ID."""

import pytest

from integrations.models import Destination
from tests.support.place import EMAIL, KINDS, place_for
from tests.support.situations import enrolled, expired, nobody, on_site

pytestmark = pytest.mark.first_database

IDS = ["int", "float", "string"]


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("before", [nobody, on_site, expired, enrolled])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_in_any_form_enroll_and_expire(world, kind, before, ids):
    place = place_for(world, kind)
    before(place)
    world.sandbox.switches.id_type = ids
    bought = place.attempts(place.buy())
    assert bought.status == "done", bought.message
    assert world.access(EMAIL, place.courses[0])
    refunded = place.refund()
    assert refunded.status == "done", refunded.message
    assert not world.access(EMAIL, place.courses[0])


@pytest.mark.parametrize("ids", IDS)
def test_a_catalog_with_ids_in_any_form_is_read_whole(world, ids):
    world.sandbox.switches.id_type = ids
    world.bundle(world.course("One"), world.course("Two"))
    assert Destination.objects.filter(gone_at=None).count() == 3

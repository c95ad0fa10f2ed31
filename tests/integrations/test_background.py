"""A refresh that a person waits for, but not for long."""

import threading
import time
from typing import Any

import pytest

from integrations import catalog_refresh, credentials
from integrations.models import Destination, Integration
from integrations.thinkific.catalog import Changes
from integrations.thinkific.sandbox import Fault
from tests.support import factories
from tests.support.queued import log_lines


def patiently(condition: Any, *, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(condition())


def at_rest() -> bool:
    return not any(thread.name == "refresh" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def all_over():
    """No reading of one test goes on in the next."""
    yield
    assert patiently(at_rest)


def test_what_is_read_in_time_is_told_at_once(world):
    world.school.add_course("Watercolor")
    outcome = catalog_refresh.refresh(world.integration)
    assert outcome.sentence() == ("refreshed. 1 course, 0 bundles, 0 signup fields (1 new course).")
    assert Destination.objects.get().name == "Watercolor"
    assert Integration.objects.get().refreshed_at is not None


def test_what_takes_longer_goes_on_by_itself_and_says_so(world, sandbox):
    world.school.add_course("Watercolor")
    sandbox.faults.add(Fault("delay", delay=1.5))
    outcome = catalog_refresh.refresh(world.integration, wait=0.1)
    assert outcome.goes_on
    assert "still being read, in the background" in outcome.sentence()
    assert patiently(Destination.objects.exists)


def test_who_asks_again_meanwhile_waits_for_the_same_reading(world, sandbox):
    world.school.add_course("Watercolor")
    sandbox.faults.add(Fault("delay", delay=0.5))
    assert catalog_refresh.refresh(world.integration, wait=0.05).goes_on
    assert catalog_refresh.refresh(world.integration).changes is not None
    assert world.calls() == ["GET /products", "GET /custom_profile_field_definitions"]
    catalog_refresh.refresh(world.integration)
    assert len(world.calls()) == 4


def test_a_new_key_is_not_judged_by_a_reading_with_the_old_one(world, sandbox):
    credentials.save(world.integration, "f" * 32)
    sandbox.faults.add(Fault("delay", delay=0.5))
    assert catalog_refresh.refresh(world.integration, wait=0.05).goes_on
    credentials.save(world.integration, factories.KEY)
    assert catalog_refresh.refresh(world.integration).changes is not None
    assert patiently(at_rest)
    assert Integration.objects.get().connection == "connected"


def test_an_old_key_that_found_the_site_down_says_nothing_about_a_new_one(world, sandbox):
    # Long enough for the reading with the new key to ask for the fields first.
    sandbox.faults.add(Fault("delay", delay=2.0, path="products"))
    late = Fault("status", status=503, path="custom_profile", after=1)
    sandbox.faults.add(late)
    assert catalog_refresh.refresh(world.integration, wait=0.05).goes_on
    credentials.save(world.integration, factories.KEY)
    assert catalog_refresh.refresh(world.integration).changes is not None
    assert patiently(at_rest)
    assert sandbox.faults.fired[-1] == late
    assert Integration.objects.get().connection == "connected"


def test_several_sites_are_read_side_by_side(world, sandbox):
    sandbox.add_school("zoo", key=factories.KEY)
    sites = [world.integration, factories.connected("zoo", name="Zoo")]
    sandbox.faults.add(Fault("delay", delay=1.5, times=2, path="products"))
    outcomes = catalog_refresh.refresh_all(sites)
    one, other = (call for call in sandbox.calls if call.path.endswith("/products"))
    assert max(one.at, other.at) < min(one.until or 0, other.until or 0)
    assert [outcome.changes is not None for outcome in outcomes] == [True, True]
    sandbox.faults.add(Fault("delay", delay=1.5, times=2, path="products"))
    assert all(outcome.goes_on for outcome in catalog_refresh.refresh_all(sites, wait=0.1))


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("status", status=401), "Thinkific does not know this site, or rejects this key"),
        (
            Fault("status", status=403, times=3),
            "the school's plan has no API access (Grow or higher is required)",
        ),
        (
            Fault("status", status=403),
            "Thinkific refused this one request, although the key works.",
        ),
        (
            Fault("status", status=503),
            "Thinkific answered with an error of its own. Try again later.",
        ),
        (Fault("html"), "Thinkific sent a web page instead of data. Try again later."),
        (Fault("status", status=429, headers={"Retry-After": "60"}), "Try again in 60 seconds."),
    ],
)
def test_a_fault_is_told_in_plain_words_without_numbers_of_http(world, sandbox, fault, said):
    sandbox.faults.add(fault)
    outcome = catalog_refresh.refresh(world.integration)
    assert outcome.sentence().startswith("not refreshed. ")
    assert said in outcome.fault
    assert not any(f"({number})" in outcome.fault for number in (200, 401, 403, 429, 503))


def test_a_key_that_cannot_be_opened_is_told(world):
    Integration.objects.update(sealed_secret="lost")
    outcome = catalog_refresh.refresh(Integration.objects.get())
    assert "The stored secret cannot be opened" in outcome.fault


def test_a_fault_of_our_own_is_told_and_logged_and_ends_the_reading(world, sandbox):
    Integration.objects.all().delete()
    with log_lines() as lines:
        outcome = catalog_refresh.refresh(world.integration)
    assert outcome.fault.startswith("Admit itself failed while it read the site")
    assert any("refresh_broke" in line for line in lines)
    assert patiently(at_rest)


@pytest.mark.parametrize(
    ("new", "unlisted", "said"),
    [
        ({}, {}, "."),
        ({"course": 2}, {"course": 1}, " (2 new courses, 1 course no longer listed)."),
        ({"course": 1}, {"bundle": 1}, " (1 new course, 1 bundle no longer listed)."),
        ({}, {"signup field": 2}, " (2 signup fields no longer listed)."),
        (
            {"course": 1, "signup field": 1},
            {"course": 1, "signup field": 3},
            " (1 new course, 1 new signup field, 1 course no longer listed, "
            "3 signup fields no longer listed).",
        ),
    ],
)
def test_what_has_changed_is_counted_by_kind(new, unlisted, said):
    found = {"course": 20, "bundle": 4, "signup field": 1}
    changes = Changes(found=found, new=new, unlisted=unlisted)
    assert changes.sentence() == f"20 courses, 4 bundles, 1 signup field{said}"

"""`manage.py refresh`, with schools that answer over real sockets."""

import io

import pytest
from django.core.management import CommandError, call_command

from integrations.calls import rate_limit
from integrations.models import CallBudget, Destination, Integration
from integrations.thinkific import catalog
from integrations.thinkific.sandbox.faults import Fault
from tests.support import factories


def refresh(*names: str) -> tuple[str, str, str]:
    """What is said, what is complained of, and how it ended ("" is well)."""
    out, err = io.StringIO(), io.StringIO()
    ending, code = "", 1
    try:
        call_command("refresh", *names, stdout=out, stderr=err)
    except CommandError as error:
        ending, code = str(error), error.returncode
    assert code == 1
    said = out.getvalue(), err.getvalue(), ending
    assert not any(factories.KEY in text for text in said)
    return said


def test_it_says_what_it_found_and_what_is_new(world):
    courses = [world.school.add_course(f"Course {n}") for n in range(20)]
    for n in range(4):
        world.school.add_bundle(f"Bundle {n}", courses)
    world.school.add_field("Company")
    said, complained, ending = refresh()
    assert said == (
        "Art Academy: refreshed. 20 courses, 4 bundles, 1 signup field "
        "(20 new courses, 4 new bundles, 1 new signup field).\n"
    )
    assert (complained, ending) == ("", "")
    assert refresh()[0] == "Art Academy: refreshed. 20 courses, 4 bundles, 1 signup field.\n"


def test_a_course_that_is_no_longer_listed_and_that_rules_use_is_told(world):
    course, other = world.course("Course Two"), world.course("Course Three")
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.school.add_course("Course Four")
    world.school.remove_course(world.school.courses[course.external_id])
    assert refresh()[0].splitlines() == [
        "Art Academy: refreshed. 2 courses, 0 bundles, 0 signup fields (1 new course, "
        "1 course no longer listed).",
        "1 course used by 2 rules is not listed by Thinkific. These keep running:",
        "  Product Purchased, every product: Create Course Enrollment, Course Two on Art Academy",
        "  Product Refunded, every product: Expire Course Enrollment, Course Two on Art Academy",
    ]
    world.rule("product_purchased", "create_course_enrollment", other)
    world.school.remove_course(world.school.courses[other.external_id])
    assert "\n2 courses used by 3 rules are not listed by Thinkific." in refresh()[0]


def test_a_rule_for_a_course_that_thinkific_said_is_gone_is_told_as_such(world):
    course = world.course("Course Two")
    world.rule("product_purchased", "create_course_enrollment", course)
    world.school.remove_course(world.school.courses[course.external_id])
    world.sell()
    world.settle()
    told = refresh()[0]
    assert (
        "1 course used by 1 rule is gone from Thinkific. "
        "These can do nothing until they are edited:\n"
    ) in told
    assert "not listed by Thinkific" not in told


def test_a_bundle_that_is_no_longer_listed_is_called_a_bundle(world):
    bundle = world.bundle(world.course())
    world.rule("product_purchased", "create_bundle_enrollment", bundle)
    world.school.remove_bundle(world.school.bundles[bundle.external_id])
    assert "1 bundle used by 1 rule is not listed by Thinkific." in refresh()[0]


def test_a_bundle_that_is_listed_and_not_there_counts_as_not_listed_and_the_rest_is_read(
    world, sandbox
):
    course = world.course("Course Two")
    gone, stays = world.bundle(course, name="Gone"), world.bundle(course, name="Stays")
    world.school.add_course("Course Four")
    fault = Fault("status", status=404, path=f"/bundles/{gone.external_id}$")
    sandbox.faults.add(fault)
    assert refresh() == (
        "Art Academy: refreshed. 2 courses, 1 bundle, 0 signup fields (1 new course, "
        "1 bundle no longer listed).\n",
        "",
        "",
    )
    assert sandbox.faults.fired == [fault]
    gone.refresh_from_db()
    assert (gone.listed, gone.course_ids) == (False, [])
    stays.refresh_from_db()
    assert (stays.listed, stays.course_ids) == (True, [course.external_id])
    assert "1 new bundle" in refresh()[0]


def test_the_courses_of_a_bundle_that_is_not_listed_are_known_while_the_site_answers_for_it(
    world, sandbox
):
    course = world.course()
    bundle = world.bundle(course)
    world.school.bundles[bundle.external_id].new_builder = True
    mistyped = catalog.by_number(world.integration, "bundle", 999, "Mistyped")
    catalog.enter(mistyped)
    said, complained, ending = refresh()
    assert "1 bundle no longer listed" in said
    assert (complained, ending) == ("", "")
    bundle.refresh_from_db()
    assert (bundle.listed, bundle.course_ids) == (False, [course.external_id])
    path = f"/bundles/{bundle.external_id}"
    sandbox.faults.add(Fault("status", status=422, path=f"{path}$"))
    assert refresh()[1:] == ("", "")
    bundle.refresh_from_db()
    assert bundle.course_ids == []


def test_any_other_refusal_of_a_bundle_leaves_the_catalog_as_it_was(world, sandbox):
    bundle = world.bundle(world.course())
    sandbox.faults.add(Fault("status", status=422, path=f"/bundles/{bundle.external_id}$"))
    assert "Thinkific refused the request." in refresh()[1]
    bundle.refresh_from_db()
    assert bundle.listed
    assert bundle.course_ids


def test_a_course_that_no_rule_uses_is_only_counted_when_it_leaves_the_list(world):
    course = world.course()
    world.school.remove_course(world.school.courses[course.external_id])
    assert refresh()[0] == (
        "Art Academy: refreshed. 0 courses, 0 bundles, 0 signup fields "
        "(1 course no longer listed).\n"
        "Thinkific lists no courses. Courses of its new course builder are not listed: enter them "
        "by number.\n"
    )


def test_one_that_fails_does_not_keep_the_others(world, sandbox):
    sandbox.add_school("zoo", key="another-key-that-is-not-the-one")
    factories.connected("zoo", name="A zoo")
    said, complained, ending = refresh()
    assert said.startswith("Art Academy: refreshed.")
    assert complained.startswith("A zoo: not refreshed. Thinkific does not accept the key")
    assert ending == "1 of 2 not refreshed: A zoo."


def test_only_the_named_one_is_read(world, sandbox):
    sandbox.add_school("zoo", key=factories.KEY)
    factories.connected("zoo", name="Zoo")
    assert refresh("Zoo")[0].startswith("Zoo: refreshed.")
    assert {call.school for call in sandbox.calls} == {"zoo"}


def test_a_name_that_is_not_there_is_wrong_use(world):
    with pytest.raises(
        CommandError, match=r"no integration Zoo with courses\. There are: Art Academy"
    ) as caught:
        call_command("refresh", "Zoo")
    assert caught.value.returncode == 2


def test_without_any_integration_it_says_so(transactional_db):
    assert refresh()[0] == "There is no integration yet, so there is nothing to refresh.\n"


def test_a_key_that_cannot_be_opened_is_told(world):
    Integration.objects.update(sealed_secret="sealed-with-a-lost-key")
    _, complained, ending = refresh()
    assert "Art Academy: not refreshed. The stored secret cannot be opened" in complained
    assert ending == "1 of 1 not refreshed: Art Academy."


@pytest.mark.parametrize("why", [CallBudget.Blocked.KEY, CallBudget.Blocked.LIMIT])
def test_a_pause_is_no_reason_not_to_ask(world, why):
    rate_limit.block(world.integration.pk, why, 120)
    assert refresh()[0].startswith("Art Academy: refreshed.")
    assert rate_limit.blocked_for(world.integration.pk) == ("", 0.0)


def test_a_pause_comes_back_when_the_key_is_refused_again(world, sandbox):
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 120)
    world.school.change_key("f" * 32)
    assert "Thinkific does not accept the key" in refresh()[1]
    assert rate_limit.blocked_for(world.integration.pk)[0] == "key"


def test_a_failure_half_way_leaves_the_catalog_as_it_was(world, sandbox):
    course = world.course()
    world.school.remove_course(world.school.courses[course.external_id])
    fault = Fault("status", status=503, path="custom_profile")
    sandbox.faults.add(fault)
    assert "Try again later. (HTTP 503)" in refresh()[1]
    assert sandbox.faults.fired == [fault]
    assert Destination.objects.get().listed
    assert Integration.objects.get().connection == "unreachable"


def test_a_course_and_a_bundle_that_were_renamed_are_told_by_both_names(world):
    course = world.course("The Loose Landscape")
    bundle = world.bundle(course, name="Everything Pass")
    world.school.courses[course.external_id].name = "Loose Landscapes 2026"
    world.school.bundles[bundle.external_id].name = "Everything 2026"
    assert refresh()[0] == (
        "Art Academy: refreshed. 1 course, 1 bundle, 0 signup fields (1 course renamed, 1 bundle "
        "renamed). The Loose Landscape is now called Loose Landscapes 2026. "
        "Everything Pass is now called Everything 2026.\n"
    )
    assert "renamed" not in refresh()[0]

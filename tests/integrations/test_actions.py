"""The four actions against the stand-in: right, idempotent, and without extra calls.

Each row of CASES is a situation, the exact calls it takes ("|" parts attempts) and what the log
says. The table of calls in docs/design.md is made of these rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from integrations.models import Customer, Intent
from tests.support.place import (
    ALREADY,
    EMAIL,
    ENROLLED,
    MADE_AGAIN,
    NO_STUDENT,
    Place,
    place_for,
    shortened,
)
from tests.support.situations import (
    a_course_has_come,
    a_course_has_left,
    a_course_has_left_enrolled,
    all_but_one_expired,
    begins_later,
    courses_unknown_enrolled,
    courses_unknown_one_alone,
    ends_later,
    enrolled,
    enrolled_with_a_far_end,
    expired,
    known,
    look_alikes,
    nobody,
    on_site,
    on_site_among_look_alikes,
    on_site_enrolled,
    on_site_expired,
    on_site_one_course_alone,
    on_site_one_course_expired,
    one_course_alone,
    one_course_expired,
    one_course_previewed,
    preview,
    removed,
    removed_and_back,
    removed_and_back_enrolled,
    spelt_alike,
)
from tests.support.world import World

pytestmark = pytest.mark.first_database


@dataclass(frozen=True)
class Case:
    """`calls` in short: "POST users, GET enrollments | PUT bundles"; see `shortened`."""

    name: str
    kind: str
    arrange: Callable[[Place], object]
    calls: str
    says: str = ENROLLED
    refund: bool = False
    # Switches of the stand-in; a tuple means that each of its values gives the same.
    switches: Mapping[str, Any] = field(default_factory=dict)


ENDED = "Access to {} ended."
NULL = {"null_clears": True, "put_answer": (204, 200, 201, "row")}
ODD_PUT = {"put_answer": (200, 201)}
NO_NULL = {"null_clears": False}
BAD_NULL = {"null_clears": "refused"}
ANY_NULL = {"null_clears": (True, False, "refused")}
ANY_REPEAT = {"repeat_post": ("created", "same", "refused", "conflict")}
FOUND_ANYHOW = {"email_query": ("exact", "partial", "case_sensitive")}
FOUND_IN_ANY_CASE = {"email_query": ("exact", "partial")}
LATER = {"bundle_post": "later", "bundle_delay": 0}
NOT_ENROLLED = "Was not enrolled in {}; nothing to end."
ENDED_BEFORE = "Access to {} had already ended."

# fmt: off
COURSE_CASES = (
    Case("new buyer", "course", nobody,
         "POST users, POST enrollments"),
    Case("new buyer beside look-alikes", "course", look_alikes,
         "POST users, POST enrollments", switches=FOUND_ANYHOW),
    Case("known buyer, not enrolled", "course", known,
         "GET enrollments, POST enrollments"),
    Case("known buyer, enrolled already", "course", enrolled,
         "GET enrollments", ALREADY),
    Case("known buyer, enrolled by us until 2099", "course", enrolled_with_a_far_end,
         "GET enrollments", ALREADY),
    Case("student of the site, new to Admit", "course", on_site,
         "POST users, GET users, GET enrollments, POST enrollments", switches=FOUND_ANYHOW),
    Case("student of the site in other capitals, beside look-alikes", "course",
         on_site_among_look_alikes,
         "POST users, GET users, GET enrollments, POST enrollments", switches=FOUND_IN_ANY_CASE),
    Case("student of the site in other capitals, where the look-up minds them", "course",
         spelt_alike,
         "POST users, GET users, GET users, GET enrollments, POST enrollments",
         switches={"email_query": "case_sensitive"}),
    Case("student of the site, new to Admit, enrolled already", "course", on_site_enrolled,
         "POST users, GET users, GET enrollments", ALREADY),
    Case("student of the site, new to Admit, access expired", "course", on_site_expired,
         "POST users, GET users, GET enrollments, PUT enrollments", switches=ANY_NULL),
    Case("buys again, access expired; null clears the end", "course", expired,
         "GET enrollments, PUT enrollments, GET enrollments", switches=NULL),
    Case("buys again, access expired; null is passed over", "course", expired,
         "GET enrollments, PUT enrollments, GET enrollments, PUT enrollments", switches=NO_NULL),
    Case("buys again, access expired; null is refused", "course", expired,
         "GET enrollments, PUT enrollments, PUT enrollments", switches=BAD_NULL),
    Case("access that would end later; null clears the end", "course", ends_later,
         "GET enrollments, PUT enrollments, GET enrollments", switches=NULL),
    Case("access that would end later; null is passed over", "course", ends_later,
         "GET enrollments, PUT enrollments, GET enrollments, PUT enrollments", switches=NO_NULL),
    Case("access that would end later; null is passed over, PUT tells nothing", "course",
         ends_later,
         "GET enrollments, PUT enrollments, GET enrollments, PUT enrollments, GET enrollments",
         switches={**NO_NULL, **ODD_PUT}),
    Case("access that would end later; null is refused", "course", ends_later,
         "GET enrollments, PUT enrollments, PUT enrollments", switches=BAD_NULL),
    Case("free preview", "course", preview,
         "GET enrollments, PUT enrollments", switches=ANY_NULL),
    Case("access that would begin later", "course", begins_later,
         "GET enrollments, PUT enrollments", switches={**ANY_NULL, "put_answer": (204, "row")}),
    Case("access that would begin later; the answer to PUT tells nothing", "course", begins_later,
         "GET enrollments, PUT enrollments, GET enrollments", switches=ODD_PUT),
    Case("remembered student was removed from the site", "course", removed,
         "GET enrollments, POST enrollments, GET users, POST users, POST enrollments",
         f"{ENROLLED} {MADE_AGAIN}"),
    Case("remembered student was removed and came back", "course", removed_and_back,
         "GET enrollments, POST enrollments, GET users, GET enrollments, POST enrollments",
         f"{ENROLLED} {MADE_AGAIN}"),

    Case("refund, enrolled", "course", enrolled,
         "GET enrollments, PUT enrollments", ENDED, refund=True,
         switches={"put_answer": (204, "row")}),
    Case("refund, enrolled; the answer to PUT tells nothing", "course", enrolled,
         "GET enrollments, PUT enrollments, GET enrollments", ENDED, refund=True,
         switches=ODD_PUT),
    Case("refund, free preview", "course", preview,
         "GET enrollments, PUT enrollments", ENDED, refund=True),
    Case("refund, access would end later", "course", ends_later,
         "GET enrollments, PUT enrollments", ENDED, refund=True, switches=ANY_NULL),
    Case("refund, ended already", "course", expired,
         "GET enrollments", ENDED_BEFORE, refund=True),
    Case("refund, student new to Admit", "course", on_site_enrolled,
         "GET users, GET enrollments, PUT enrollments", ENDED, refund=True,
         switches=FOUND_ANYHOW),
    Case("refund, not enrolled", "course", known,
         "GET enrollments, GET users", NOT_ENROLLED, refund=True),
    Case("refund, no such student", "course", look_alikes,
         "GET users", NO_STUDENT, refund=True, switches=FOUND_ANYHOW),
    Case("refund, remembered student was removed", "course", removed,
         "GET enrollments, GET users", NOT_ENROLLED, refund=True),
    Case("refund, remembered student came back as another", "course", removed_and_back_enrolled,
         "GET enrollments, GET users, GET enrollments, PUT enrollments", ENDED, refund=True),
)

BUNDLE_CASES = (
    Case("new buyer", "bundle", nobody,
         "POST users, POST bundle enrollments"),
    Case("new buyer, 202", "bundle", nobody,
         "POST users, POST bundle enrollments | GET bundle enrollments", switches=LATER),
    Case("known buyer, not enrolled", "bundle", known,
         "GET bundle enrollments, GET enrollments, POST bundle enrollments, "
         "GET bundle enrollments"),
    Case("known buyer, enrolled already", "bundle", enrolled,
         "GET bundle enrollments", ALREADY),
    Case("known buyer, enrolled already, bundle's courses unknown", "bundle",
         courses_unknown_enrolled,
         "GET bundle enrollments, GET bundle", ALREADY),
    Case("student of the site, new to Admit", "bundle", on_site,
         "POST users, GET users, GET bundle enrollments, GET enrollments, "
         "POST bundle enrollments, GET bundle enrollments"),
    Case("one course bought alone before", "bundle", one_course_alone,
         "GET bundle enrollments, GET bundle, POST bundle enrollments", switches=ANY_REPEAT),
    Case("one course bought alone before, 202", "bundle", one_course_alone,
         "GET bundle enrollments, GET bundle, POST bundle enrollments | GET bundle enrollments",
         switches=LATER),
    Case("one course bought alone before, bundle's courses unknown", "bundle",
         courses_unknown_one_alone,
         "GET bundle enrollments, GET bundle, POST bundle enrollments"),
    Case("one course expired before", "bundle", one_course_expired,
         "GET bundle enrollments, GET bundle, POST bundle enrollments, PUT bundle enrollments",
         switches={"repeat_post": ("created", "same"), **ANY_NULL}),
    Case("student of the site, new to Admit, one course bought alone before", "bundle",
         on_site_one_course_alone,
         "POST users, GET users, GET bundle enrollments, GET bundle, POST bundle enrollments"),
    Case("student of the site, new to Admit, one course expired before", "bundle",
         on_site_one_course_expired,
         "POST users, GET users, GET bundle enrollments, GET bundle, POST bundle enrollments,"
         " PUT bundle enrollments"),
    Case("one course previewed before", "bundle", one_course_previewed,
         "GET bundle enrollments, GET bundle, POST bundle enrollments, PUT bundle enrollments",
         switches={"repeat_post": ("created", "same")}),
    Case("one course expired before, 202", "bundle", one_course_expired,
         "GET bundle enrollments, GET bundle, POST bundle enrollments | GET bundle enrollments,"
         " PUT bundle enrollments, GET bundle enrollments",
         switches={**LATER, "repeat_post": "same"}),
    Case("buys again, all expired; null clears the end", "bundle", expired,
         "GET bundle enrollments, PUT bundle enrollments, GET bundle enrollments", switches=NULL),
    Case("buys again, all expired; null is passed over", "bundle", expired,
         "GET bundle enrollments, PUT bundle enrollments, GET bundle enrollments,"
         " PUT bundle enrollments", switches=NO_NULL),
    Case("buys again, all expired; null is refused", "bundle", expired,
         "GET bundle enrollments, PUT bundle enrollments, PUT bundle enrollments",
         switches=BAD_NULL),
    Case("student of the site, new to Admit, all expired", "bundle", on_site_expired,
         "POST users, GET users, GET bundle enrollments, PUT bundle enrollments",
         switches=ANY_NULL),
    Case("some expired, some not", "bundle", all_but_one_expired,
         "GET bundle enrollments, PUT bundle enrollments, GET bundle enrollments",
         switches={"bundle_post": ("created", "later")}),
    Case("a course has left the bundle since the last refresh, new buyer", "bundle",
         a_course_has_left,
         "POST users, POST bundle enrollments"),
    Case("a course has left the bundle, enrolled already", "bundle", a_course_has_left_enrolled,
         "GET bundle enrollments, GET bundle", ALREADY, switches=ANY_REPEAT),
    Case("a course has left the bundle, new buyer, 202", "bundle", a_course_has_left,
         "POST users, POST bundle enrollments | GET bundle enrollments, GET bundle",
         switches=LATER),
    Case("a course has come into the bundle since the last refresh, new buyer", "bundle",
         a_course_has_come, "POST users, POST bundle enrollments"),
    Case("remembered student was removed from the site", "bundle", removed,
         "GET bundle enrollments, GET enrollments, POST bundle enrollments, GET users, POST users,"
         " POST bundle enrollments",
         f"{ENROLLED} {MADE_AGAIN}"),

    Case("refund, enrolled", "bundle", enrolled,
         "GET bundle enrollments, PUT bundle enrollments", ENDED, refund=True),
    Case("refund, enrolled; the answer to PUT tells nothing", "bundle", enrolled,
         "GET bundle enrollments, PUT bundle enrollments, GET bundle enrollments", ENDED,
         refund=True, switches={"put_answer": (200, 201, "row")}),
    Case("refund, only one course held", "bundle", one_course_alone,
         "GET bundle enrollments, PUT bundle enrollments", ENDED, refund=True),
    Case("refund, some expired", "bundle", all_but_one_expired,
         "GET bundle enrollments, PUT bundle enrollments", ENDED, refund=True),
    Case("refund, ended already", "bundle", expired,
         "GET bundle enrollments", ENDED_BEFORE, refund=True),
    Case("refund, not enrolled", "bundle", known,
         "GET bundle enrollments, GET users", NOT_ENROLLED, refund=True),
    Case("refund, no such student", "bundle", nobody,
         "GET users", NO_STUDENT, refund=True),
)
# fmt: on
CASES = COURSE_CASES + BUNDLE_CASES


def each_way(cases: tuple[Case, ...]) -> list[Any]:
    """A test for every case and every value of its switches, the others as they come first."""
    found = []
    for case in cases:
        ways = {
            name: value if isinstance(value, tuple) else (value,)
            for name, value in case.switches.items()
        }
        first = {name: values[0] for name, values in ways.items()}
        others = [first | {name: value} for name in ways for value in ways[name][1:]]
        for chosen in [first, *others]:
            shown = ", ".join(f"{name}={value}" for name, value in chosen.items())
            name = " ".join(filter(None, [case.kind, case.name, shown and f"({shown})"]))
            found.append(pytest.param(replace(case, switches=chosen), id=name))
    return found


@pytest.mark.parametrize("case", each_way(CASES))
def test_each_situation_takes_these_calls_and_ends_right(world: World, case: Case):
    place = place_for(world, case.kind)
    case.arrange(place)
    accounts = {user.email.lower() for user in world.school.users}
    world.sandbox.switches.update(case.switches)
    sent = str(getattr(Customer.objects.first(), "email_as_sent", EMAIL))
    run = place.refund() if case.refund else place.buy(customer__email=sent)
    attempts = [shortened(place.calls())]
    while run.status == "waiting" and len(attempts) < 4:
        world.later()
        attempts.append(shortened(place.calls()))
        run.refresh_from_db()

    assert (run.status, run.message) == ("done", case.says.format(place.sold.name))
    assert " | ".join(attempts) == case.calls
    assert not Intent.objects.exists()
    if case.refund:
        assert not any(place.has_access(course) for course in place.inside())
        assert {user.email.lower() for user in world.school.users} == accounts
    else:
        assert all(place.has_access(course) for course in place.inside())
        emails = [user.email.lower() for user in world.school.users]
        assert sorted(emails) == sorted(accounts | {EMAIL})
    _assert_idempotent(place, case)


def _assert_idempotent(place: Place, case: Case) -> None:
    """The same again writes nothing and says that it was already so."""
    run = place.refund(order__total="1.00") if case.refund else place.buy()
    calls = place.calls()
    if case.refund:
        assert (run.status, run.code, calls) == ("skipped", "ended_before", [])
        return
    assert run.status == "done"
    assert {call.split()[0] for call in calls} == {"GET"}
    assert run.message == ALREADY.format(place.sold.name)


def test_only_what_must_be_found_or_read_back_first_takes_more_than_four_calls_in_an_attempt():
    longer = {
        case.name
        for case in CASES
        if max(attempt.count(",") + 1 for attempt in case.calls.split(" | ")) > 4
    }
    assert longer == {
        "access that would end later; null is passed over, PUT tells nothing",
        "student of the site in other capitals, where the look-up minds them",
        "student of the site, new to Admit",  # as a bundle, which is looked at once more
        "student of the site, new to Admit, one course bought alone before",
        "student of the site, new to Admit, one course expired before",
        "remembered student was removed from the site",
        "remembered student was removed and came back",
    }

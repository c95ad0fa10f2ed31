"""The page of a course or bundle: what it shows, and what a person can say about it."""

import re
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.models import Grant, RuleRun
from events.reports.customers import customer_access
from integrations.audit import Act
from integrations.models import AuditEntry, Customer, Destination
from integrations.thinkific import catalog
from integrations.thinkific.sandbox.faults import Fault
from rules.actions import Action
from rules.models import Rule
from tests.support import factories, queued
from tests.support.pages import markup, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


def address(destination: Destination, what: str = "change") -> str:
    return reverse(f"admin:integrations_destination_{what}", args=[destination.pk])


def buttons(client: Client, destination: Destination) -> set[str]:
    page = markup(client.get(address(destination)))
    names = ("mark_gone", "mark_back", "remove")
    return {name for name in names if address(destination, f"do_{name}") in page}


# What it tells


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, "Listed Published Yes Private Thinkific does not tell"),
        ({"published": False, "private": True}, "Published No, it is a draft Private Yes"),
        ({"private": False}, "Private No: customers can cancel inside Thinkific"),
        ({"by_hand": True}, "Not listed Entered by hand Rules"),
        ({"unlisted_at": timezone.now()}, "Not listed since"),
        ({"gone_at": timezone.now()}, "Gone since"),
        ({"kind": "bundle"}, "Courses in it Not known: Admit asks Thinkific at each sale"),
    ],
)
def test_the_page_tells_what_a_course_creator_knows(manager, facts, says):
    course = factories.DestinationFactory.create(name="Watercolor", external_id=512, **facts)
    shown = words(manager.get(address(course)))
    assert says in shown
    assert "Number in Thinkific 512" in shown
    assert "Rules that use it 0" in shown
    for raw in ("Gone at", "Unlisted at", "Course ids", "By hand:"):
        assert raw not in shown


def test_the_page_of_a_bundle_names_its_courses_and_the_site_leads_to_what_is_not_listed(manager):
    course = factories.DestinationFactory.create(name="Watercolor")
    bundle = factories.DestinationFactory.create(
        integration=course.integration,
        kind="bundle",
        course_ids=[course.external_id],
        by_hand=True,
    )
    assert "Courses in it Watercolor" in words(manager.get(address(bundle)))
    site = reverse("admin:integrations_integration_change", args=[course.integration.pk])
    page = markup(manager.get(site))
    assert address(bundle) in page
    assert address(course) not in page


def test_the_list_finds_a_course_by_its_number_and_what_has_no_rule(manager):
    unused = factories.DestinationFactory.create(name="Watercolor", external_id=90502)
    used = factories.RuleFactory.create(destination__name="Sketching").destination
    listed = reverse("admin:integrations_destination_changelist")

    def found(query: str) -> set[Destination]:
        return set(manager.get(f"{listed}?{query}").context["cl"].result_list)

    assert found("") == {unused, used}
    assert found("q=90502") == {unused}
    assert found("rules=none") == {unused}
    assert found("rules=some") == {used}
    assert "No rule" in words(manager.get(f"{listed}?q=90502"))


# It is gone, it is back


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.VIEWER])
def test_who_does_not_set_up_sees_no_button(manager, role):
    course = factories.DestinationFactory.create(by_hand=True)
    assert buttons(manager, course) == {"mark_gone", "remove"}
    assert buttons(signed_in(role), course) == set()


def test_what_follows_is_said_before_it_is_pressed(manager):
    course = factories.DestinationFactory.create(unlisted_at=timezone.now())
    page = words(manager.get(address(course)))
    assert "No rule that is on gives it." in page
    assert "Students keep" not in page
    has = queued.grant(queued.run(course, status="done"), state="ended")
    assert "Students keep" not in words(manager.get(address(course)))
    Grant.objects.filter(pk=has.pk).update(state="active")
    page = words(manager.get(address(course)))
    assert (
        "gives it. Students keep the access they have, and rules that end it keep running." in page
    )
    factories.RuleFactory.create(destination=course)
    factories.RuleFactory.create(destination=course, enabled=False)
    queued.run(course)
    queued.run(course, status="held")
    page = words(manager.get(address(course)))
    assert "Say this only if it was deleted in Thinkific." in page
    assert "1 rule that gives it is turned off. 2 open actions that would give it fail" in page
    assert "takes this back" not in page
    Destination.objects.update(unlisted_at=None)
    assert "a refresh that still finds it there takes this back" in words(
        manager.get(address(course))
    )


def test_what_a_person_calls_gone_is_given_to_nobody_without_asking_thinkific(
    world: World, manager
):
    course = world.course()
    giving = world.rule("product_purchased", "create_course_enrollment", course)
    ending = world.rule("product_refunded", "expire_course_enrollment", course)
    other = world.course("Another")
    kept = world.rule("product_purchased", "create_course_enrollment", other)
    waits, holds = queued.run(course, rule=giving), queued.run(course, rule=giving, status="held")
    ends = queued.run(course, action=Action.EXPIRE_COURSE_ENROLLMENT)
    elsewhere = queued.run(other)

    answer = press(manager, course, "mark_gone")

    assert said(answer) == [
        "Course Two: marked as gone. 1 rule turned off, 2 open actions failed. See its rules"
    ]
    course.refresh_from_db()
    assert course.gone_at is not None
    assert {rule.pk for rule in Rule.objects.filter(enabled=True)} == {ending.pk, kept.pk}
    for run in (waits, holds):
        run.refresh_from_db()
        assert (run.status, run.event.status) == ("failed", "failed")
        assert run.message.startswith("Course Two was marked as gone from Thinkific by ")
        assert run.message.endswith("for its rules, and retry what failed.")
    assert {queued.again(run).status for run in (ends, elsewhere)} == {"waiting"}
    world.sell("10_product")
    world.settle()
    gave = RuleRun.objects.filter(destination_id=course.external_id, status="done")
    assert list(gave) == [ends]
    assert not [
        enrolled
        for enrolled in world.school.enrollments
        if enrolled.course.id == course.external_id
    ]


def test_a_student_of_a_course_that_is_gone_is_not_told_to_sign_in(world: World, manager):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product")
    world.settle()
    student = Customer.objects.get()
    page = reverse("admin:integrations_customer_change", args=[student.pk])
    assert "has had Course Two since" in words(manager.get(page))
    press(manager, course, "mark_gone")
    shown = manager.get(page)
    told = words(shown).partition("Everything that happened")[0]
    assert f"{student.first_name} cannot open Course Two: it is gone from Thinkific." in told
    assert f'href="{address(course)}">See the course' in markup(shown)
    by_hand = f"{reverse('admin:give-access')}?customer={student.pk}"
    assert f'href="{by_hand}">Give another course' in markup(shown)
    another = (
        f"{reverse('admin:another-course')}?course={course.pk}&amp;back={quote(page, safe='')}"
    )
    assert f'href="{another}">Choose another course for its rules' in markup(shown)
    assert "sorting out your access to Course Two" in told
    assert "1 order · no course now" in told
    assert "Forgot password" not in told


def test_what_is_back_can_be_chosen_again_and_its_rules_wait_to_be_turned_on(manager):
    course = factories.DestinationFactory.create(name="Watercolor", by_hand=True)
    rule = factories.RuleFactory.create(destination=course)
    press(manager, course, "mark_gone")
    assert buttons(manager, course) == {"mark_back"}
    assert said(press(manager, course, "mark_back")) == [
        "Watercolor: marked as back. 1 rule that would give it is off: turn on what you need. See "
        "its rules"
    ]
    course.refresh_from_db()
    assert course.gone_at is None
    rule.refresh_from_db()
    assert not rule.enabled


def test_a_refresh_that_lists_it_takes_a_persons_word_back(world: World, manager):
    course = world.course()
    press(manager, course, "mark_gone")
    catalog.refresh(world.integration)
    course.refresh_from_db()
    assert course.gone_at is None


# An action that failed because its course is gone


def offers(client: Client, page: str, run: RuleRun) -> set[str]:
    """What stands beside the reason: the ways to choose another course and to refresh."""
    shown = markup(client.get(page))
    found = {
        "Another": f"{reverse('admin:another-course')}?action={run.pk}&",
        "Refresh": reverse("admin:events_rulerun_do_refresh", args=[run.pk]),
    }
    return {label for label, where in found.items() if where in shown}


@pytest.mark.parametrize("page", ["eventlog", "rulerun"])
def test_what_failed_because_its_course_is_gone_offers_what_its_reason_tells_to_do(
    world: World, manager, page
):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    taken = world.school.courses.pop(course.external_id)
    world.sell("10_product")
    (run,) = world.settle()
    assert "Choose another course for its rules, and retry what failed." in run.message
    row = run.pk if page == "rulerun" else run.event_id
    where = reverse(f"admin:events_{page}_change", args=[row])
    assert offers(manager, where, run) == {"Another", "Refresh"}
    assert offers(signed_in(roles.SUPPORT), where, run) == set()
    # Once a refresh lists it again, a retry is enough.
    world.school.courses[course.external_id] = taken
    refresh = reverse("admin:events_rulerun_do_refresh", args=[run.pk])
    assert said(manager.post(refresh, follow=True))[0].startswith("Art Academy: refreshed.")
    assert offers(manager, where, run) == set()


@pytest.mark.parametrize(
    ("facts", "is_gone"),
    [
        ({"status": "waiting"}, True),
        ({"status": "failed"}, False),
        ({"status": "failed", "action": "expire_course_enrollment"}, True),
    ],
)
def test_any_other_action_offers_neither(manager, facts, is_gone):
    course = factories.DestinationFactory.create(gone_at=timezone.now() if is_gone else None)
    run = queued.run(course, rule=factories.RuleFactory.create(destination=course), **facts)
    where = reverse("admin:events_rulerun_change", args=[run.pk])
    assert offers(manager, where, run) == set()


def test_an_action_without_its_rule_offers_no_other_course(manager):
    course = factories.DestinationFactory.create(gone_at=timezone.now())
    run = queued.run(course, status="failed")
    shown = manager.get(reverse("admin:events_rulerun_change", args=[run.pk])).content.decode()
    assert "Choose another course" not in shown
    assert reverse("admin:events_rulerun_do_refresh", args=[run.pk]) in shown


# Another course in place of it


def fails_as_gone(world: World, *buyers: str) -> Rule:
    """Purchases whose course Thinkific does not have anymore, and the rule that gives it."""
    course = world.course()
    world.course("Course Three")
    rule = world.rule("product_purchased", "create_course_enrollment", course)
    world.school.courses.pop(course.external_id)
    for buyer in buyers:
        world.sell("10_product", customer__email=buyer)
    world.settle()
    return rule


def test_another_course_is_chosen_once_for_the_rules_and_all_that_failed(world: World, manager):
    rule = fails_as_gone(world, "ada@example.com", "eve@example.com")
    other = Destination.objects.get(name="Course Three")
    run = RuleRun.objects.filter(status="failed").latest("pk")
    shown = manager.get(reverse("admin:events_rulerun_change", args=[run.pk])).content.decode()
    assert "Choose another course and retry the 2 that failed because of it" in shown
    where = reverse("admin:another-course")
    page = words(manager.get(where, {"action": run.pk}))
    assert "Change the rules and retry the 2 that failed" in page
    assert "Course Three" not in words(manager.get(where, {"action": run.pk, "q": "zzz"}))
    chosen = {"course": rule.destination_id, "rule": rule.pk, "destination": other.pk}
    answer = manager.post(where, chosen, follow=True)
    assert said(answer) == ["1 rule uses Course Three from now on."]
    assert "0 of 2 done." in words(answer)
    world.settle()
    rule.refresh_from_db()
    assert rule.destination == other
    done = RuleRun.objects.filter(status="done", destination_id=other.external_id)
    assert done.count() == 2
    acts = set(AuditEntry.objects.values_list("act", flat=True))
    assert {Act.RULE_CHANGED, Act.RUN_RETRIED} <= acts
    told = customer_access.describe(Customer.objects.get(email="ada@example.com")).lines[0].text
    assert re.search(r"On \d.+ it was chosen in place of Course Two\.", told)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"destination": ""}, "Choose the course to give instead."),
        ({"rule": ""}, "Select at least one rule."),
        ({}, "already"),
    ],
)
def test_what_does_not_fit_changes_no_rule(manager, given, says):
    gone = factories.DestinationFactory.create(gone_at=timezone.now())
    rule = factories.RuleFactory.create(destination=gone)
    other = factories.DestinationFactory.create(integration=gone.integration)
    same = {"product": rule.product, "marketplace": rule.marketplace, "trigger": rule.trigger}
    factories.RuleFactory.create(destination=other, integration=rule.integration, **same)
    chosen = {"course": gone.pk, "rule": rule.pk, "destination": other.pk} | given
    answer = manager.post(reverse("admin:another-course"), chosen)
    assert says in words(answer)
    rule.refresh_from_db()
    assert rule.destination == gone


def test_where_its_rules_were_changed_already_what_failed_is_retried(world: World, manager):
    rule = fails_as_gone(world, "ada@example.com")
    gone = rule.destination_id
    Rule.objects.update(destination=Destination.objects.get(name="Course Three"))
    page = manager.get(reverse("admin:another-course"), {"course": gone})
    assert "No rule uses it anymore. A retry gives what the rule gives now." in words(page)
    assert "Retry the one that failed" in words(page)


def test_a_course_that_is_there_again_needs_no_other(manager):
    course = factories.DestinationFactory.create()
    answer = manager.get(reverse("admin:another-course"), {"course": course.pk}, follow=True)
    assert said(answer) == ["This course or bundle is there again. What failed can be retried."]


def test_what_is_ticked_and_chosen_stays_when_a_name_is_looked_for(world: World, manager):
    rule = fails_as_gone(world, "ada@example.com")
    assert rule.destination is not None
    other = Destination.objects.get(name="Course Three")
    kept = world.rule("subscription_recovered", "create_course_enrollment", rule.destination)
    where = reverse("admin:another-course")
    chosen = {"course": rule.destination_id, "rule": kept.pk, "destination": other.pk}
    answer = manager.post(where, chosen | {"q": "zzz", "find": "1"})
    page = markup(answer)
    assert f'id="r{kept.pk}" checked' in page
    assert f'id="r{rule.pk}" checked' not in page
    assert f'id="d{other.pk}" checked' in page
    assert "new-rule.js" not in page
    assert set(Rule.objects.values_list("destination", flat=True)) == {rule.destination_id}


def entered(world: World, number: int, name: str = "Watercolor") -> Destination:
    course = catalog.by_number(world.integration, "course", number, name)
    catalog.enter(course)
    return course


def test_a_number_that_never_was_in_thinkific_is_not_called_gone_and_is_corrected_for_all_rules(
    world: World, manager
):
    right = world.course()
    wrong = entered(world, 987654)
    rules = [
        world.rule(trigger, "create_course_enrollment", wrong)
        for trigger in ("product_purchased", "subscription_recovered")
    ]
    world.sell("10_product")
    (run,) = world.settle()
    none = "Thinkific has no course with the number 987654, entered as Watercolor."
    do = "Correct the number in its rules, or choose another course for them, and retry what failed"
    assert run.message == f"{none} {do}."
    where = reverse("admin:another-course")
    pages = [where, address(wrong), reverse("admin:rules_rule_changelist")]
    texts = [
        words(manager.get(page, {"course": wrong.pk} if page == where else {})) for page in pages
    ]
    assert none in texts[0]
    assert f"No such number {none}" in texts[1]
    assert "Correct the number" in texts[1]
    assert texts[2].count("No such number") == 2
    assert not any("gone" in text.replace("Course gone", "") for text in texts)
    answers = {"course": wrong.pk, "rule": [rule.pk for rule in rules], "destination": "by_number"}
    assert "This is not a number." in words(manager.post(where, answers | {"number": "Watercolor"}))
    assert none in words(manager.post(where, answers | {"number": "987654"}))
    typed = f"https://acme.thinkific.com/manage/courses/{right.external_id}"
    answer = manager.post(where, answers | {"number": typed, "use": right.pk}, follow=True)
    assert said(answer) == [
        "2 rules use Course Two from now on. Watercolor, number 987654, is not in the list anymore."
    ]
    world.settle()
    assert {rule.destination_id for rule in Rule.objects.all()} == {right.pk}
    assert queued.again(run).status == "done"
    assert world.access("dana@example.com", right)


# What was entered by hand


def test_an_entry_by_hand_that_no_rule_uses_is_removed(manager):
    course = factories.DestinationFactory.create(name="Watercolor", by_hand=True)
    answer = press(manager, course, "remove")
    assert said(answer) == ["Watercolor: removed."]
    assert answer.redirect_chain[-1][0] == reverse("admin:integrations_destination_changelist")
    assert not Destination.objects.exists()


@pytest.mark.parametrize("facts", [{"by_hand": True}, {"unlisted_at": timezone.now()}, {}])
def test_what_a_rule_uses_or_thinkific_listed_is_not_removed(manager, facts):
    course = factories.DestinationFactory.create(name="Watercolor", **facts)
    if course.by_hand:
        factories.RuleFactory.create(destination=course, enabled=False)
    assert "remove" not in buttons(manager, course)
    assert said(press(manager, course, "remove")) == [
        "Watercolor: not removed, because a rule uses it or Thinkific lists it."
    ]
    assert Destination.objects.get() == course


# Thinkific does not list it anymore, and no buyer has found out yet


@pytest.fixture
def deleted(world: World) -> Destination:
    """A course that was deleted in Thinkific, and that two rules give and one ends."""
    found = world.course("Ink and Wash")
    world.course("Pen and Ink")
    for product in ("77", "78"):
        world.rule("product_purchased", "create_course_enrollment", found, product=product)
    world.rule("product_refunded", "expire_course_enrollment", found)
    world.school.remove_course(world.school.courses[found.external_id])
    catalog.refresh(world.integration)
    found.refresh_from_db()
    return found


def test_the_overview_says_which_rules_give_a_course_that_is_not_listed_any_more(manager, deleted):
    answer = manager.get(reverse("admin:index"))
    assert "Thinkific no longer lists Ink and Wash; 2 rules still give it." in words(answer)
    assert "Rules give 1 course that Thinkific no longer has." in words(answer)
    where = f"{reverse('admin:another-course')}?course={deleted.pk}&amp;back=%2Fadmin%2F"
    assert f'href="{where}">Choose another course' in markup(answer)
    Destination.objects.filter(pk=deleted.pk).update(gone_at=timezone.now())
    answer = manager.get(reverse("admin:index"))
    assert "Ink and Wash is not in Thinkific; 2 rules still give it." in words(answer)
    Rule.objects.update(enabled=False)
    told = words(manager.get(reverse("admin:index")))
    assert "still give it" not in told
    assert "no longer has" not in told


def test_another_course_is_chosen_for_one_that_is_not_listed_any_more(manager, deleted):
    where = reverse("admin:another-course")
    page = words(manager.get(where, {"course": deleted.pk}))
    assert "Art Academy no longer lists Ink and Wash. If it is still there, enter it by" in page
    other = Destination.objects.get(name="Pen and Ink")
    rules = [rule.pk for rule in Rule.objects.all()]
    manager.post(where, {"course": deleted.pk, "rule": rules, "destination": other.pk})
    assert {rule.destination for rule in Rule.objects.all()} == {other}


def test_what_failed_at_every_attempt_for_a_course_that_is_not_listed_leads_to_another(
    world, manager, deleted, settings
):
    settings.RETRY_DELAYS = [0.0]
    world.sandbox.faults.add(Fault("status", status=500, times=None))
    world.sell("10_product", product__id=77)
    world.settle()
    failed = RuleRun.objects.get()
    assert (failed.status, failed.code) == ("failed", "unlisted")
    assert failed.message.endswith(
        "Admit tried once and has given up. Thinkific no longer lists Ink and Wash, so it was "
        "probably deleted. Choose another course for its rules, and retry what failed."
    )
    shown = manager.get(reverse("admin:events_rulerun_changelist")).content.decode()
    assert f"{reverse('admin:another-course')}?action={failed.pk}" in shown
    world.sandbox.faults.clear()
    other = Destination.objects.get(name="Pen and Ink")
    chosen = {"course": deleted.pk, "rule": failed.rule_id, "destination": other.pk}
    manager.post(reverse("admin:another-course"), chosen)
    world.settle()
    assert world.access("dana@example.com", other)

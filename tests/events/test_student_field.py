"""An order may name the student in a custom field; the payer is then another person."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from events.access.event_student import STUDENT_EMAIL
from events.execution import delayed, email_correction, rerun, retry_by_hand
from events.models import EventLog, Grant, RuleRun
from events.reports.customers import customer_access
from events.reports.earlier import backfill
from events.reports.simulation import simulate
from integrations.models import Customer, Destination, ProfileField, SearchTerm
from integrations.thinkific import catalog
from rules.actions import Action
from rules.triggers import Trigger
from tests.support import factories
from tests.support.pages import markup, press, said, words
from tests.support.samcart import changed
from tests.support.world import World

# Decided by a field of the order; who gets what, the stories try on each database.
pytestmark = pytest.mark.first_database

FIELD = "Student e-mail"
PAYER, STUDENT = "dana@example.com", "student@example.com"
GIVE, END = Action.CREATE_COURSE_ENROLLMENT, Action.EXPIRE_COURSE_ENROLLMENT
GIVING = ("product_purchased", "subscription_charged")
ENDING = ("product_refunded", "subscription_canceled")


def named(value: str, name: str = FIELD) -> list[dict[str, str]]:
    return [{"name": name, "slug": "custom_zL6FLFM3", "value": value}]


def sell(world: World, value: str = STUDENT, sample: str = "10_product", **more: Any) -> EventLog:
    return world.sell(sample, order__custom_fields=named(value), **more)


def site_with_field(world: World, field: str = FIELD) -> None:
    world.integration.student_field = field
    world.integration.save()


@pytest.fixture
def course(world: World) -> Destination:
    """A course that is bought for others, and given and taken back by the usual rules."""
    site_with_field(world)
    course = world.course()
    for trigger in GIVING:
        world.rule(trigger, GIVE, course)
    for trigger in ENDING:
        world.rule(trigger, END, course)
    return course


def students(world: World, course: Destination) -> set[str]:
    return {
        row.user.email
        for row in world.school.enrollments
        if row.course.id == course.external_id and row.active
    }


def state(event: EventLog) -> tuple[str, str, str]:
    run = RuleRun.objects.get(event=event)
    return run.status, run.code, run.customer.email if run.customer else ""


@pytest.mark.parametrize("field", [FIELD, "STUDENT E-MAIL", "custom_zL6FLFM3"])
def test_whom_the_field_names_is_enrolled_and_not_the_payer(world, course, field):
    site_with_field(world, field)
    event = sell(world, " Student@Example.com ")
    world.settle()
    assert students(world, course) == {STUDENT}
    assert event.customer == Customer.objects.get(email=PAYER)
    student = Customer.objects.get(email=STUDENT)
    assert (student.first_name, student.email_as_sent) == ("", "Student@Example.com")
    assert Grant.objects.get().customer == student
    assert SearchTerm.objects.filter(customer=student).exists()
    assert [user.email for user in world.school.users] == [STUDENT]


@pytest.mark.parametrize("value", ["", "   ", "\u200b", PAYER.upper()])
def test_a_blank_field_or_the_payers_own_address_enrolls_the_payer(world, course, value):
    sell(world, value)
    world.settle()
    assert students(world, course) == {PAYER}


def test_an_order_without_the_field_enrolls_the_payer(world, course):
    world.sell("10_product", order__custom_fields=named(STUDENT, "Company"))
    world.settle()
    assert students(world, course) == {PAYER}


def test_a_refund_that_names_no_field_ends_it_at_the_student(world, course):
    sell(world)
    world.settle()
    refund = world.sell("20_product")
    world.settle()
    assert state(refund) == ("done", "ended", STUDENT)
    assert students(world, course) == set()


def test_a_refund_leaves_what_the_payer_bought_for_herself(world, course):
    sell(world)
    world.sell("10_product", order__id=23300077)
    world.settle()
    assert students(world, course) == {STUDENT, PAYER}
    world.sell("20_product")
    world.settle()
    assert students(world, course) == {PAYER}


def test_a_subscription_is_renewed_and_canceled_for_the_student(world, course):
    sell(world, sample="12_product")
    world.settle()
    renewal = world.sell("31_subscription", order__id=23309999)
    world.settle()
    assert state(renewal) == ("done", "already_enrolled", STUDENT)
    world.sell("30_subscription")
    world.settle()
    assert students(world, course) == set()


def test_the_first_event_names_the_student_where_nothing_was_given_by_it(world, course):
    """A purchase that no rule fitted then, and that is charged once there is one."""
    world.sell("12_product", trigger="prospect", order__custom_fields=named(STUDENT))
    sell(world, sample="31_subscription", value="other@example.com")
    world.settle()
    assert students(world, course) == {STUDENT}


def test_a_charge_of_an_unknown_purchase_enrolls_a_student_who_is_new(world, course):
    sell(world, sample="31_subscription")
    world.settle()
    assert students(world, course) == {STUDENT}


def test_several_deliveries_are_read_together(world, course):
    names = [f"student{number}@example.com" for number in range(6)]
    for number, name in enumerate(names):
        fields = {"order__custom_fields": named(name), "order__id": 23300100 + number}
        world.post(changed("10_product", **fields))
    # The first of them buys for herself as well.
    world.post(changed("10_product", customer__email=names[0], order__id=23300200))
    world.settle()
    assert students(world, course) == set(names)
    assert Customer.objects.count() == 7
    assert Customer.objects.get(email=names[0]).first_name == "Dana"


def test_only_the_site_that_names_a_field_enrolls_another(world, course):
    other = world.sandbox.add_school("other", key=factories.KEY)
    site = factories.connected("other", name="Other school")
    second = factories.DestinationFactory(
        integration=site, external_id=other.add_course("Other course").id
    )
    world.rule("product_purchased", GIVE, second)
    world.rule("product_refunded", END, second)
    sell(world)
    world.settle()
    assert students(world, course) == {STUDENT}
    assert [row.user.email for row in other.enrollments if row.active] == [PAYER]
    assert set(Grant.objects.values_list("integration", "customer__email")) == {
        (world.integration.pk, STUDENT),
        (site.pk, PAYER),
    }
    world.sell("20_product")
    world.settle()
    assert students(world, course) == set()
    assert [row.user.email for row in other.enrollments if row.active] == []


def test_a_site_without_a_field_that_gives_only_later_enrolls_the_payer(world, course):
    other = world.sandbox.add_school("other", key=factories.KEY)
    site = factories.connected("other", name="Other school")
    number = other.add_course("Other course").id
    second = factories.DestinationFactory(integration=site, external_id=number)
    world.rule("subscription_charged", GIVE, second)
    sell(world, sample="12_product")
    world.settle()
    world.sell("31_subscription")
    world.settle()
    assert students(world, course) == {STUDENT}
    assert [row.user.email for row in other.enrollments] == [PAYER]


def test_an_earlier_purchase_for_a_student_is_no_matter_of_what_the_payer_has(world):
    site_with_field(world)
    course = world.course()
    event = sell(world, order__id=23300099)
    rule = world.rule("product_purchased", GIVE, course)
    world.sell("10_product")
    world.settle()
    assert students(world, course) == {PAYER}
    assert [row.event for row in backfill.preview(rule).run] == [event]
    assert rerun.rerun([event]).queued == 1
    world.settle()
    assert students(world, course) == {PAYER, STUDENT}


def test_what_was_refunded_first_is_barred_for_the_student(world, course):
    world.sell("20_product", order__created_at="2099-01-01T00:00:00Z")
    event = sell(world)
    world.settle()
    assert state(event) == ("skipped", "barred", STUDENT)
    assert Grant.objects.get().customer.email == STUDENT
    assert students(world, course) == set()


def test_a_cancellation_that_names_no_purchase_ends_it_at_the_student(world, course):
    sell(world, sample="12_product")
    world.settle()
    body = changed("30_subscription")
    del body["order"]["id"], body["order"]["subscription_id"]
    world.post(body)
    world.settle()
    assert students(world, course) == set()


def test_the_order_still_fills_the_students_signup_fields(world, course):
    world.school.add_field("Company")
    catalog.refresh(world.integration)
    factories.FieldMappingFactory(
        integration=world.integration,
        samcart_field="Company",
        profile_field=ProfileField.objects.get(),
    )
    fields = [*named(STUDENT), {"name": "Company", "slug": "c", "value": "Example Ltd"}]
    world.sell("10_product", order__custom_fields=fields)
    world.settle()
    (user,) = world.school.users
    assert "Example Ltd" in str(user.custom_fields)


# An address that cannot be used


def test_an_address_that_cannot_be_used_fails_in_words_and_enrolls_nobody(world, course):
    event = sell(world, "student@@example.com")
    world.settle()
    assert state(event) == ("failed", STUDENT_EMAIL, "")
    assert (event.status, event.customer) == ("failed", Customer.objects.get(email=PAYER))
    assert event.explanation == (
        'The custom field "Student e-mail" says "student@@example.com". The e-mail address needs '
        'exactly one "@", with text on both sides.'
    )
    assert world.school.users == []
    refund = world.sell("20_product")
    assert state(refund) == ("failed", STUDENT_EMAIL, "")


def test_a_person_gives_the_students_address_and_the_payer_stays(world, course, admin_client):
    event = sell(world, "<b>student</b>")
    page = admin_client.get(reverse("admin:events_eventlog_change", args=[event.pk]))
    assert "The student's e-mail address cannot be used." in words(page)
    assert "<b>student" not in markup(page)
    form = markup(page).partition('id="give-email"')[2]
    assert 'value="&lt;b&gt;student&lt;/b&gt;"' in form
    assert "The custom field" in form.partition('id="wrong-email">')[2]
    (text,) = said(press(admin_client, event, "give_email", email="Student@example.com"))
    assert text == "Saved. 1 action is carried out for this address now."
    world.settle()
    event.refresh_from_db()
    assert (event.status, event.customer) == ("done", Customer.objects.get(email=PAYER))
    assert event.reason == (
        'The custom field "Student e-mail" says "<b>student</b>". The e-mail address needs '
        'exactly one "@", with text on both sides. admin entered student@example.com instead.'
    )
    assert students(world, course) == {STUDENT}
    assert Customer.objects.get(email=STUDENT).first_name == ""
    world.sell("20_product")
    world.settle()
    assert students(world, course) == set()
    with pytest.raises(ValueError, match="not asked for anymore"):
        email_correction.give_email(event, "eve@example.com", by="Eve")


def test_the_payers_address_is_not_taken_for_that_of_a_student_at_another_school(world, course):
    north = factories.IntegrationFactory.create(name="North")
    other = factories.DestinationFactory.create(integration=north, kind="course")
    world.rule("product_purchased", GIVE, other)
    event = sell(world, "student@@example.com", customer__email="dana@@example.com")
    assert email_correction.give_email(event, PAYER, by="Eve") == 1
    given = dict(event.runs.values_list("integration", "customer__email"))
    assert given == {north.pk: PAYER, world.integration.pk: None}
    assert email_correction.give_email(event, STUDENT, by="Eve") == 1
    assert event.runs.filter(integration=world.integration, customer__email=STUDENT).exists()


def another_school(world: World, field: str) -> Destination:
    """A course of another school, which is given to whom another field names."""
    site = factories.IntegrationFactory.create(name="North", student_field=field)
    other: Destination = factories.DestinationFactory.create(integration=site, kind="course")
    world.rule("product_purchased", GIVE, other)
    return other


def given(event: EventLog) -> list[str]:
    """For whom the actions of the event are, the first school first."""
    found = event.runs.order_by("integration").values_list("customer__email", flat=True)
    return [email or "" for email in found]


def test_a_students_address_is_given_for_the_field_that_it_was_asked_for(
    world, course, admin_client
):
    another_school(world, "Second student")
    fields = [*named("first@@example.com"), *named("second@@example.com", "Second student")]
    event = world.sell("10_product", order__custom_fields=fields)
    for told, email in (("first@@", "one@example.com"), ("second@@", "two@example.com")):
        page = admin_client.get(reverse("admin:events_eventlog_change", args=[event.pk]))
        assert page.context["asked"][0].message.count(told) == 1
        press(admin_client, event, "give_email", email=email)
    assert given(event) == ["one@example.com", "two@example.com"]
    event.refresh_from_db()
    # The second one does not take the place of the first.
    for told in ("first@@", "second@@", "entered one@example.com", "entered two@example.com"):
        assert event.reason.count(told) == 1
    assert email_correction.runs_to_correct(event) == []


def test_an_address_in_one_field_is_asked_for_once(world, course):
    another_school(world, FIELD.upper() + " ")
    event = sell(world, "student@@example.com")
    assert email_correction.give_email(event, STUDENT, by="Eve") == 2
    assert given(event) == [STUDENT, STUDENT]


def test_the_page_asks_for_the_payers_address_first(world, course, admin_client):
    another_school(world, "")
    event = sell(world, "student@@example.com", customer__email="dana@@example.com")
    address = reverse("admin:events_eventlog_change", args=[event.pk])
    assert "The student's e-mail address cannot be used." not in words(admin_client.get(address))
    press(admin_client, event, "give_email", email=PAYER)
    assert "The student's e-mail address cannot be used." in words(admin_client.get(address))
    press(admin_client, event, "give_email", email=STUDENT)
    assert given(event) == [STUDENT, PAYER]
    event.refresh_from_db()
    for told in ("dana@@", "student@@", f"entered {PAYER}", f"entered {STUDENT}"):
        assert event.reason.count(told) == 1


def test_an_address_that_is_given_twice_is_not_taken_for_the_next_person(
    world, course, admin_client
):
    another_school(world, "")
    event = sell(world, "student@@example.com", customer__email="dana@@example.com")
    page = admin_client.get(reverse("admin:events_eventlog_change", args=[event.pk]))
    form = {"email": PAYER, "asked_for": page.context["asked"][0].pk}
    assert f'name="asked_for" value="{form["asked_for"]}"' in page.content.decode()
    press(admin_client, event, "give_email", **form)
    (text,) = said(press(admin_client, event, "give_email", **form))
    assert text == "This e-mail address is not asked for anymore. Reload the page."
    assert given(event) == ["", PAYER]


def test_no_address_is_asked_for_at_a_school_that_was_deleted(world, course):
    event = sell(world, "student@@example.com")
    world.integration.delete()
    (run,) = event.runs.all()
    assert email_correction.runs_to_correct(event) == []
    assert not email_correction.lacks_email(run)
    with pytest.raises(ValueError, match="not asked for anymore"):
        email_correction.give_email(event, STUDENT, by="Eve")


def test_who_gave_an_address_is_told_when_the_rules_have_run_again(world, course):
    event = sell(world, "student@@example.com")
    email_correction.give_email(event, STUDENT, by="Eve")
    world.rule("product_purchased", GIVE, world.course("Another"))
    assert rerun.rerun([event]).queued == 1
    event.refresh_from_db()
    assert "Eve entered student@example.com instead." in event.reason


def test_rules_run_again_find_the_student(world, course):
    RuleRun.objects.all().delete()
    rule = world.rule("product_purchased", GIVE, world.course("Another"), enabled=False)
    event = sell(world)
    world.settle()
    rule.enabled = True
    rule.save()
    Customer.objects.filter(email=STUDENT).update(email="moved@example.com")
    assert rerun.rerun([event]).queued == 1
    assert set(RuleRun.objects.values_list("customer__email", flat=True)) == {"moved@example.com"}


# Pages


def test_the_pages_say_who_paid_and_who_is_the_student(world, course, admin_client):
    event = sell(world)
    world.settle()
    payer, student = (Customer.objects.get(email=each) for each in (PAYER, STUDENT))
    pages = {
        each: admin_client.get(reverse("admin:integrations_customer_change", args=[each.pk]))
        for each in (payer, student)
    }
    assert "Bought for student@example.com (order 23300010)." in words(pages[payer])
    address = reverse("admin:integrations_customer_change", args=[student.pk])
    assert address in pages[payer].content.decode()
    assert "dana@example.com paid (order 23300010)." in words(pages[student])
    page = admin_client.get(reverse("admin:events_eventlog_change", args=[event.pk]))
    assert address in page.content.decode()
    assert "Student student@example.com" in words(page)


def test_the_payers_page_says_that_nobody_got_what_was_paid_for(world, course):
    event = sell(world, "nobody")
    (line,) = customer_access.describe(Customer.objects.get()).lines
    assert (line.kind, line.code, line.event) == ("bad", "student_email", event.pk)
    assert 'The custom field "Student e-mail" says "nobody".' in line.text


def test_simulate_says_whom_it_would_enroll_and_makes_no_customer(world, course):
    event = sell(world)
    bad = sell(world, "nobody", order__id=23300055)
    Customer.objects.filter(email=STUDENT).delete()

    def notes(**facts: Any) -> list[str]:
        (run,) = simulate(world.marketplace, Trigger.PRODUCT_PURCHASED, **facts).runs
        return run.notes

    assert notes(event=event, email=PAYER) == [
        "It would be for student@example.com, not for the customer who paid."
    ]
    assert notes(event=bad, email=PAYER)[0].startswith("It would fail. The custom field")
    assert FIELD in notes(email=PAYER)[0]
    assert not Customer.objects.filter(email=STUDENT).exists()


# Students of one order


@pytest.fixture
def two_seats(world: World) -> tuple[Destination, Destination]:
    """Two products of one order give two courses, to Dana and to another student."""
    one, two = world.course("One"), world.course("Two")
    for course, product, email in ((one, "1048010", PAYER), (two, "1048011", STUDENT)):
        named: dict[str, Any] = {"order__id": 1, "order__subscription_id": ""}
        bought = world.sell("12_product", product__id=product, customer__email="dana@", **named)
        world.rule("product_purchased", GIVE, course, product)
        rerun.rerun([bought])
        email_correction.give_email(bought, email, by="ann")
    world.settle()
    assert world.access(PAYER, one)
    assert world.access(STUDENT, two)
    return one, two


def refund_order(world: World) -> EventLog:
    """Refund the order without naming a product."""
    named: dict[str, Any] = {"order__id": 1, "order__subscription_id": None, "product": None}
    event = world.sell("20_product", customer__email=PAYER, **named)
    world.settle()
    return event


def test_a_refund_without_a_product_ends_what_each_student_of_the_order_has(world, two_seats):
    one, two = two_seats
    world.rule("product_refunded", END, one)
    world.rule("product_refunded", END, two)
    refund = refund_order(world)
    assert not world.access(PAYER, one)
    assert not world.access(STUDENT, two)
    assert set(refund.runs.values_list("target", "customer__email")) == {
        (one.target, PAYER),
        (two.target, STUDENT),
    }


@pytest.mark.parametrize("how", ["at once", "later", "anyway"])
def test_one_rule_ends_the_same_course_for_each_student_of_the_order(world, two_seats, how):
    one, _ = two_seats
    world.rule("product_purchased", GIVE, one, "1048011")
    rerun.rerun(EventLog.objects.filter(product__external_id="1048011"))
    world.settle()
    assert students(world, one) == {PAYER, STUDENT}
    world.rule("product_refunded", END, one, delay_days=0 if how == "at once" else 30)
    refund = refund_order(world)
    if how == "later":
        RuleRun.objects.delayed().update(next_attempt_at=timezone.now() - timedelta(seconds=1))
        assert delayed.decide_due() == 1
    if how == "anyway":
        retry_by_hand.dismiss(refund.runs.all(), by="ann")
        assert retry_by_hand.retry(refund.runs.all(), anyway=True) == (1, {})
    world.settle()
    assert students(world, one) == set()
    runs = refund.runs.filter(target=one.target)
    assert set(runs.values_list("customer__email", "code")) == {
        (PAYER, "ended"),
        (STUDENT, "ended"),
    }

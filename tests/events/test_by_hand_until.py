"""Access given by hand until a day, and access that a person ends on a day."""

from datetime import date, datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import delayed, retry_by_hand
from events.models import EventLog, Grant, RuleRun
from events.reports.customers import customer_access
from events.reports.sentences import why
from events.reports.sentences.leads import GiveBack, PressButtons
from events.reports.sentences.sentence import Code
from integrations.models import Customer, Destination, ThinkificUser
from integrations.sentences import format_day
from tests.support import factories, queued
from tests.support.world import World

pytestmark = pytest.mark.first_database

DANA = "dana@example.com"
MIA = Author("mia@example.com", "Lost her receipt")


@pytest.fixture
def dana(db: None) -> Customer:
    made: Customer = factories.CustomerFactory.create(email=DANA, first_name="Dana")
    return made


@pytest.fixture
def course(world: World) -> Destination:
    """A course that one product gives, and its refund ends."""
    found = world.course()
    world.rule("product_purchased", "create_course_enrollment", found)
    world.rule("product_refunded", "expire_course_enrollment", found)
    return found


def in_days(number: int) -> date:
    return timezone.localdate() + timedelta(days=number)


def buy(world: World, order: int = 1183) -> None:
    world.sell(customer__email=DANA, order__id=order)
    world.settle()


def the_day_comes(world: World) -> RuleRun:
    """The worker takes what has a day; the ending that was decided last."""
    run = RuleRun.objects.delayed().latest("pk")
    RuleRun.objects.delayed().update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    delayed.decide_due()
    world.settle()
    return queued.again(run)


def the_end(world: World, customer: Customer, on: date | None = None) -> EventLog:
    (holding,) = holdings.of_customer(customer)
    event = by_hand.end(customer, holding.key, MIA, on)
    world.settle()
    return event


def sentences(customer: Customer) -> list[str]:
    return [line.text for line in customer_access.describe(customer).lines]


def test_the_last_day_ends_with_that_day_in_the_time_zone_of_the_server(settings, dana, course):
    settings.TIME_ZONE = "America/New_York"
    year = timezone.localdate().year + 1
    by_hand.give(dana, course, MIA, date(year, 5, 5))
    moment = RuleRun.objects.delayed().get().next_attempt_at
    assert moment == datetime(year, 5, 5, 23, 59, 59, tzinfo=ZoneInfo("America/New_York"))


def test_access_by_hand_ends_after_its_last_day(world, dana, course):
    event = by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    assert world.access(DANA, course)
    event.refresh_from_db()
    assert event.status == "done"
    run = the_day_comes(world)
    assert (run.status, run.code) == ("done", "ended")
    assert not world.access(DANA, course)
    event.refresh_from_db()
    assert event.status == "done"
    assert "mia@example.com had given it until" in sentences(dana)[0]


def test_thinkific_is_not_told_of_the_day(world, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    row = world.school.enrollment(DANA, course.external_id)
    assert row is not None
    assert row.expiry_date is None


def test_a_purchase_beside_it_keeps_the_course_after_the_last_day(world, dana, course):
    buy(world)
    by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    told = " ".join(sentences(dana))
    day = format_day(in_days(9))
    assert (
        f"The gift of Course Two from mia@example.com ends on {day}. "
        "The access stays open through order 1183."
    ) in told
    assert "Access to Course Two ends" not in told
    run = the_day_comes(world)
    assert (run.status, run.code) == ("done", "kept")
    assert world.access(DANA, course)


def test_giving_it_again_moves_the_last_day(world, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    first = RuleRun.objects.delayed().get()
    event = by_hand.give(dana, course, Author("sam@example.com", "Longer"), in_days(20))
    assert queued.again(first).code == "replaced"
    assert "sam@example.com has decided otherwise" in queued.again(first).message
    second = RuleRun.objects.delayed().get()
    assert (second.event, timezone.localdate(second.next_attempt_at)) == (event, in_days(20))
    assert Grant.objects.count() == 1
    world.settle()
    assert first.event.runs.count() == 2
    assert EventLog.objects.get(pk=first.event_id).status == "done"


def test_giving_it_again_without_a_day_drops_the_end(world, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    by_hand.give(dana, course, MIA)
    assert not RuleRun.objects.delayed().exists()
    world.settle()
    assert world.access(DANA, course)


@pytest.mark.parametrize("until", [None, 9])
def test_the_same_with_the_same_last_day_is_not_given_twice(dana, course, until):
    day = in_days(until) if until else None
    by_hand.give(dana, course, MIA, day)
    with pytest.raises(ValueError, match="was given Course Two by hand before"):
        by_hand.give(dana, course, MIA, day)
    assert EventLog.objects.count() == 1


@pytest.mark.parametrize(
    ("days", "says"), [(-1, "is over. Choose today or a later day."), (4100, "next 10 years")]
)
def test_a_day_that_cannot_be_meant_is_refused(world, dana, course, days, says):
    with pytest.raises(ValueError, match=says):
        by_hand.give(dana, course, MIA, in_days(days))
    assert not EventLog.objects.exists()


def test_a_person_keeps_what_was_to_end(world, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    assert retry_by_hand.dismiss(RuleRun.objects.delayed(), by="Sam") == 1
    world.settle()
    assert Grant.objects.get().is_active
    assert not RuleRun.objects.delayed().exists()


def test_an_end_on_a_day_ends_whatever_gave_the_course_then(world, dana, course):
    buy(world)
    by_hand.give(dana, course, MIA)
    world.settle()
    event = the_end(world, dana, in_days(9))
    assert world.access(DANA, course)
    run = the_day_comes(world)
    assert (run.event, run.code) == (event, "ended")
    assert not world.access(DANA, course)
    assert {(each.state, each.because) for each in Grant.objects.all()} == {("ended", "by_hand")}


def test_what_is_bought_after_that_decision_is_kept_on_the_day(world, dana, course):
    buy(world)
    the_end(world, dana, in_days(9))
    buy(world, order=1190)
    assert (run := the_day_comes(world)).code == "kept"
    assert "order 1190 still gives it" in run.message
    assert world.access(DANA, course)


def test_an_end_on_another_day_replaces_the_first(world, dana, course):
    by_hand.give(dana, course, MIA, in_days(30))
    world.settle()
    the_end(world, dana, in_days(9))
    the_end(world, dana, in_days(12))
    (left,) = RuleRun.objects.delayed()
    assert timezone.localdate(left.next_attempt_at) == in_days(12)
    the_end(world, dana)
    assert not RuleRun.objects.delayed().exists()
    assert not world.access(DANA, course)


def test_an_end_on_a_day_of_what_has_ended_since_does_nothing(world, dana, course):
    buy(world)
    the_end(world, dana, in_days(9))
    world.sell("20_product", customer__email=DANA, order__id=1183, product__id=1048001)
    world.settle()
    leads = [lead for line in customer_access.describe(dana).lines for lead in line.leads]
    assert not [lead for lead in leads if isinstance(lead, PressButtons)]
    run = the_day_comes(world)
    assert (run.status, run.code) == ("skipped", "ended_before")


def test_a_move_takes_the_planned_end_along(world, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    other = by_hand.move(dana, "dana@new.example.com", MIA)
    world.settle()
    assert world.access(other.email, course)
    run = the_day_comes(world)
    assert (run.customer, run.code) == (other, "ended")
    assert not world.access(other.email, course)


def test_a_moved_end_ends_what_was_moved_and_nothing_of_the_new_student(world, dana, course):
    eva = "eva@example.com"
    for order, email in ((1183, DANA), (1184, DANA), (1190, eva)):
        world.sell(customer__email=email, order__id=order)
    world.settle()
    the_end(world, dana, in_days(9))
    by_hand.move(dana, eva, MIA)
    world.settle()
    run = the_day_comes(world)
    assert {each.code for each in run.event.runs.all()} == {"kept"}
    assert "order 1190 still gives it" in run.message
    states = dict(Grant.objects.values_list("order_id", "state"))
    assert states == {"1183": "ended", "1184": "ended", "1190": "active"}
    assert world.access(eva, course)


def test_a_moved_end_ends_all_that_was_moved_even_if_it_moves_back(world, dana, course):
    for order in (1183, 1184):
        buy(world, order)
    the_end(world, dana, in_days(9))
    other = by_hand.move(dana, "dana@new.example.com", MIA)
    by_hand.move(other, DANA, MIA)
    world.settle()
    assert world.access(DANA, course)
    the_day_comes(world)
    assert not Grant.objects.active().exists()
    assert not world.access(DANA, course)


@pytest.mark.parametrize("moves", [DANA, "dana@home.example.com"])
def test_an_end_is_for_what_moves_and_for_what_another_address_keeps(world, dana, course, moves):
    buy(world)
    known = ThinkificUser.objects.get(customer=dana)
    home = factories.CustomerFactory.create(email="dana@home.example.com")
    ThinkificUser.objects.create(
        integration=known.integration, customer=home, user_id=known.user_id
    )
    by_hand.give(home, course, MIA)
    world.settle()
    the_end(world, dana, in_days(9))
    by_hand.move(Customer.objects.get(email=moves), "dana@new.example.com", MIA)
    world.settle()
    assert world.access(DANA, course)
    assert world.access("dana@new.example.com", course)
    the_day_comes(world)
    assert not Grant.objects.active().exists()
    assert not world.access(DANA, course)
    assert not world.access("dana@new.example.com", course)


def test_a_dismissed_end_can_be_done_anyway(world, dana, course):
    by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    run = RuleRun.objects.delayed().get()
    retry_by_hand.dismiss([run], by="Sam")
    assert retry_by_hand.retry([queued.again(run)], anyway=True) == (1, {})
    world.settle()
    assert queued.again(run).code == "ended"
    assert not world.access(DANA, course)


# What people read


def test_the_sentences_and_the_letter_name_the_last_day(world, dana, course):
    by_hand.give(dana, course, MIA, date(timezone.localdate().year + 1, 5, 5))
    world.settle()
    day = f"5 May {timezone.localdate().year + 1}"
    report = customer_access.describe(dana)
    told = {line.code: line for line in report.lines}
    has, pending = told[Code.HAS], told[Code.ENDS_LATER]
    assert f"by hand, ending {day} (mia@example.com)" in has.text
    assert (
        pending.text
        == f"Access to Course Two ends on {day} because mia@example.com gave it until then."
    )
    assert f"You have access to Course Two until {day}." in report.reply


def test_what_only_has_a_last_day_to_come_does_not_wait(world, dana, course):
    event = by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    event.refresh_from_db()
    assert event.status == EventLog.Status.DONE
    the_day_comes(world)
    event.refresh_from_db()
    assert event.status == EventLog.Status.DONE


def test_what_was_ended_before_its_day_says_until_when_it_was_given(world, dana, course):
    event = by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    assert delayed.bring_forward(RuleRun.objects.delayed().get(), by="Ada")
    delayed.decide_due()
    world.settle()
    (text,) = sentences(dana)
    day, today = format_day(in_days(9)), format_day(timezone.localdate())
    assert f"It was given until {day}, and Ada ended it early on {today}." in text
    event.refresh_from_db()
    assert event.explanation in text


def test_ending_it_early_twice_still_tells_until_when_it_was_given(world, dana, course):
    event = by_hand.give(dana, course, MIA, in_days(9))
    world.settle()
    run = RuleRun.objects.delayed().get()
    assert delayed.bring_forward(run, by="Ada")
    assert not delayed.bring_forward(run, by="Bo")  # no worker has taken it yet
    event.refresh_from_db()
    day, today = format_day(in_days(9)), format_day(timezone.localdate())
    assert event.reason == f"It was given until {day}, and Ada ended it early on {today}."


def test_what_was_ended_by_hand_offers_to_give_it_back(world, dana, course):
    by_hand.give(dana, course, MIA)
    world.settle()
    the_end(world, dana)
    ((_, sentence),) = why.of_customer(dana)
    assert sentence.leads == (GiveBack(dana.pk, RuleRun.objects.latest("pk").pk),)


# The commands


def command(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def test_the_commands_give_and_end_access_on_a_day(world, course):
    until = in_days(9)
    said = command(
        "grant", " New@example.com", "course two", "--reason", "Won", "--until", f"{until}"
    )
    assert said.startswith("Course Two is given to new@example.com now, until ")
    world.settle()
    assert world.access("new@example.com", course)
    event = EventLog.objects.get()
    assert event.author.endswith("(command line)")
    assert event.author_note == "Won"
    said = command(
        "end", "new@example.com", str(course.external_id), "--reason", "x", "--on", f"{until}"
    )
    assert said.startswith("The access to Course Two ends on ")
    assert command("end", "new@example.com", "Course Two", "--reason", "x") == (
        "The access to Course Two is being ended."
    )
    world.settle()
    assert not world.access("new@example.com", course)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("grant", "x@@example.com", "Course Two"), "@"),
        (("grant", DANA, "Course Tow"), "no course or bundle Course Tow. Did you mean Course Two?"),
        (
            ("grant", DANA, "Course Two", "--integration", "Art Acadmy"),
            "There is no integration Art Acadmy. Did you mean Art Academy?",
        ),
        (("grant", DANA, "Course Two", "--until", "5 May"), "5 May is no day."),
        (("grant", DANA, "Course Two", "--until", "2020-01-01"), "is over."),
        (("end", "who@example.com", "Course Two"), "Nothing was received for who@example.com."),
        (("end", DANA, "Course Two"), "no access to Course Two, as far as Admit knows"),
    ],
)
def test_the_commands_say_what_is_wrong(world, dana, course, arguments, says):
    with pytest.raises(CommandError, match=says.replace("?", r"\?")):
        command(*arguments, "--reason", "x")
    assert not EventLog.objects.exists()

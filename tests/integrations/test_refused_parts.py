"""Which e-mails, names and signup fields Thinkific refuses, and how many calls that costs."""

from typing import Any

import pytest

from integrations.errors import Refused
from integrations.models import Intent, ProfileField
from integrations.thinkific import catalog, profiles
from integrations.thinkific.sandbox import Fault
from integrations.thinkific.users import MAX_FILLS
from tests.support import factories
from tests.support.place import EMAIL, Place, place_for, shortened
from tests.support.situations import known, on_site
from tests.support.world import World

pytestmark = pytest.mark.first_database

TAKEN = ("taken", "exists", "in_use", "sentence", "conflict")
SHAPES = ("list", "map", "number", "sentence", "unnamed")
FIELDS = ("Company", "Nickname", "Parent's e-mail")


@pytest.fixture
def place(world: World) -> Place:
    return place_for(world, "course")


def asks_for(place: Place, *labels: str) -> None:
    """The site has these signup fields of type Text, filled by SamCart fields of the same names."""
    for label in labels:
        place.world.school.add_field(label)
    catalog.refresh(place.world.integration)
    for field in ProfileField.objects.all():
        factories.FieldMappingFactory(profile_field=field, samcart_field=field.label)
    place.world.sandbox.clear_calls()


def answers_to(*labels: str) -> list[dict[str, str]]:
    return [{"name": label, "slug": label, "value": f"My {label}"} for label in labels]


# An e-mail that is in use


@pytest.mark.parametrize("words", TAKEN)
def test_a_student_is_looked_up_whatever_words_say_that_the_e_mail_is_in_use(place, words):
    on_site(place)
    place.world.sandbox.switches.taken_answer = words
    assert place.buy().message == "Enrolled in Course One."
    assert shortened(place.calls()) == "POST users, GET users, GET enrollments, POST enrollments"
    assert len(place.world.school.users) == 1


@pytest.mark.parametrize("words", TAKEN)
def test_an_e_mail_in_use_that_nobody_is_shown_with_fails_in_thinkifics_words(place, words):
    place.on_site("Dana@Example.com")
    place.world.sandbox.switches.update({"taken_answer": words, "email_query": "case_sensitive"})
    run = place.buy()
    assert run.status == "failed"
    assert "but shows no student with it" in run.message
    assert shortened(place.calls()) == "POST users, GET users"
    assert not Intent.objects.exists()


def test_an_e_mail_refused_for_another_reason_is_looked_up_once(place):
    refusal = {"errors": {"email": ["must be a business address"]}}
    place.world.sandbox.faults.add(
        Fault("status", times=None, method="POST", status=422, body=refusal)
    )
    run = place.buy()
    assert run.status == "failed"
    assert "email: must be a business address" in run.message
    assert shortened(place.calls()) == "POST users, GET users"


def test_an_e_mail_a_name_and_a_field_blamed_at_once_find_the_student(place):
    asks_for(place, "Company")
    on_site(place)
    place.world.sandbox.switches.update(
        {"refused_names": "-", "refused_fields": ["Company"], "field_answer": "map"}
    )
    run = place.buy(customer__last_name=None, order__custom_fields=answers_to("Company"))
    assert run.status == "done"
    assert run.message.startswith("Enrolled in Course One. Thinkific did not take the signup field")
    assert len(place.world.school.users) == 1


# Names


@pytest.mark.parametrize(
    ("rule", "first", "last", "called"),
    [
        ("-", "Li", None, "Li Student"),
        ("-|..", "Li", None, "Student Student"),
        (".*[^A-Za-z ].*", "Zoë", "O'Brien 😀", "Zoe OBrien"),
        (".*[^A-Za-z ].*", "李", "王", "Student Student"),
        ("Dana", "Dana", "Example", "Student Example"),
        (".{31,}", "D" * 100, "Example", f"{'D' * 30} Example"),
        ("(?!Student).*", "Dana", "Example", "Student Student"),
    ],
)
def test_a_refused_name_costs_no_course(place, rule, first, last, called):
    place.world.sandbox.switches.refused_names = rule
    run = place.buy(customer__first_name=first, customer__last_name=last)
    assert run.status == "done"
    (user,) = place.world.school.users
    assert f"{user.first_name} {user.last_name}" == called
    assert run.message.startswith("Enrolled in Course One. Thinkific did not take the name")
    assert f'is called "{called}" there' in run.message
    assert shortened(place.calls()) == "POST users, POST users, POST enrollments"


@pytest.mark.parametrize(
    "said",
    [
        {"errors": {"last_name": ["is too short (minimum is 2 characters)"]}},
        {"errors": ["Last name is invalid."]},
        {"errors": [{"field_name": "last_name", "message": "is invalid"}]},
        {"error": "Name is invalid"},
        {"errors": {"base": ["is invalid"]}},
    ],
)
def test_a_missing_last_name_is_replaced_in_whichever_shape_it_is_refused(place, said):
    place.world.sandbox.faults.add(
        Fault("status", method="POST", path="/users", status=422, body=said)
    )
    run = place.buy(customer__first_name="Dana", customer__last_name=None)
    assert run.status == "done"
    assert place.world.school.users[0].last_name == "Student"


def test_a_plain_name_that_nothing_blames_is_not_replaced(place):
    refusal = {"errors": {"base": ["Your plan allows no more students."]}}
    place.world.sandbox.faults.add(
        Fault("status", times=None, method="POST", path="/users", status=422, body=refusal)
    )
    run = place.buy(customer__first_name="Dana", customer__last_name="Example")
    assert run.status == "failed"
    assert "Your plan allows no more students." in run.message
    assert shortened(place.calls()) == "POST users"


def test_a_site_that_refuses_every_name_ends_the_run_after_a_few_calls(place):
    place.world.sandbox.switches.refused_names = ".*"
    run = place.buy()
    assert run.status == "failed"
    assert "first_name: is invalid" in run.message
    assert len(place.calls()) <= profiles.MAX_TRIES


@pytest.mark.parametrize("status", [401, 403, 404, 413])
def test_a_refusal_that_is_not_about_the_content_leaves_the_name_alone(status):
    refused = Refused("", status=status)
    sent = profiles.Profile("<script>", "-", {301: "x"})
    mended = sent.mended(refused, {301: "Company"})
    assert mended
    assert (mended.first_name, mended.last_name, mended.fields) == ("<script>", "-", {})
    assert mended.mended(refused, {301: "Company"}) is None


def test_an_invalid_e_mail_is_sent_once_whatever_the_name(place):
    refusal = {"errors": {"email": ["is not deliverable"]}}
    place.world.sandbox.faults.add(
        Fault("status", times=None, method="POST", path="/users", status=422, body=refusal)
    )
    assert place.buy(customer__last_name=None).status == "failed"
    assert shortened(place.calls()) == "POST users, GET users"


# Signup fields


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("arrange", [None, known, on_site])
def test_a_refused_signup_field_is_left_out_alone(place, shape, arrange):
    asks_for(place, *FIELDS)
    if arrange:
        arrange(place)
    place.world.sandbox.switches.update({"refused_fields": ["Company"], "field_answer": shape})
    run = place.buy(order__custom_fields=answers_to(*FIELDS))
    assert run.status == "done"
    assert run.message.startswith("Enrolled in Course One. Thinkific did not take the signup field")
    assert "Company: " in run.message
    assert "Nickname: My" not in run.message
    (user,) = place.world.school.users
    assert user.custom_fields == {label: f"My {label}" for label in FIELDS[1:]}
    assert len(place.calls()) <= 9
    assert not Intent.objects.exists()


@pytest.mark.parametrize("label", ["E-Mail", "Email", "Name", "First name of your child"])
def test_a_signup_field_with_a_name_of_the_account_costs_no_course(place, label):
    asks_for(place, label)
    place.world.sandbox.switches.update({"refused_fields": [label], "field_answer": "map"})
    run = place.buy(order__custom_fields=answers_to(label))
    assert run.message.startswith(
        f"Enrolled in Course One. Thinkific did not take the signup field {label}: "
    )


def test_a_refused_field_at_creation_costs_one_call(place):
    asks_for(place, *FIELDS)
    place.world.sandbox.switches.refused_fields = frozenset({"Company", "Parent's e-mail"})
    place.buy(order__custom_fields=answers_to(*FIELDS))
    assert shortened(place.calls()) == "POST users, POST users, POST enrollments"
    assert place.world.school.users[0].custom_fields == {"Nickname": "My Nickname"}


def test_a_refused_name_and_a_refused_field_cost_one_call_together(place):
    asks_for(place, "Company", "Nickname")
    place.world.sandbox.switches.update(
        {"refused_names": "-", "refused_fields": ["Company"], "field_answer": "map"}
    )
    run = place.buy(
        customer__last_name=None, order__custom_fields=answers_to("Company", "Nickname")
    )
    assert "the signup field Company" in run.message
    assert "did not take the name" in run.message
    assert shortened(place.calls()) == "POST users, POST users, POST enrollments"
    assert place.world.school.users[0].custom_fields == {"Nickname": "My Nickname"}


def test_many_refused_fields_take_a_bounded_number_of_calls(place):
    labels = [f"Field {letter}" for letter in "ABCDEFGHIJKLMNOP"]
    asks_for(place, *labels)
    known(place)
    place.world.sandbox.switches.update({"refused_fields": labels, "field_answer": "unnamed"})
    run = place.buy(order__custom_fields=answers_to(*labels))
    assert run.status == "done"
    assert "Other signup fields were not sent: Field J, " in run.message
    assert run.message.endswith(", Field P.")
    assert place.calls().count("PUT /users/*") == MAX_FILLS


@pytest.mark.parametrize("body", [None, "<html>Blocked</html>"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
@pytest.mark.parametrize("arrange", [known, on_site])
def test_a_refused_change_of_signup_fields_never_costs_the_course(place, status, arrange, body):
    asks_for(place, "Company", "Nickname")
    arrange(place)
    place.world.sandbox.faults.add(
        Fault("status", times=None, method="PUT", path="/users/", status=status, body=body)
    )
    run = place.buy(order__custom_fields=answers_to("Company", "Nickname"))
    assert (run.status, run.attempts) == ("done", 1)
    assert place.world.access(EMAIL, place.sold)
    # The course is given: there is nothing to retry, and no one to be enrolled by hand.
    assert "retry" not in run.message
    assert "by hand" not in run.message
    if status in {401, 404}:
        assert "The signup fields were not sent (Company, Nickname): Thinkific " in run.message
        assert place.calls().count("PUT /users/*") == 1
        return
    for label in ("Company", "Nickname"):
        assert f"Thinkific did not take the signup field {label}: " in run.message


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 429, "headers": {"Retry-After": "5"}},
        {"kind": "reset"},
        {"kind": "status", "status": 200, "body": {"error": "Something went wrong"}},
    ],
    ids=["503", "429", "reset", "an error with the status of a success"],
)
def test_signup_fields_that_cannot_be_filled_for_good_end_done_with_a_note(
    place: Place, fault: dict[str, Any]
):
    asks_for(place, "Company")
    known(place)
    place.world.sandbox.faults.add(Fault(**fault, times=None, method="PUT", path="/users/"))
    run = place.buy(order__custom_fields=answers_to("Company"))
    assert run.status == "waiting"
    assert place.world.access(EMAIL, place.sold)
    run = place.attempts(run)
    assert (run.status, run.attempts) == ("done", 3)
    assert "Thinkific could not fill the signup fields" in run.message
    place.world.sandbox.faults.clear()
    place.buy(order__custom_fields=answers_to("Company"))
    assert place.world.school.users[0].custom_fields == {"Company": "My Company"}


# An e-mail with signs beyond ASCII

SENT = "hans@müller-sample.example"
PUNYCODE = "hans@xn--mller-sample-dlb.example"


@pytest.mark.parametrize("held", [SENT, PUNYCODE, "Hans@müller-sample.example"])
@pytest.mark.parametrize("sent", [SENT, PUNYCODE, "Hans@MÜLLER-Sample.example"])
def test_a_person_with_an_umlaut_domain_is_never_given_a_second_account(place, held, sent):
    place.on_site(held)
    run = place.buy(customer__email=sent)
    assert run.message == "Enrolled in Course One."
    assert [user.email for user in place.world.school.users] == [held]
    assert "POST /users" not in place.calls()


def test_a_new_buyer_with_an_umlaut_domain_gets_one_account(place):
    assert place.buy(customer__email=SENT).message == "Enrolled in Course One."
    assert shortened(place.calls()) == "GET users, GET users, POST users, POST enrollments"
    assert place.buy(customer__email=PUNYCODE).message == "Was already enrolled in Course One."
    assert [user.email for user in place.world.school.users] == [PUNYCODE]


def test_a_sharp_s_is_looked_for_as_it_is_and_in_punycode(place):
    place.on_site("eva@straße.example")
    assert place.buy(customer__email="eva@xn--strae-oqa.example").status == "done"
    assert len(place.world.school.users) == 1


def test_a_refund_finds_the_account_with_the_umlaut_domain(place):
    place.enroll(place.on_site(SENT))
    run = place.buy("20_product", customer__email=PUNYCODE)
    assert run.message == "Access to Course One ended."

"""Which trigger an address or a raw type stands for."""

import pytest

from rules.triggers import (
    OWN_NAMES,
    TYPES,
    WORDINGS,
    Category,
    Trigger,
    from_address,
    from_type,
)

# As the interface promises them, word for word.
ECOMMERCE = [
    "product_purchased",
    "product_refunded",
    "product_partially_refunded",
    "subscription_canceled",
    "subscription_charged",
    "subscription_charge_failed",
    "subscription_delinquent",
    "subscription_recovered",
    "subscription_restarted",
    "subscription_completed",
]
COURSES = ["course_student_added", "course_student_removed", "course_started", "course_finished"]

# What public consumers were seen to expect from SamCart.
SENT = {
    "Order": "product_purchased",
    "Refund": "product_refunded",
    "PartialRefund": "product_partially_refunded",
    "Cancel": "subscription_canceled",
    "RecurringPaymentSucceeded": "subscription_charged",
    "RecurringPaymentFailed": "subscription_charge_failed",
    "SubscriptionDelinquent": "subscription_delinquent",
    "RecurringPaymentRecovered": "subscription_recovered",
    "SubscriptionRecovered": "subscription_recovered",
    "SubscriptionRestarted": "subscription_restarted",
}


def test_the_triggers_are_those_of_the_interface_in_two_categories():
    assert [trigger.value for trigger in Trigger] == [*ECOMMERCE, *COURSES]
    courses = [trigger for trigger in Trigger if trigger.category is Category.COURSES]
    assert [trigger.value for trigger in courses] == COURSES


def test_every_trigger_has_a_wording_of_its_own_that_fits_into_a_sentence():
    assert set(WORDINGS) == set(Trigger)
    for wording in WORDINGS.values():
        assert str(wording.meaning).endswith(".")
        assert "\n" not in str(wording.meaning)
    for name in ("meaning", "happening", "when"):
        assert len({getattr(wording, name) for wording in WORDINGS.values()}) == len(Trigger)


@pytest.mark.parametrize(("sent", "trigger"), SENT.items())
def test_a_known_type_is_known_in_any_spelling(sent, trigger):
    snake = "".join(f"_{sign}" if sign.isupper() else sign for sign in sent).strip("_")
    for spelling in (sent, sent.upper(), snake, snake.replace("_", " "), f" {sent} "):
        assert from_type(spelling) == trigger


def test_every_type_of_the_table_is_one_that_was_seen():
    assert TYPES == SENT


@pytest.mark.parametrize("trigger", Trigger)
def test_a_trigger_is_known_by_its_own_name_in_any_spelling(trigger):
    name = trigger.value
    for spelling in (name, name.replace("_", "-"), name.upper(), name.replace("_", " ")):
        assert from_address(spelling) is trigger
        assert from_type(spelling) is trigger


def test_no_two_triggers_share_a_spelling():
    assert len(OWN_NAMES) == len(Trigger)
    assert all(from_type(word) is trigger for word, trigger in OWN_NAMES.items())


@pytest.mark.parametrize(
    "word", ["", " ", "-", "orders", "product", "product_purchased/x", "İ", "\0"]
)
def test_any_other_word_names_no_trigger(word):
    assert from_type(word) is None
    assert from_address(word) is None


@pytest.mark.parametrize("sent", SENT)
def test_a_type_of_samcart_in_an_address_names_no_trigger_unless_it_is_its_name(sent):
    assert from_address(sent) is OWN_NAMES.get(sent.lower())

"""SamCart's triggers, and which trigger a raw `type` or a word in an address names."""

from dataclasses import dataclass

from django.db import models

from integrations.samcart.parser import normalize_type


class Category(models.TextChoices):
    ECOMMERCE = "ecommerce", "eCommerce"
    COURSES = "courses", "Courses"


class Trigger(models.TextChoices):
    PRODUCT_PURCHASED = "product_purchased", "Product Purchased"
    PRODUCT_REFUNDED = "product_refunded", "Product Refunded"
    PRODUCT_PARTIALLY_REFUNDED = "product_partially_refunded", "Product Partially Refunded"
    SUBSCRIPTION_CANCELED = "subscription_canceled", "Subscription Canceled"
    SUBSCRIPTION_CHARGED = "subscription_charged", "Subscription Charged"
    SUBSCRIPTION_CHARGE_FAILED = "subscription_charge_failed", "Subscription Charge Failed"
    SUBSCRIPTION_DELINQUENT = "subscription_delinquent", "Subscription Delinquent"
    SUBSCRIPTION_RECOVERED = "subscription_recovered", "Subscription Recovered"
    SUBSCRIPTION_RESTARTED = "subscription_restarted", "Subscription Restarted"
    SUBSCRIPTION_COMPLETED = "subscription_completed", "Subscription Completed"
    COURSE_STUDENT_ADDED = "course_student_added", "Student Added to Course"
    COURSE_STUDENT_REMOVED = "course_student_removed", "Student Removed from Course"
    COURSE_STARTED = "course_started", "Course Started"
    COURSE_FINISHED = "course_finished", "Course Finished"

    @property
    def category(self) -> Category:
        """The tab of SamCart's own rule form that lists the trigger."""
        return Category.COURSES if self.value.startswith("course_") else Category.ECOMMERCE

    @property
    def of_subscription(self) -> bool:
        """Whether only what is sold by subscription can fire it."""
        return self.value.startswith("subscription_")

    @property
    def wording(self) -> "Wording":
        """What pages say of it."""
        return WORDINGS[self]


@dataclass(frozen=True, slots=True)
class Wording:
    """What pages say of a trigger.

    `meaning` says in one line when it fires, `happening` what happened, inside a sentence: "the
    refund". `when` is how a person says that it fires; {} is the product.
    """

    meaning: str
    happening: str
    when: str


WORDINGS: dict[Trigger, Wording] = {
    Trigger.PRODUCT_PURCHASED: Wording(
        "The product was bought, as main product, upsell, order bump or payment option.",
        "the purchase",
        "{} is purchased",
    ),
    Trigger.PRODUCT_REFUNDED: Wording(
        "The product was refunded in full.",
        "the refund",
        "{} is refunded",
    ),
    Trigger.PRODUCT_PARTIALLY_REFUNDED: Wording(
        "A part of the price was refunded.",
        "the partial refund",
        "a part of {} is refunded",
    ),
    Trigger.SUBSCRIPTION_CANCELED: Wording(
        "The subscription turned to Canceled or Delinquent.",
        "the cancellation",
        "a subscription to {} is canceled",
    ),
    Trigger.SUBSCRIPTION_CHARGED: Wording(
        "A recurring charge succeeded; fires for each one.",
        "the recurring payment",
        "a subscription to {} is charged",
    ),
    Trigger.SUBSCRIPTION_CHARGE_FAILED: Wording(
        "A recurring charge failed for the first time.",
        "the failed payment",
        "a charge for {} fails",
    ),
    Trigger.SUBSCRIPTION_DELINQUENT: Wording(
        "Four charges in a row failed.",
        "the failed payments",
        "a subscription to {} turns delinquent",
    ),
    Trigger.SUBSCRIPTION_RECOVERED: Wording(
        "A charge succeeded after one or more had failed.",
        "the recovered payment",
        "a subscription to {} recovers",
    ),
    Trigger.SUBSCRIPTION_RESTARTED: Wording(
        "You restarted a canceled or delinquent subscription by hand.",
        "the restart",
        "a subscription to {} is restarted",
    ),
    Trigger.SUBSCRIPTION_COMPLETED: Wording(
        "The last charge of a limited subscription succeeded.",
        "the last payment",
        "the last charge for {} succeeds",
    ),
    Trigger.COURSE_STUDENT_ADDED: Wording(
        "A student was added to a SamCart course.",
        "being added to the SamCart course",
        "a student is added to any SamCart course",
    ),
    Trigger.COURSE_STUDENT_REMOVED: Wording(
        "A student was removed from a SamCart course.",
        "being removed from the SamCart course",
        "a student is removed from any SamCart course",
    ),
    Trigger.COURSE_STARTED: Wording(
        "A student started a SamCart course.",
        "the start of the SamCart course",
        "a student starts any SamCart course",
    ),
    Trigger.COURSE_FINISHED: Wording(
        "A student finished a SamCart course.",
        "the end of the SamCart course",
        "a student finishes any SamCart course",
    ),
}

# Raw types that SamCart is known to send, as it writes them (facts: public consumers and one logged
# body). Those of Subscription Completed and of the Courses triggers are not known: the address
# tells them, or a person names the type once.
TYPES: dict[str, Trigger] = {
    "Order": Trigger.PRODUCT_PURCHASED,
    "Refund": Trigger.PRODUCT_REFUNDED,
    "PartialRefund": Trigger.PRODUCT_PARTIALLY_REFUNDED,
    "Cancel": Trigger.SUBSCRIPTION_CANCELED,
    "RecurringPaymentSucceeded": Trigger.SUBSCRIPTION_CHARGED,
    "RecurringPaymentFailed": Trigger.SUBSCRIPTION_CHARGE_FAILED,
    "SubscriptionDelinquent": Trigger.SUBSCRIPTION_DELINQUENT,
    "RecurringPaymentRecovered": Trigger.SUBSCRIPTION_RECOVERED,
    "SubscriptionRecovered": Trigger.SUBSCRIPTION_RECOVERED,
    "SubscriptionRestarted": Trigger.SUBSCRIPTION_RESTARTED,
}
_BY_TYPE = {normalize_type(text): trigger for text, trigger in TYPES.items()}
# A type that spells a trigger's own name can mean nothing else.
OWN_NAMES: dict[str, Trigger] = {normalize_type(trigger.value): trigger for trigger in Trigger}


def from_type(text: str) -> Trigger | None:
    """The trigger that a payload's `type` names, or None for an unknown one."""
    word = normalize_type(text)
    return _BY_TYPE.get(word) or OWN_NAMES.get(word)


def from_address(word: str) -> Trigger | None:
    """The trigger that the word in the webhook's address names; `-` equals `_`."""
    return OWN_NAMES.get(normalize_type(word))

"""SamCart's triggers, and which trigger a raw `type` or a word in an address names."""

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
        """The tab of SamCart's own rule form in which the trigger stands."""
        return Category.COURSES if self.value.startswith("course_") else Category.ECOMMERCE

    @property
    def of_subscription(self) -> bool:
        """Whether only what is sold by subscription can fire it."""
        return self.value.startswith("subscription_")

    @property
    def meaning(self) -> str:
        """One line that says when it fires."""
        return MEANINGS[self]

    @property
    def happening(self) -> str:
        """What happened, inside a sentence: "the refund"."""
        return HAPPENINGS[self]


MEANINGS: dict[Trigger, str] = {
    Trigger.PRODUCT_PURCHASED: (
        "The product was bought, as main product, upsell, order bump or payment option."
    ),
    Trigger.PRODUCT_REFUNDED: "The product was refunded in full.",
    Trigger.PRODUCT_PARTIALLY_REFUNDED: "A part of the price was refunded.",
    Trigger.SUBSCRIPTION_CANCELED: "The subscription turned to Canceled or Delinquent.",
    Trigger.SUBSCRIPTION_CHARGED: "A recurring charge succeeded; fires for each one.",
    Trigger.SUBSCRIPTION_CHARGE_FAILED: "A recurring charge failed for the first time.",
    Trigger.SUBSCRIPTION_DELINQUENT: "Four charges in a row failed.",
    Trigger.SUBSCRIPTION_RECOVERED: "A charge succeeded after one or more had failed.",
    Trigger.SUBSCRIPTION_RESTARTED: "You restarted a canceled or delinquent subscription by hand.",
    Trigger.SUBSCRIPTION_COMPLETED: "The last charge of a limited subscription succeeded.",
    Trigger.COURSE_STUDENT_ADDED: "A student was added to a SamCart course.",
    Trigger.COURSE_STUDENT_REMOVED: "A student was removed from a SamCart course.",
    Trigger.COURSE_STARTED: "A student started a SamCart course.",
    Trigger.COURSE_FINISHED: "A student finished a SamCart course.",
}

HAPPENINGS: dict[Trigger, str] = {
    Trigger.PRODUCT_PURCHASED: "the purchase",
    Trigger.PRODUCT_REFUNDED: "the refund",
    Trigger.PRODUCT_PARTIALLY_REFUNDED: "the partial refund",
    Trigger.SUBSCRIPTION_CANCELED: "the cancellation",
    Trigger.SUBSCRIPTION_CHARGED: "the recurring payment",
    Trigger.SUBSCRIPTION_CHARGE_FAILED: "the failed payment",
    Trigger.SUBSCRIPTION_DELINQUENT: "the failed payments",
    Trigger.SUBSCRIPTION_RECOVERED: "the recovered payment",
    Trigger.SUBSCRIPTION_RESTARTED: "the restart",
    Trigger.SUBSCRIPTION_COMPLETED: "the last payment",
    Trigger.COURSE_STUDENT_ADDED: "being added to the SamCart course",
    Trigger.COURSE_STUDENT_REMOVED: "being removed from the SamCart course",
    Trigger.COURSE_STARTED: "the start of the SamCart course",
    Trigger.COURSE_FINISHED: "the end of the SamCart course",
}

# Raw types that SamCart is known to send (facts: public consumers and one logged body).
# Those of Subscription Completed and of the Courses triggers are not known: the address
# tells them, or a person names the type once.
TYPES: dict[str, Trigger] = {
    "order": Trigger.PRODUCT_PURCHASED,
    "refund": Trigger.PRODUCT_REFUNDED,
    "partialrefund": Trigger.PRODUCT_PARTIALLY_REFUNDED,
    "cancel": Trigger.SUBSCRIPTION_CANCELED,
    "recurringpaymentsucceeded": Trigger.SUBSCRIPTION_CHARGED,
    "recurringpaymentfailed": Trigger.SUBSCRIPTION_CHARGE_FAILED,
    "subscriptiondelinquent": Trigger.SUBSCRIPTION_DELINQUENT,
    "recurringpaymentrecovered": Trigger.SUBSCRIPTION_RECOVERED,
    "subscriptionrecovered": Trigger.SUBSCRIPTION_RECOVERED,
    "subscriptionrestarted": Trigger.SUBSCRIPTION_RESTARTED,
}
# A type that spells a trigger's own name can mean nothing else.
OWN_NAMES: dict[str, Trigger] = {normalize_type(trigger.value): trigger for trigger in Trigger}


def from_type(text: str) -> Trigger | None:
    """The trigger that a payload's `type` names, or None when nobody knows it."""
    word = normalize_type(text)
    return TYPES.get(word) or OWN_NAMES.get(word)


def from_address(word: str) -> Trigger | None:
    """The trigger that the word in the webhook's address names; `-` equals `_`."""
    return OWN_NAMES.get(normalize_type(word))

"""SamCart's triggers, and how a raw `type` or a word in a webhook address names one."""

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations.samcart.parser import normalize_type
from integrations.sentences import Text


class Category(models.TextChoices):
    ECOMMERCE = "ecommerce", _("eCommerce")
    COURSES = "courses", _("Courses")


class Trigger(models.TextChoices):
    PRODUCT_PURCHASED = "product_purchased", _("Product Purchased")
    PRODUCT_REFUNDED = "product_refunded", _("Product Refunded")
    PRODUCT_PARTIALLY_REFUNDED = "product_partially_refunded", _("Product Partially Refunded")
    SUBSCRIPTION_CANCELED = "subscription_canceled", _("Subscription Canceled")
    SUBSCRIPTION_CHARGED = "subscription_charged", _("Subscription Charged")
    SUBSCRIPTION_CHARGE_FAILED = "subscription_charge_failed", _("Subscription Charge Failed")
    SUBSCRIPTION_DELINQUENT = "subscription_delinquent", _("Subscription Delinquent")
    SUBSCRIPTION_RECOVERED = "subscription_recovered", _("Subscription Recovered")
    SUBSCRIPTION_RESTARTED = "subscription_restarted", _("Subscription Restarted")
    SUBSCRIPTION_COMPLETED = "subscription_completed", _("Subscription Completed")
    COURSE_STUDENT_ADDED = "course_student_added", _("Student Added to Course")
    COURSE_STUDENT_REMOVED = "course_student_removed", _("Student Removed from Course")
    COURSE_STARTED = "course_started", _("Course Started")
    COURSE_FINISHED = "course_finished", _("Course Finished")

    @property
    def category(self) -> Category:
        """The tab of SamCart's own rule form that lists the trigger."""
        return Category.COURSES if self.value.startswith("course_") else Category.ECOMMERCE

    @property
    def of_subscription(self) -> bool:
        """Whether only products sold by subscription can fire it."""
        return self.value.startswith("subscription_")

    @property
    def wording(self) -> "Wording":
        """What pages say about it."""
        return WORDINGS[self]


# The triggers that end a subscription, all that take a purchase back, those that show that its
# subscription goes on, and all by which a purchase that was taken back may be paid for again.
CANCELS = (Trigger.SUBSCRIPTION_CANCELED, Trigger.SUBSCRIPTION_DELINQUENT)
TAKES_BACK = (Trigger.PRODUCT_REFUNDED, *CANCELS)
RENEWS = (
    Trigger.SUBSCRIPTION_CHARGED,
    Trigger.SUBSCRIPTION_RECOVERED,
    Trigger.SUBSCRIPTION_RESTARTED,
)
PAYS_AGAIN = (Trigger.PRODUCT_PURCHASED, *RENEWS)
# Payments for what the buyer has already. Admit takes them into account itself, so they need no
# rule, although a course owner may add one.
NEEDS_NO_RULE = (Trigger.SUBSCRIPTION_CHARGED, Trigger.SUBSCRIPTION_COMPLETED)


@dataclass(frozen=True, slots=True)
class Wording:
    """What pages say about a trigger.

    `meaning` says in one line when it fires. `happening` names what happened, for use inside a
    sentence: "the refund". `when` follows "When"; {product} is the product's name.
    """

    meaning: Text
    happening: Text
    when: Text


WORDINGS: dict[Trigger, Wording] = {
    Trigger.PRODUCT_PURCHASED: Wording(
        _("The product was bought, as main product, upsell, order bump or payment option."),
        _("the purchase"),
        _("{product} is purchased"),
    ),
    Trigger.PRODUCT_REFUNDED: Wording(
        _("The product was refunded in full."),
        _("the refund"),
        _("{product} is refunded"),
    ),
    Trigger.PRODUCT_PARTIALLY_REFUNDED: Wording(
        _("A part of the price was refunded."),
        _("the partial refund"),
        _("a part of {product} is refunded"),
    ),
    Trigger.SUBSCRIPTION_CANCELED: Wording(
        _("The subscription turned to Canceled or Delinquent."),
        _("the cancellation"),
        _("a subscription to {product} is canceled"),
    ),
    Trigger.SUBSCRIPTION_CHARGED: Wording(
        _("A recurring charge succeeded; fires for each one."),
        _("the recurring payment"),
        _("a subscription to {product} is charged"),
    ),
    Trigger.SUBSCRIPTION_CHARGE_FAILED: Wording(
        _("A recurring charge failed for the first time."),
        _("the failed payment"),
        _("a charge for {product} fails"),
    ),
    Trigger.SUBSCRIPTION_DELINQUENT: Wording(
        _("Four charges in a row failed."),
        _("the failed payments"),
        _("a subscription to {product} turns delinquent"),
    ),
    Trigger.SUBSCRIPTION_RECOVERED: Wording(
        _("A charge succeeded after one or more had failed."),
        _("the recovered payment"),
        _("a subscription to {product} recovers"),
    ),
    Trigger.SUBSCRIPTION_RESTARTED: Wording(
        _("You restarted a canceled or delinquent subscription by hand."),
        _("the restart"),
        _("a subscription to {product} is restarted"),
    ),
    Trigger.SUBSCRIPTION_COMPLETED: Wording(
        _("The last charge of a limited subscription succeeded."),
        _("the last payment"),
        _("the last charge for {product} succeeds"),
    ),
    Trigger.COURSE_STUDENT_ADDED: Wording(
        _("A student was added to a SamCart course."),
        _("being added to the SamCart course"),
        _("a student is added to any SamCart course"),
    ),
    Trigger.COURSE_STUDENT_REMOVED: Wording(
        _("A student was removed from a SamCart course."),
        _("being removed from the SamCart course"),
        _("a student is removed from any SamCart course"),
    ),
    Trigger.COURSE_STARTED: Wording(
        _("A student started a SamCart course."),
        _("the start of the SamCart course"),
        _("a student starts any SamCart course"),
    ),
    Trigger.COURSE_FINISHED: Wording(
        _("A student finished a SamCart course."),
        _("the end of the SamCart course"),
        _("a student finishes any SamCart course"),
    ),
}

# Raw types that SamCart is known to send, as it writes them (source: public code that consumes its
# webhooks, and one logged body). The types of Subscription Completed and of the Courses triggers
# are not known: the webhook address tells them, or a person names the type once.
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
# A type that spells a trigger's name can only mean that trigger.
OWN_NAMES: dict[str, Trigger] = {normalize_type(trigger.value): trigger for trigger in Trigger}


def from_type(text: str) -> Trigger | None:
    """Return the trigger that a payload's `type` names, or None for an unknown type."""
    word = normalize_type(text)
    return _BY_TYPE.get(word) or OWN_NAMES.get(word)


def from_address(word: str) -> Trigger | None:
    """Return the trigger that a word in the webhook address names, or None. `-` equals `_`."""
    return OWN_NAMES.get(normalize_type(word))

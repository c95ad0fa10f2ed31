"""Full lists and the longest real names, added to a scenery to measure what fits on a page."""

from datetime import timedelta
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.utils import timezone

from events.models import Delivery, EventLog, RuleRun
from integrations.models import (
    Customer,
    Destination,
    FieldMapping,
    Integration,
    Marketplace,
    Product,
    ProfileField,
)
from rules.actions import Action
from rules.models import NamedType, Rule, Scope
from rules.triggers import Category, Trigger
from tests.support import factories
from tests.support.scenery import PASSWORD, Scenery

ROWS = 60
PRODUCT = "Watercolor for Absolute Beginners: Lifetime Access with Personal Feedback"
COURSE = "Transformational Portraiture: From Underpainting to Photorealistic Glazing"
INTEGRATION = "Brushstrokes & Beyond International Academy of Contemporary Watercolor Painting"
ACCOUNT = "Brushstrokes & Beyond: Subscriptions and Memberships of the European Shop"
SITE = "brushstrokes-and-beyond-international-watercolor-academy"
FIELD = "Which professional organization recommended this certification to you?"
EMAIL = "maximiliana.konstantinopoulou-schwarzenberger{}@watercolor-academy.example.com"
PERSON = ("Maximiliana Alexandra", "Konstantinopoulou-Schwarzenberger")


def fill(place: Scenery) -> None:
    """Rename what is there, and repeat it until each list is full."""
    _rename()
    _events()
    _acts_by_hand()
    for number in range(ROWS):
        factories.IntegrationFactory(name=f"{INTEGRATION} {number}", site=f"{SITE}-{number}")
        Product.objects.create(
            marketplace=place.world.marketplace,
            external_id=f"10490{number:02}",
            name=f"{PRODUCT} {number}",
        )
    _people()
    _rules()
    NamedType.objects.create(
        marketplace=place.world.marketplace,
        type="subscriptionpaymentmethodauthenticationrequired",
        trigger="subscription_charge_failed",
    )


def _rename() -> None:
    for pk in Product.objects.values_list("pk", flat=True):
        Product.objects.filter(pk=pk).update(name=f"{PRODUCT} {pk}")
    for pk in Destination.objects.values_list("pk", flat=True):
        Destination.objects.filter(pk=pk).update(name=f"{COURSE} {pk}")
    for pk in Integration.objects.values_list("pk", flat=True):
        Integration.objects.filter(pk=pk).update(name=f"{INTEGRATION} of {pk}")
    for pk in Marketplace.objects.values_list("pk", flat=True):
        Marketplace.objects.filter(pk=pk).update(name=f"{ACCOUNT} {pk}")
    for customer in Customer.objects.all():
        customer.email = EMAIL.format(customer.pk)
        customer.first_name, customer.last_name = PERSON
        customer.save()
    ProfileField.objects.update(label=FIELD)
    FieldMapping.objects.update(samcart_field=FIELD)
    RuleRun.objects.update(destination_name=COURSE)
    for rule in Rule.objects.all():
        RuleRun.objects.filter(rule=rule).update(rule_sentence=rule.in_words())
    Marketplace.objects.create(name=f"{ACCOUNT} too")


def _events() -> None:
    """Copy the newest events and their runs again and again, each copy further in the past."""
    newest = list(EventLog.objects.order_by("-pk")[:10])
    for number in range(ROWS):
        event = newest[number % len(newest)]
        runs = list(RuleRun.objects.filter(event=event.pk))
        back = timedelta(days=1 + number // len(newest))
        delivery = Delivery.objects.get(events=event.pk)
        delivery.pk, delivery.uuid = None, uuid4()
        delivery.received_at -= back
        delivery.save()
        again = EventLog.objects.get(pk=event.pk)
        again.pk, again.delivery, again.received_at = None, delivery, event.received_at - back
        again.save()
        for run in runs:
            run.pk, run.event, run.received_at = None, again, again.received_at
            run.save()


def _acts_by_hand() -> None:
    """Add one act by hand of each kind to the newest events."""
    about = Customer.objects.latest("pk")
    for act in EventLog.ByHand:
        EventLog.objects.create(
            by_hand=act,
            author=EMAIL.format(0),
            customer=about,
            status=EventLog.Status.DONE,
            received_at=timezone.now(),
        )


def _people() -> None:
    users = get_user_model().objects
    for number in range(10):
        email = EMAIL.format(number)
        users.create_user(email, email, PASSWORD, is_staff=True, first_name="", last_name="")
    Group.objects.create(name="Supervisors of international certification and reaccreditation")


def _rules() -> None:
    """Add a rule of each possible trigger, for every product and for the product that gives."""
    giving = Rule.objects.exclude(product=None).latest("product")
    for trigger in Trigger:
        for product in (giving.product, None):
            if product and trigger.category is Category.COURSES:
                continue
            rule = Rule(
                marketplace=giving.marketplace,
                scope=Scope.PRODUCT if product else Scope.GLOBAL,
                product=product,
                trigger=trigger,
                integration=giving.integration,
                action=Action.EXPIRE_COURSE_ENROLLMENT,
                destination=Destination.objects.filter(kind="course").latest("pk"),
                enabled=trigger != Trigger.PRODUCT_REFUNDED,
            )
            rule.save()

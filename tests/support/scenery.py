"""A shop and a school as they look after some weeks, for browser tests and screenshots.

Everything comes in through the real webhook and is carried out against the sandbox.
"""

import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from events.models import Batch, Delivery, EventLog, RuleRun, Worker
from events.models.event_status import refresh_event
from integrations import audit
from integrations.audit import Act
from integrations.calls import rate_limit
from integrations.models import (
    ApiCall,
    CallBudget,
    Destination,
    FieldMapping,
    Integration,
    Product,
    ProfileField,
)
from integrations.notify_url import answers
from integrations.sentences import say
from integrations.thinkific import catalog
from integrations.thinkific.sandbox import Sandbox
from rules import changing
from rules.models import Rule, Scope
from tests.support import factories, world

PEOPLE = [
    ("Dana", "Whitfield"),
    ("Joël", "Marchand"),
    ("Priya", "Raman"),
    ("Tomás", "Herrera"),
    ("Ingrid", "Solberg"),
    ("Marcus", "Oyelaran"),
    ("Hana", "Kobayashi"),
    ("Lucy", "Brennan"),
]
PRODUCTS = {
    "1048001": "Watercolor for Beginners",
    "1048002": "Urban Sketching Club",
    "1048003": "Drawing Foundations Bundle",
    "1048004": "Gift Card",
}
PASSWORD = "only-for-looking"
PUBLIC_URL = "https://admit.example.com"


@dataclass
class Scenery:
    """A world with a past. `people` maps role names to user names; all share PASSWORD."""

    world: world.World
    people: dict[str, str] = field(default_factory=dict)
    orders: Any = field(default_factory=lambda: itertools.count(1183))

    def sell(self, product: str, person: int, name: str = "10_product", **changes: Any) -> EventLog:
        """Send an event of the sample `name` for this product and person."""
        first, last = PEOPLE[person % len(PEOPLE)]
        email = f"{first}.{last}@example.com".lower().replace("ë", "e").replace("á", "a")
        about = {
            "product__id": int(product),
            "product__name": PRODUCTS[product],
            "customer__first_name": first,
            "customer__last_name": last,
            "customer__email": email,
            "order__id": next(self.orders),
        }
        return self.world.sell(name, **(about | changes))


def build(sandbox: Sandbox) -> Scenery:
    """Build everything that a page can show, at least once."""
    scenery = Scenery(world.build(sandbox))
    _school(scenery.world)
    _rules(scenery.world)
    _past(scenery)
    _people(scenery)
    _changes(scenery)
    runs = RuleRun.objects.exclude(status="waiting").values_list("pk", flat=True)
    Batch.objects.create(title=say("Run the rules again"), started_by="Sam", run_ids=list(runs))
    Worker.objects.create(name="studio-1-4711", seen_at=timezone.now())
    return scenery


def _school(place: world.World) -> None:
    school = place.school
    courses = [
        school.add_course(name, private=private)
        for name, private in (
            ("Watercolor for Beginners", True),
            ("Course Two", True),
            ("Urban Sketching", True),
            ("Drawing Foundations", False),
            ("Perspective", True),
        )
    ]
    school.add_bundle("Drawing Bundle", courses[2:5])
    school.add_field("Company")
    school.add_field("Favorite medium")
    school.add_field("Country", field_type="dropdown", options=("Canada", "France"))
    catalog.refresh(place.integration)
    FieldMapping.objects.create(
        integration=place.integration,
        samcart_field="Company",
        profile_field=ProfileField.objects.get(label="Company"),
    )
    factories.IntegrationFactory(name="Studio Nord", site="studio-nord")
    Integration.objects.filter(site="studio-nord").update(
        connection=Integration.Connection.REFUSED,
        connection_message=say(
            "Thinkific does not accept the key: the key or the subdomain is wrong, or the site's "
            "plan may not include the API (Grow or higher is required)."
        ),
    )


def _rules(place: world.World) -> None:
    for number, name in PRODUCTS.items():
        Product.objects.named(place.marketplace.pk, Product.Kind.PRODUCT, number, name)
    named = {each.name: each for each in Destination.objects.all()}
    first, club = named["Watercolor for Beginners"], named["Urban Sketching"]
    for trigger, action, destination, product in (
        ("product_purchased", "create_course_enrollment", first, "1048001"),
        ("product_refunded", "expire_course_enrollment", first, "1048001"),
        ("product_purchased", "create_course_enrollment", club, "1048002"),
        ("subscription_recovered", "create_course_enrollment", club, "1048002"),
        ("product_purchased", "create_bundle_enrollment", named["Drawing Bundle"], "1048003"),
        ("product_purchased", "create_course_enrollment", named["Course Two"], None),
    ):
        place.rule(trigger, action, destination, product=product)
    place.rule(
        "product_purchased",
        "create_course_enrollment",
        named["Perspective"],
        "1048003",
        enabled=False,
    )


def _past(scenery: Scenery) -> None:
    place = scenery.world
    for number in range(24):
        scenery.sell(["1048001", "1048002", "1048003"][number % 3], number)
    place.settle()
    scenery.sell("1048001", 0, "20_product", order__id=1183)
    scenery.sell("1048002", 1, "30_subscription")
    place.settle()
    _spread_over_days()
    # From here on, everything happens today.
    place.school.add_user("owner@example.com", roles=["site_admin"])
    scenery.sell("1048001", 4)
    scenery.sell("1048001", 4, customer__email="owner@example.com")
    place.settle()
    gone = Destination.objects.get(name="Urban Sketching")
    place.school.remove_course(place.school.courses[gone.external_id])
    scenery.sell("1048002", 5)
    place.settle()
    _only_global_off(place)
    scenery.sell("1048004", 6)
    scenery.sell("1048004", 7)
    scenery.sell("1048001", 2, product__status="Declined")
    place.sell("91_edge_unknown")
    place.post(b"{ this is no JSON")
    place.settle()
    Integration.objects.filter(pk=place.integration.pk).update(enabled=False)
    scenery.sell("1048001", 3)
    Integration.objects.filter(pk=place.integration.pk).update(enabled=True)


def _only_global_off(place: world.World) -> None:
    """Turn off the rules for every product, so that a purchase of the gift card gives nothing."""
    Rule.objects.filter(scope=Scope.GLOBAL).update(enabled=False)


def _spread_over_days() -> None:
    """Move what is there into the past, two a day."""
    for number, delivery in enumerate(Delivery.objects.order_by("-pk")):
        back = timedelta(hours=12 * number + 11)
        for rows in (
            Delivery.objects.filter(pk=delivery.pk),
            EventLog.objects.filter(delivery=delivery),
            RuleRun.objects.filter(event__delivery=delivery),
        ):
            rows.update(received_at=F("received_at") - back)
        runs = RuleRun.objects.filter(event__delivery=delivery, finished_at__isnull=False)
        runs.update(finished_at=F("finished_at") - back, started_at=F("started_at") - back)


def add_receiver(place: world.World) -> Integration:
    """Add a Notify URL with three messages: taken, waiting, and refused for good."""
    receiver: Integration = factories.ReceiverFactory.create(
        name="My CRM", site="crm.example.com", secret_ending="Yw8=", connection="connected"
    )
    refunded = place.notify_rule("product_refunded", receiver)
    bought = place.notify_rule("product_purchased", receiver, "1048001")
    events = EventLog.objects.exclude(customer=None).order_by("-pk")
    sold = events.filter(trigger="product_purchased", product__external_id="1048001")
    _sent(refunded, events.filter(trigger="product_refunded")[0], 200, "done", "posted", "")
    _sent(bought, sold[0], 410, "failed", "receiver_gone", say(answers.GONE))
    late = say(
        "{host} did not answer within {seconds} seconds. A receiver should answer first and "
        "do its work afterwards.",
        host="crm.example.com",
        seconds=20,
    )
    _sent(bought, sold[1], None, "waiting", "timed_out", late)
    rate_limit.block(receiver.pk, CallBudget.Blocked.AWAY, 600)
    return receiver


def _sent(
    rule: Rule, event: EventLog, status: int | None, state: str, code: str, message: str
) -> None:
    """Record the result of posting this event to the receiver of the rule."""
    over = state != "waiting"
    run = RuleRun.objects.create(
        event=event,
        rule=rule,
        customer=event.customer,
        received_at=event.received_at,
        status=state,
        code=code,
        message=message or say("Sent to {place}.", place=rule.integration),
        attempts=1,
        started_at=timezone.now(),
        finished_at=timezone.now() if over else None,
        next_attempt_at=None if over else timezone.now() + timedelta(minutes=2),
        **RuleRun.copy_of(rule),
    )
    ApiCall.objects.create(
        integration=rule.integration,
        run_id=run.pk,
        method="POST",
        url=rule.integration.url,
        request_body=bytes(Delivery.objects.get(events=event).body).decode(),
        status=status,
        response_body='{"error": "This hook was deleted."}' if status == 410 else "",
        error=message,
        milliseconds=431,
        sent_at=timezone.now(),
    )
    with transaction.atomic():
        refresh_event(event.pk)


def _changes(scenery: Scenery) -> None:
    """What was done lately: a key was replaced, rules were added, deleted and changed."""
    audit.record(
        Act.KEY_REPLACED,
        scenery.world.integration,
        before={},
        after={"sealed_secret": "replaced"},
    )
    with audit.acting(lambda: audit.Actor("lee@example.com", "203.0.113.7", "/admin/coverage/")):
        of_club = Rule.objects.filter(product__external_id="1048002")
        audit.record_added(Act.RULE_ADDED, of_club)
        like = Rule.objects.filter(product__external_id="1048001").order_by("pk")[0]
        changing.delete(Rule.objects.filter(pk__in=[each.pk for each in _of_no_use(like)]))
    owner = audit.Actor(scenery.people["Owner"], "203.0.113.9", "/admin/rules/rule/1/change/")
    with audit.acting(lambda: owner):
        rule = Rule.objects.filter(enabled=True).order_by("pk")[0]
        changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
        changing.switch(Rule.objects.filter(pk=rule.pk), on=True)


def _of_no_use(like: Rule) -> list[Rule]:
    """New rules for the same product and course."""
    triggers = "subscription_charged", "subscription_restarted"
    same: dict[str, Any] = {"marketplace": like.marketplace, "product": like.product}
    same |= {"integration": like.integration, "destination": like.destination}
    return [factories.RuleFactory.create(**same, trigger=trigger) for trigger in triggers]


def _people(scenery: Scenery) -> None:
    from django.apps import apps
    from django.contrib.auth.models import Group

    from config.staff import roles

    roles.grant(apps)
    users = get_user_model().objects
    owner = users.create_superuser("mia@example.com", "mia@example.com", PASSWORD, first_name="Mia")
    scenery.people["Owner"] = owner.username
    for role, name in ((roles.MANAGER, "Noor"), (roles.SUPPORT, "Sam"), (roles.VIEWER, "Vera")):
        email = f"{name.lower()}@example.com"
        user = users.create_user(email, email, PASSWORD, first_name=name, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        scenery.people[role] = user.username


def ending_answers(**changes: Any) -> dict[str, Any]:
    """Return the form data of a new rule that ends access to Course Two on a refund."""
    found = {
        "product": Product.objects.get(external_id="1048004").pk,
        "integration": Integration.objects.get(name="Art Academy").pk,
        "action": "expire_course_enrollment",
        "trigger": "product_refunded",
        "destination": Destination.objects.get(name="Course Two").pk,
    }
    return found | changes

"""The demo's contents: a school, a shop, a receiver, their rules, a purchase and a refund."""

import os
import secrets
import shlex
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model

from config.server.probe import answers
from events.models import EventLog, RuleRun
from events.receiving import sample_sale, samples
from integrations import credentials
from integrations.models import ApiCall, Destination, Integration, Marketplace, Product
from integrations.notify_url import signature
from integrations.notify_url.sample_receiver import SampleReceiver
from integrations.thinkific import catalog
from integrations.thinkific.sandbox import (
    SAMPLE_KEY,
    SECOND_KEY,
    Sandbox,
    add_sample_school,
    add_second_school,
)
from rules.actions import Action
from rules.models import Rule, Scope
from rules.triggers import Trigger

PRODUCT, BUYER, ORDER = "1048001", "dana@example.com", 23300010
OWNER = "demo@example.com"
PAIRS = [
    (Trigger.PRODUCT_PURCHASED, Action.CREATE_COURSE_ENROLLMENT),
    (Trigger.PRODUCT_REFUNDED, Action.EXPIRE_COURSE_ENROLLMENT),
    (Trigger.SUBSCRIPTION_CANCELED, Action.EXPIRE_COURSE_ENROLLMENT),
]


class Story:
    """The demo, step by step.

    `right` says whether the school and the receiver ended up as expected. It is None until the
    story ends.
    """

    def __init__(
        self, sandbox: Sandbox, receiver: SampleReceiver, *, say: Callable[[str], None]
    ) -> None:
        self.right: bool | None = None
        self._sandbox = sandbox
        self._receiver = receiver
        self._sent: list[bytes] = []
        self._say = say
        self._password = secrets.token_urlsafe(9)

    def set_the_scene(self) -> None:
        """Create a sample school, a receiver, a product, its rules and an owner who can sign in."""
        self._school = add_sample_school(self._sandbox)
        self._shop = Marketplace.objects.create(name="Demo shop")
        credentials.add_webhook_secret(self._shop)
        site = Integration(name="Art Academy", site=self._school.subdomain)
        credentials.save(site, SAMPLE_KEY)
        changes = catalog.refresh(site)
        self._course = Destination.objects.filter(integration=site, kind="course").earliest("pk")
        self._product = Product.objects.named(
            self._shop.pk, Product.Kind.PRODUCT, PRODUCT, self._course.name
        )
        for trigger, action in PAIRS:
            Rule.objects.create(
                marketplace=self._shop,
                scope=Scope.PRODUCT,
                product=self._product,
                trigger=trigger,
                integration=site,
                action=action,
                destination=self._course,
            )
        self._connect_receiver()
        get_user_model().objects.create_superuser(OWNER, OWNER, self._password)
        self._say(
            "This is a demo: Thinkific is a sandbox on this machine, no real student is enrolled."
        )
        self._say(f"1. Art Academy is connected: {changes.sentence()}")
        self._say(f"   Refund desk, a Notify URL, is connected: {self._receiver.url}")
        for rule in Rule.objects.order_by("pk"):
            self._say(f"   Rule: {rule.sentence()}")

    def tell(self) -> None:
        """Send a purchase and a refund as SamCart would, and say what happened."""
        self._wait_for_web()
        bought = self._sell(2, Trigger.PRODUCT_PURCHASED) and self._has_access()
        refunded = self._sell(3, Trigger.PRODUCT_REFUNDED) and not self._has_access()
        users = [user for user in self._school.users if user.email == BUYER]
        told = self._was_told()
        self.right = bought and refunded and told and len(users) == 1
        self._say("All of it is right." if self.right else "Something went wrong.")

    def invite(self) -> None:
        """Say where to look at the result, and how to send more events."""
        self._say("")
        self._say(f"Look at it: {settings.PUBLIC_URL}/admin/")
        self._say(f"   e-mail {OWNER}, password {self._password}")
        self._say(f"What the receiver got: {self._receiver.page}")
        site = add_second_school(self._sandbox).subdomain
        self._say(f"A second school to connect: Site URL {site}, key {SECOND_KEY}")
        self._say("Send more (the first part says which database the demo uses):")
        file = os.path.relpath(settings.DATABASES["default"]["NAME"], settings.BASE_DIR)
        program = shlex.join([sys.executable, sys.argv[0]])
        self._say(f"   DATABASE_URL=sqlite:///{file} {program} trigger \\")
        self._say(f"   product_purchased --product {PRODUCT} --url {settings.PUBLIC_URL}")
        self._say("Ctrl-C stops everything.")

    def _connect_receiver(self) -> None:
        self._receiver.secret = signature.new_secret()
        desk = Integration(
            name="Refund desk",
            app=Integration.App.NOTIFY_URL,
            site=urlsplit(self._receiver.url).hostname or "",
            url=self._receiver.url,
        )
        credentials.save(desk, self._receiver.secret)
        Rule.objects.create(
            marketplace=self._shop,
            scope=Scope.GLOBAL,
            trigger=Trigger.PRODUCT_REFUNDED,
            integration=desk,
            action=Action.SEND_HTTP_POST,
        )

    def _was_told(self) -> bool:
        """Return whether the receiver got the refund, once, and just as SamCart sent it."""
        told = [message.body for message in self._receiver.messages] == [self._sent[-1]]
        has = "has the refund as SamCart sent it, signed by Admit" if told else "lacks the refund"
        self._say(f"   The receiver {has}.")
        return told

    def _sell(self, number: int, trigger: Trigger) -> bool:
        body = samples.body(
            trigger,
            product=PRODUCT,
            email=BUYER,
            order=ORDER,
            name="Dana Example",
            product_name=self._product.name,
        )
        self._say(f"{number}. SamCart sends: {trigger.label}, {self._product}, by {BUYER}.")
        self._sent.append(body)
        start = time.monotonic()
        delivery = sample_sale.send(credentials.webhook_address(self._shop), body)
        took = (time.monotonic() - start) * 1000
        self._say(f"   The webhook stored it and answered 200 in {took:.0f} ms.")
        events = sample_sale.wait_for(delivery, 30)
        for run in RuleRun.objects.filter(event__in=events).order_by("pk"):
            self._say(f"   {run.spec.label}: {run.get_status_display()}. {run.message}")
            for call in ApiCall.objects.filter(run_id=run.pk).order_by("pk"):
                path = urlsplit(call.url).path.removeprefix("/api/public/v1")
                self._say(f"      {call.method} {path} -> {call.status}, {call.milliseconds} ms")
        has = "has" if self._has_access() else "does not have"
        self._say(f"   In Thinkific's sandbox, Dana {has} {self._course}.")
        return bool(events) and all(e.status == EventLog.Status.DONE for e in events)

    def _has_access(self) -> bool:
        row = self._school.enrollment(BUYER, self._course.external_id)
        return row is not None and row.active

    def _wait_for_web(self) -> None:
        where = urlsplit(settings.PUBLIC_URL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if answers(where.hostname or "", where.port, "/readyz", seconds=5):
                return
            time.sleep(0.1)
        raise sample_sale.NotReceived("The web server did not start within a minute.")

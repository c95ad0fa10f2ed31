"""A small world for engine tests: a shop that sells, a school that teaches, and Admit between.

Deliveries go through the real webhook view and calls through real sockets to the sandbox;
`settle` does what the worker does, in this thread.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from django.db.models.functions import Now

from events.deciding import inbox
from events.execution import recovery
from events.models import EventLog, RuleRun
from integrations import credentials
from integrations.models import Destination, Integration, Marketplace, Product
from integrations.thinkific import catalog
from integrations.thinkific.sandbox import Sandbox, School
from rules.actions import Action
from rules.models import Rule, Scope
from tests.support import factories, queued
from tests.support.samcart import Account, changed


@dataclass(kw_only=True)
class World(Account):
    sandbox: Sandbox
    school: School
    integration: Integration

    def course(self, name: str = "Course Two", **facts: Any) -> Destination:
        """Add a course to the school, known to Admit."""
        course = self.school.add_course(name, **facts)
        return self._known("course", course.id)

    def bundle(self, *courses: Destination, name: str = "All of it") -> Destination:
        """Add a bundle of these courses, known to Admit."""
        inside = [self.school.courses[course.external_id] for course in courses]
        return self._known("bundle", self.school.add_bundle(name, inside).id)

    def rule(
        self,
        trigger: str,
        action: str,
        destination: Destination,
        product: str | None = None,
        **facts: Any,
    ) -> Rule:
        """Add a rule, for one product by its SamCart ID or for every product."""
        found = product and Product.objects.named(self.marketplace.pk, "product", product, "")
        rule = Rule(
            marketplace=self.marketplace,
            scope=Scope.PRODUCT if found else Scope.GLOBAL,
            product=found or None,
            trigger=trigger,
            integration=destination.integration,
            action=action,
            destination=destination,
            **facts,
        )
        rule.full_clean()
        rule.save()
        return rule

    def receiver(self, url: str, secret: str, name: str = "My CRM") -> Integration:
        """Connect a Notify URL with this address and signing secret to Admit."""
        site = urlsplit(url).hostname or ""
        row = Integration(name=name, app=Integration.App.NOTIFY_URL, site=site, url=url)
        credentials.save(row, secret)
        return row

    def notify_rule(
        self,
        trigger: str,
        receiver: Integration | None = None,
        product: str | None = None,
        **facts: Any,
    ) -> Rule:
        """Add a rule that posts to a Notify URL, for one product by its SamCart ID or for all."""
        found = product and Product.objects.named(self.marketplace.pk, "product", product, "")
        return cast(
            Rule,
            factories.RuleFactory(
                marketplace=self.marketplace,
                product=found or None,
                trigger=trigger,
                action=Action.SEND_HTTP_POST,
                destination=None,
                integration=receiver or factories.ReceiverFactory(),
                **facts,
            ),
        )

    def sell(self, name: str = "10_product", trigger: str = "", **changes: Any) -> EventLog:
        """Post a sample body with changes such as customer__email="x@y.z"; return its event."""
        assert self.post(changed(name, **changes), trigger).status_code == 200
        self.read()
        return EventLog.objects.order_by("pk").last()  # type: ignore[return-value]

    def read(self) -> None:
        """Read what came in."""
        inbox.process()

    def settle(self) -> list[RuleRun]:
        """Carry out what is due now, in order; return all runs, oldest first."""
        self.read()
        recovery.revive()
        queued.drain()
        return list(RuleRun.objects.order_by("pk"))

    def later(self) -> list[RuleRun]:
        """Like `settle`, after everything that waits has come due, except delayed endings."""
        RuleRun.objects.decided().filter(status="waiting").update(
            next_attempt_at=Now() - timedelta(seconds=1)
        )
        return self.settle()

    def calls(self) -> list[str]:
        """Return what the school was asked, as "POST /users", in order."""
        return [f"{call.method} {call.path}" for call in self.sandbox.calls]

    def access(self, email: str, course: Destination) -> bool:
        """Return whether the person has full access to the course now."""
        row = self.school.enrollment(email, course.external_id)
        return row is not None and row.active

    def _known(self, kind: str, number: int) -> Destination:
        catalog.refresh(self.integration)
        self.sandbox.clear_calls()
        return Destination.objects.get(integration=self.integration, kind=kind, external_id=number)


def build(sandbox: Sandbox) -> World:
    """Build an account and a connected, empty school."""
    school = sandbox.add_school("acme", key=factories.KEY)
    marketplace = Marketplace.objects.create(name="Main shop")
    return World(
        sandbox=sandbox,
        school=school,
        integration=factories.connected("acme"),
        marketplace=marketplace,
        secret=credentials.add_webhook_secret(marketplace),
    )

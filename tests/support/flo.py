"""Flo, who buys Ink with order 1180 and is refunded: what happens to her, and her pages."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.test import Client
from django.urls import reverse

from events.access import holdings
from events.models import Batch, EventLog
from events.reports.changed_rules import refunded
from integrations.models import Customer
from integrations.sentences import format_day
from tests.support.pages import markup
from tests.support.world import World

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
# The product in the payload files.
SOLD = "1048001"
REASON = "The money did not go back"


def sell(world: World, what: str, order: int = 1180, **facts: Any) -> None:
    """Let SamCart send this about her, and carry out what follows."""
    flo = {"customer__email": "flo@example.com", "customer__first_name": "Flo"}
    world.sell(what, order__id=order, **flo, **facts)
    world.settle()


def flo() -> Customer:
    return Customer.objects.get(email="flo@example.com")


def refund() -> EventLog:
    return EventLog.objects.get(trigger="product_refunded")


def page_of(row: Customer | EventLog) -> str:
    name = "integrations_customer" if isinstance(row, Customer) else "events_eventlog"
    return reverse(f"admin:{name}_change", args=[row.pk])


def today() -> str:
    """The day of the refund, as pages write it."""
    return format_day(refund().received_at)


def end_by_list(manager: Client, world: World) -> None:
    """End what she still has, on the page of refunded buyers."""
    (found,) = refunded.refunded_with_access()
    manager.post(reverse("admin:refunded"), {"chosen": found.event.pk})
    world.settle()


def end_by_hand(manager: Client, world: World) -> None:
    """End it on her own page."""
    (held,) = holdings.of_customer(flo())
    sent = {"customer": flo().pk, "holding": held.key, "reason": "Refunded"}
    manager.post(reverse("admin:end-access"), sent)
    world.settle()


def give_back(manager: Client, world: World, page: str = "") -> None:
    """Follow "Give it back", on her own page or another one."""
    shown = markup(manager.get(page or page_of(flo())))
    (link,) = set(re.findall(r'href="([^"]+)">Give it back<', shown))
    sent = dict(parse_qsl(urlsplit(unescape(link)).query))
    manager.post(reverse("admin:give-back"), sent | {"reason": REASON})
    world.settle()


def undo(manager: Client, world: World) -> None:
    """Undo what was done to several buyers at once, for all of them."""
    page = f"{reverse('admin:undo-batch')}?number={Batch.objects.get().pk}"
    shown = manager.get(page).content.decode()
    manager.post(page, {"chosen": re.findall(r'name="chosen" value="([^"]+)"', shown)})
    world.settle()

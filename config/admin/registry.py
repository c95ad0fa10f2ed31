"""Every page of the admin. Importing this registers what stands on a model."""

from config.admin import unregistered
from config.admin.pages import (
    actions,
    alerts,
    backfill,
    by_hand,
    compare,
    coverage,
    customers,
    destinations,
    event,
    groups,
    help,
    integrations,
    log,
    many,
    new_rule,
    overview,
    people,
    products,
    queue,
    rules,
    samcart,
    second_factor,
    sessions,
    simulate,
)
from config.admin.parts.page import Page

PAGES: list[Page] = [
    *samcart.PAGES,
    *help.PAGES,
    *new_rule.PAGES,
    *backfill.PAGES,
    *many.PAGES,
    *by_hand.PAGES,
    *coverage.PAGES,
    *simulate.PAGES,
    *compare.PAGES,
    *queue.PAGES,
    *sessions.PAGES,
    *second_factor.PAGES,
    *alerts.PAGES,
]

__all__ = [
    "PAGES",
    "actions",
    "customers",
    "destinations",
    "event",
    "groups",
    "integrations",
    "log",
    "overview",
    "people",
    "products",
    "rules",
    "unregistered",
]

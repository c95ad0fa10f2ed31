"""Every page of the admin. Importing this registers what stands on a model."""

from config.admin import (
    actions,
    customers,
    destinations,
    earlier,
    event,
    groups,
    help,
    integrations,
    log,
    new_rule,
    overview,
    people,
    products,
    queue,
    rules,
    samcart,
    simulate,
    unwanted,
)
from config.admin.pages import Page

PAGES: list[Page] = [
    *samcart.PAGES,
    *help.PAGES,
    *new_rule.PAGES,
    *earlier.PAGES,
    *simulate.PAGES,
    *queue.PAGES,
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
    "unwanted",
]

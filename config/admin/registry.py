"""All pages of the admin. Importing this registers those that belong to a model."""

from config.admin import unregistered
from config.admin.pages import (
    alerts,
    bulk_actions,
    compare,
    csv_lists,
    help,
    queue,
    search,
    undo_batch,
)
from config.admin.pages.account import my_account, second_factor, sessions
from config.admin.pages.customers import by_hand, customers, letter, person_data
from config.admin.pages.integrations import integrations, samcart
from config.admin.pages.log import actions, event, log
from config.admin.pages.overview import overview
from config.admin.pages.products import coverage, products, several_products
from config.admin.pages.rules import backfill, left_over, new_rule, rules, simulate
from config.admin.pages.rules.courses import another_course, destinations
from config.admin.pages.rules.given import given_by_rule, refunded
from config.admin.pages.rules.undoing import undo_step
from config.admin.pages.staff import changes, groups, people
from config.admin.parts.page import Page

PAGES: list[Page] = [
    *samcart.PAGES,
    *help.PAGES,
    *search.PAGES,
    *new_rule.PAGES,
    *another_course.PAGES,
    *backfill.PAGES,
    *given_by_rule.PAGES,
    *refunded.PAGES,
    *left_over.PAGES,
    *undo_step.PAGES,
    *bulk_actions.PAGES,
    *undo_batch.PAGES,
    *by_hand.PAGES,
    *person_data.PAGES,
    *letter.PAGES,
    *coverage.PAGES,
    *several_products.PAGES,
    *csv_lists.PAGES,
    *simulate.PAGES,
    *compare.PAGES,
    *queue.PAGES,
    *my_account.PAGES,
    *sessions.PAGES,
    *second_factor.PAGES,
    *alerts.PAGES,
]

__all__ = [
    "PAGES",
    "actions",
    "changes",
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

"""Which change lately took what rules gave from the buyers of a product."""

from collections.abc import Collection, Iterable

from integrations.audit import Act
from integrations.models import AuditEntry, Product
from rules import actions
from rules.changing import EFFECTIVE_FIELDS
from rules.facts import Places, RuleFacts
from rules.history.rule_changes import number_before
from rules.triggers import Trigger


def of_products(
    products: Iterable[Product],
    places: Places,
    changes: Iterable[AuditEntry],
    with_own: Collection[int],
) -> dict[int, AuditEntry]:
    """Return, by product ID, the newest of these changes after which a rule gave nothing for it.

    The rule was deleted, turned off or made another one, and is the product's own. It may be a
    global one except in the accounts `with_own` rules for each product (IDs). `changes` come newest
    first.
    """
    asked = {product.pk: product.marketplace_id for product in products}
    rules = {rule.pk: rule for rule in places} if asked else {}
    found: dict[int, AuditEntry] = {}
    for entry in changes if asked else ():
        rule = rules.get(int(entry.number))
        if _took(entry, rule):
            for product, account in asked.items():
                where = {(product, account), *([] if account in with_own else [(None, account)])}
                if _was_for(entry, rule) in where:
                    found.setdefault(product, entry)
    return found


def _took(entry: AuditEntry, rule: RuleFacts | None) -> bool:
    """Return whether the rule gave something on a purchase before this change, and not since."""
    if rule is None and entry.act != Act.RULE_DELETED:
        return False  # what it was is not known anymore
    before = entry.before or {}
    trigger = before.get("trigger", rule and rule.trigger)
    action = before.get("action", rule and rule.action)
    gave = trigger == Trigger.PRODUCT_PURCHASED and action in actions.giving_access()
    was_on = before.get("enabled", rule is None or rule.enabled)
    return gave and was_on and (rule is None or not before.keys().isdisjoint(EFFECTIVE_FIELDS))


def _was_for(entry: AuditEntry, rule: RuleFacts | None) -> tuple[int | None, int | None]:
    """Return the IDs of the product, None for every one, and of the account of the former rule."""
    before = entry.before or {}
    product = number_before(entry, "product")
    if "product" not in before and rule is not None:
        product = rule.product_id
    account = rule.marketplace_id if rule else number_before(entry, "marketplace")
    return product, account

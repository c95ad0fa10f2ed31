"""Which change lately took what rules gave from the buyers of a product."""

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db.models import Q

from integrations.audit import Act
from integrations.models import AuditEntry, Product
from rules import actions, deleted_endings
from rules.facts import Places, RuleFacts
from rules.models import Rule
from rules.triggers import Trigger

# At most this many changes are looked at, newest first.
MAX_ENTRIES = 200


def of_products(
    products: Iterable[Product], places: Places, since: datetime, with_own: Collection[int]
) -> dict[int, AuditEntry]:
    """Return, by product ID, the newest change since then after which a rule gave nothing for it.

    The rule was deleted, turned off or made another one, and is the product's own. It may be a
    global one except in the accounts `with_own` rules for each product (IDs). Takes one query, none
    without products.
    """
    asked = {product.pk: product.marketplace_id for product in products}
    if not asked:
        return {}
    rules = {rule.pk: rule for rule in places}
    numbers = [
        str(pk)
        for pk, rule in rules.items()
        if rule.product_id in asked or (rule.product_id is None and not rule.enabled)
    ]
    entries = AuditEntry.objects.filter(
        Q(number__in=numbers)
        | Q(before__product__number__in=[*asked])
        | Q(act=Act.RULE_DELETED, before__product=None),
        at__gte=since,
        act__in=[Act.RULE_CHANGED, Act.RULE_DELETED],
        kind=Rule._meta.model_name,
    )
    found: dict[int, AuditEntry] = {}
    for entry in entries.order_by("-pk")[:MAX_ENTRIES]:
        rule = rules.get(int(entry.number))
        if _took(entry, rule):
            for product, account in asked.items():
                where = {(product, account), *([] if account in with_own else [(None, account)])}
                if _was_for(entry, rule) in where:
                    found.setdefault(product, entry)
    return found


def _took(entry: AuditEntry, rule: RuleFacts | None) -> bool:
    """Return whether the rule gave something on a purchase before this change, and not since."""
    before = entry.before or {}
    trigger = before.get("trigger", rule and rule.trigger)
    action = before.get("action", rule and rule.action)
    gave = trigger == Trigger.PRODUCT_PURCHASED and action in actions.giving_access()
    was_on = before.get("enabled", rule is None or rule.enabled)
    what = {"action", "destination", "enabled", "product", "trigger"}
    return gave and was_on and (rule is None or not what.isdisjoint(before))


def _was_for(entry: AuditEntry, rule: RuleFacts | None) -> tuple[int | None, int | None]:
    """Return the IDs of the product, None for every one, and of the account of the former rule."""
    before = entry.before or {}
    product = deleted_endings.number(entry, "product")
    if "product" not in before and rule is not None:
        product = rule.product_id
    account = rule.marketplace_id if rule else deleted_endings.number(entry, "marketplace")
    return product, account

"""The line of the checklist about rules that end access and give it back."""

from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from config.admin.parts.badges import brief
from config.admin.parts.checklist_task import RULES, Task
from events.reports.products import subscriptions
from integrations.finding.ordering import by_name
from integrations.models import Product
from integrations.sentences import joined, say
from rules import facts, leftovers, pairing
from rules.facts import RuleFacts
from rules.models import Rule, Scope
from rules.triggers import Trigger

CHANGES_RULES = "rules.change_rule"


def pairs(places: facts.Places) -> Task:
    """Return the task to add rules that end and restore access. Names the first that is missing.

    It uses `pairing.holes`, as does the hint on the product's page to which it leads.
    """
    # Includes rules that are off: one for a Subscription trigger shows how the product is sold.
    for account, shared in places.everywhere.items():
        if found := _global_hole(account, shared, places):
            return Task(found[0], False, found[1], say("Add them"), permission=RULES)
    # Only look up how it is sold if that would make a difference.
    open_ = places.products(partial(pairing.holes_in, subscription=True))
    unsure = list(Product.objects.filter(pk__in=open_).order_by(by_name(), "pk")) if open_ else []
    sold = subscriptions.how_each_is_sold([product.pk for product in unsure])
    for product in unsure:
        known = places.concerning(product.pk)
        missing = pairing.holes(product, known, **sold.of(product.pk))
        # What a change of the giving rule left behind is told as that change, and is no step.
        left = leftovers.lacked(places, product.pk) if missing else set()
        missing = [trigger for trigger in missing if trigger not in left]
        off = pairing.only_off(missing, places.own[product.pk], known)
        if not_there := [trigger for trigger in missing if trigger not in off]:
            return _missing_rules(product, not_there)
        if off:
            return _turned_off(product, off)
    giving = any(map(pairing.is_to_give, places))
    return Task(
        say("Add rules that end access and give it back"),
        giving,
        reverse("admin:integrations_product_changelist"),
        say("See the products"),
    )


def _missing_rules(product: Product, missing: list[Trigger]) -> Task:
    text = say(
        "Add rules that end access and give it back (not yet for {product}: {triggers})",
        **_of(product, missing),
    )
    return Task(text, False, f"{_page(product)}#add-rules", say("Add them"), permission=RULES)


def _turned_off(product: Product, off: list[Trigger]) -> Task:
    text = say(
        "Turn on the rules that end access and give it back (off for {product}: {triggers})",
        **_of(product, off),
    )
    return Task(text, False, _page(product), say("See the rules"), permission=CHANGES_RULES)


def _of(product: Product, triggers: Iterable[Trigger]) -> dict[str, Any]:
    names = joined((trigger.label for trigger in triggers), by=", ")
    return {"product": brief(product), "triggers": names}


def _page(product: Product) -> str:
    return reverse("admin:integrations_product_change", args=[product.pk])


def _global_hole(
    account: int, known: list[RuleFacts], places: facts.Places
) -> tuple[str, str] | None:
    """Return what to say of the first rule that global rules lack, if any, and where to add it."""
    # Only look up whether any is sold by subscription if that would make a difference.
    most = pairing.holes(None, known, subscription=True)
    holes = most and pairing.holes(None, known, subscription=subscriptions.any_sold())
    left = leftovers.lacked_everywhere(places, account) if holes else set()
    holes = [trigger for trigger in holes if trigger not in left]
    if not holes:
        return None
    text = say(
        "Add rules that end access and give it back (not yet for what global rules give: "
        "{trigger})",
        trigger=holes[0].label,
    )
    rules = Rule.objects.filter(product=None, marketplace=account).select_related("destination")
    for rule in pairing.companions(filter(pairing.is_to_give, rules.order_by("pk"))):
        if rule.trigger == holes[0]:
            answers = {
                "scope": Scope.GLOBAL.value,
                "account": rule.marketplace_id,
                "integration": rule.integration_id,
                "action": rule.action,
                "trigger": rule.trigger,
                "destination": rule.destination_id,
            }
            return text, f"{reverse('admin:new-rule')}?{urlencode(answers)}"
    return text, f"{reverse('admin:rules_rule_changelist')}?scope__exact=global&state=off"

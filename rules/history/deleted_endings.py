"""Deleted rules that ended access on a refund that buyers still get and no rule ends now."""

from collections.abc import Iterable, Iterator

from integrations.audit import Act
from integrations.models import AuditEntry
from rules import actions, pairing
from rules.facts import Places, RuleFacts
from rules.history.rule_changes import number_before
from rules.triggers import Trigger


def among(changes: Iterable[AuditEntry], places: Places) -> list[AuditEntry]:
    """Return the newest such deletion of these changes for each product and course, newest first.

    A rule that is off counts as there: it is reported as such.
    """
    found: dict[tuple[int | None, int | None], AuditEntry] = {}
    for entry in filter(_ended, changes):
        about = (number_before(entry, "product"), number_before(entry, "destination"))
        if about not in found and any(
            _leaves_open(entry, each) for each in _concerned(entry, places)
        ):
            found[about] = entry
    return [*found.values()]


def _ended(entry: AuditEntry) -> bool:
    """Return whether this deleted a rule that ended access on a refund."""
    before = entry.before or {}
    return (
        entry.act == Act.RULE_DELETED
        and before.get("trigger") == Trigger.PRODUCT_REFUNDED
        and before.get("action") in actions.ending_access()
    )


def _concerned(entry: AuditEntry, places: Places) -> Iterator[list[RuleFacts]]:
    """Yield the rules of each place that the deleted rule was for."""
    product, account = number_before(entry, "product"), number_before(entry, "marketplace")
    if product is not None:
        if product in places.own:
            yield places.concerning(product)
        return
    yield places.everywhere.get(account or 0, [])
    for each in places.own:
        if places.own[each][0].marketplace_id == account:
            yield places.concerning(each)


def _leaves_open(entry: AuditEntry, rules: Iterable[RuleFacts]) -> bool:
    """Return whether a rule gives the course now, and none, on or off, ends it on a refund."""
    course, rules = number_before(entry, "destination"), list(rules)
    giving = [each for each in rules if pairing.gives_now(each) and each.destination_id == course]
    return bool(giving) and not pairing.is_there(giving[0], Trigger.PRODUCT_REFUNDED, rules)

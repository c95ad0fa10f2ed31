"""Which change left rules over: the rule that gave their course gives another now, or is gone."""

from collections.abc import Collection, Iterable

from integrations.audit import Act
from integrations.models import AuditEntry
from rules import actions, pairing
from rules.history.rule_changes import number_before
from rules.models import Rule

# (product ID, destination ID): what rules of a product, or global rules (None), are about.
About = tuple[int | None, int | None]
# At most this many changes of rules of these courses are looked at, newest first.
MAX_ENTRIES = 200


def of_rules(rules: Iterable[Rule]) -> dict[About, AuditEntry]:
    """Return the newest change by which a rule gave a course of leftover `rules` no more.

    The change may also be the deletion of that rule. Takes two queries.
    """
    wanted = {(rule.product_id, rule.destination_id) for rule in rules}
    courses = {course for _, course in wanted}
    entries = AuditEntry.objects.filter(
        act__in=[Act.RULE_CHANGED, Act.RULE_DELETED],
        kind=Rule._meta.model_name,
        before__destination__number__in=courses,
    )
    newest = list(entries.order_by("-pk")[:MAX_ENTRIES]) if courses else []
    places = _giving({int(each.number) for each in newest if each.act == Act.RULE_CHANGED})
    found: dict[About, AuditEntry] = {}
    for entry in newest:
        before = entry.before or {}
        if entry.act == Act.RULE_DELETED:
            gave = _gave(before["trigger"], before["action"])
            product = number_before(entry, "product")
        else:
            gave = int(entry.number) in places
            product = places.get(int(entry.number))
        about = (product, number_before(entry, "destination"))
        if gave and about in wanted:
            found.setdefault(about, entry)
    return found


def _giving(rules: Collection[int]) -> dict[int, int | None]:
    """Return {rule ID: product ID} of those of these rules that give access."""
    found = Rule.objects.filter(pk__in=rules).values_list("pk", "product", "trigger", "action")
    return {pk: product for pk, product, *what in found if _gave(*what)} if rules else {}


def _gave(trigger: str, action: str) -> bool:
    return trigger not in pairing.GIVES_BACK and action in actions.giving_access()

"""Which change left rules over.

The rule that gave their course gives another now or is gone, or they were themselves changed.
"""

from collections.abc import Collection, Iterable, Mapping

from django.db.models import Q

from integrations.audit import Act
from integrations.models import AuditEntry
from rules import actions, pairing
from rules.history.rule_changes import number_after, number_before
from rules.models import Rule

# (product ID, destination ID): what rules of a product, or global rules (None), are about.
About = tuple[int | None, int | None]
# At most this many changes of rules of these courses are looked at, newest first.
MAX_ENTRIES = 200


def of_rules(rules: Iterable[Rule]) -> dict[int, AuditEntry]:
    """Return, by ID, the newest change by which each of these leftover rules was left over.

    By it another rule gave the course no more, perhaps because it was deleted, or the leftover rule
    itself came to its course; see `changed_itself`. Takes two queries.
    """
    rules = list(rules)
    courses = {rule.destination_id for rule in rules}
    itself = Q(
        act=Act.RULE_CHANGED,
        number__in=[str(rule.pk) for rule in rules],
        before__has_key="destination",
    )
    entries = AuditEntry.objects.filter(
        # A list, because PostgreSQL compares no value within JSON with a column of numbers.
        itself | Q(before__destination__number__in=list(courses)),
        act__in=[Act.RULE_CHANGED, Act.RULE_DELETED],
        kind=Rule._meta.model_name,
    )
    newest = list(entries.order_by("-pk")[:MAX_ENTRIES]) if courses else []
    places = _giving({int(each.number) for each in newest if each.act == Act.RULE_CHANGED})
    found: dict[int, AuditEntry] = {}
    for entry in newest:
        about = _about(entry, places)
        for rule in rules:
            if changed_itself(rule, entry) or about == (rule.product_id, rule.destination_id):
                found.setdefault(rule.pk, entry)
    return found


def changed_itself(rule: Rule, entry: AuditEntry | None) -> bool:
    """Return whether this change is the one by which the rule came to its course."""
    return (
        entry is not None
        and entry.act == Act.RULE_CHANGED
        and entry.number == str(rule.pk)
        and number_after(entry, "destination") == rule.destination_id
    )


def _about(entry: AuditEntry, places: Mapping[int, int | None]) -> About | None:
    """Return what the changed or deleted rule gave before, None if it gave nothing."""
    before = entry.before or {}
    if entry.act == Act.RULE_DELETED:
        gave = _gave(before["trigger"], before["action"])
        product = number_before(entry, "product")
    else:
        gave = int(entry.number) in places
        product = places.get(int(entry.number))
    return (product, number_before(entry, "destination")) if gave else None


def _giving(rules: Collection[int]) -> dict[int, int | None]:
    """Return {rule ID: product ID} of those of these rules that give access."""
    found = Rule.objects.filter(pk__in=rules).values_list("pk", "product", "trigger", "action")
    return {pk: product for pk, product, *what in found if _gave(*what)} if rules else {}


def _gave(trigger: str, action: str) -> bool:
    return trigger not in pairing.GIVES_BACK and action in actions.giving_access()

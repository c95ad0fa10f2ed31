"""Load what `pairing` needs of all rules. Tuples, because model objects cost ten times as much."""

from collections import defaultdict
from typing import Any, NamedTuple

from django.db.models import ExpressionWrapper, F, Field, Q

from rules import actions
from rules.actions import ActionSpec
from rules.models import Rule
from rules.triggers import Trigger

# Returns values as the database has them. A BooleanField would convert each one, which takes as
# long as the query.
AS_STORED: "Field[Any, Any]" = Field()
# Looked up once: in Python 3.11, reading an enum member's value takes as long as the comparison.
_BOUGHT = Trigger.PRODUCT_PURCHASED.value


class RuleFacts(NamedTuple):
    """The parts of a rule that `pairing` looks at, with IDs in place of related rows."""

    pk: int
    marketplace_id: int
    product_id: int | None
    trigger: str
    action: str
    destination_id: int | None
    enabled: bool
    ends_all: bool
    is_gone: bool

    @property
    def spec(self) -> ActionSpec:
        return actions.ACTIONS[self.action]

    @property
    def gives_on_purchase(self) -> bool:
        """Whether it gives access when its product is bought, like `Rule.gives_on_purchase`."""
        return self.trigger == _BOUGHT and self.spec.gives_access


# Rules of one product by product ID, and global rules by account ID.
Places = tuple[dict[int, list[RuleFacts]], dict[int, list[RuleFacts]]]


def by_place() -> Places:
    """Return all rules, on or off, with one query: by product ID, and global ones by account ID."""
    own: dict[int, list[RuleFacts]] = defaultdict(list)
    everywhere: dict[int, list[RuleFacts]] = defaultdict(list)
    flags = (F("enabled"), F("ends_all"), Q(destination__gone_at__isnull=False))
    rows = Rule.objects.order_by("pk").values_list(
        *RuleFacts._fields[: -len(flags)], *(ExpressionWrapper(each, AS_STORED) for each in flags)
    )
    for facts in map(RuleFacts._make, rows):
        if facts.product_id is None:
            everywhere[facts.marketplace_id].append(facts)
        else:
            own[facts.product_id].append(facts)
    return own, everywhere
